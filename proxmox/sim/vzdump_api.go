package sim

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// vzdumpOptions are what vzdump takes, for a backup and for a job (pve-guest-common VZDump/Common.pm).
var vzdumpOptions = props{
	"vmid": format("pve-vmid-list"), "node": format("pve-node"), "all": boolean(), "stdexcludes": boolean(),
	"compress": enum("0", "1", "gzip", "lzo", "zstd"), "pigz": integer(), "zstd": integer(), "quiet": boolean(),
	"mode": enum("snapshot", "suspend", "stop"), "exclude": format("pve-vmid-list"),
	"exclude-path": {typ: "array", items: str()}, "mailto": format("email-or-username-list"),
	"mailnotification": enum("always", "failure"), "notification-mode": enum("auto", "legacy-sendmail", "notification-system"),
	"tmpdir": str(), "dumpdir": str(), "script": str(), "storage": format("pve-storage-id"), "stop": boolean(),
	"bwlimit": integer().from("0"), "ionice": integer().from("0").to("8"),
	"performance": parts(props{"max-workers": integer().from("1").to("256"), "pbs-entries-max": integer().from("1")}),
	"fleecing":    parts(props{"enabled": boolean().isDefault(), "storage": format("pve-storage-id")}),
	"lockwait":    integer().from("0"), "stopwait": integer().from("0"), "prune-backups": parts(pruneProps),
	"remove": boolean(), "pool": str(), "notes-template": str().atMost(1024).with("storage"), "protected": boolean().with("storage"),
	"pbs-change-detection-mode": enum("legacy", "data", "metadata"),
}

func vzdumpProps(own props) props {
	out := maps.Clone(vzdumpOptions)
	maps.Copy(out, own)
	return out
}

var vzdumpRoutes = []route{
	{
		method: "POST", path: "/nodes/{node}/vzdump", onNode: true, protected: true, perm: everybody,
		props: vzdumpProps(props{"node": format("pve-node"), "job-id": str().atMost(256), "stdout": boolean()}), handler: vzdump,
	},
	{
		method: "GET", path: "/nodes/{node}/vzdump/defaults", onNode: true, perm: everybody, props: props{"storage": format("pve-storage-id")},
		handler: emptyObject,
	},
	{
		method: "GET", path: "/nodes/{node}/vzdump/extractconfig", onNode: true, protected: true, perm: everybody,
		props: props{"volume": str().need()}, handler: extractConfig,
	},
}

// checkBackupOptions is pve-manager API2/Backup.pm, assert_param_permission_common.
func (c *call) checkBackupOptions(set map[string]string) error {
	if c.isRoot() {
		return nil
	}
	for _, k := range []string{"tmpdir", "dumpdir", "script", "job-id"} {
		if _, ok := set[k]; ok {
			return paramError(k, "Only root may set this option.")
		}
	}
	for _, k := range []string{"bwlimit", "ionice", "performance"} {
		if _, ok := set[k]; ok {
			return c.need("/", "Sys.Modify")
		}
	}
	return nil
}

// checkSelection is pve-manager VZDump.pm, verify_vzdump_parameters.
func checkSelection(set map[string]string, complete bool) error {
	for _, k := range []string{"all", "exclude", "pool"} {
		if truthy(set[k]) && truthy(set["vmid"]) {
			return paramError(k, "option conflicts with option 'vmid'")
		}
	}
	if text, ok := set["prune-backups"]; ok {
		if _, err := parseKeep(text); err != nil {
			return err
		}
	}
	if _, ok := set["exclude"]; ok && !truthy(set["pool"]) {
		set["all"] = "1"
	}
	if complete && !truthy(set["all"]) && !truthy(set["stop"]) && !truthy(set["pool"]) && !truthy(set["vmid"]) {
		return paramError("vmid", "property is missing")
	}
	return nil
}

// vzdump is pve-manager API2/VZDump.pm, vzdump.
func vzdump(c *call) (any, error) {
	if c.on("stdout") {
		return nil, paramError("stdout", "option is only allowed on the command line interface.")
	}
	set := c.settings("node")
	if err := c.checkBackupOptions(set); err != nil {
		return nil, err
	}
	storage := cmp.Or(set["storage"], "local")
	if _, ok := set["prune-backups"]; ok && !c.isRoot() && set["dumpdir"] == "" {
		if err := c.need("/storage/"+storage, "Datastore.Allocate"); err != nil {
			return nil, err
		}
	}
	if err := checkSelection(set, true); err != nil {
		return nil, err
	}
	ids := c.sim.selected(set, c.node)
	if truthy(set["stop"]) {
		if err := c.need("/nodes/"+c.node, "Sys.Modify"); err != nil {
			return nil, err
		}
		for _, t := range c.sim.tasks.running() {
			if t.UPID.Type == "vzdump" && t.UPID.Node == c.node {
				t.stop()
			}
		}
	}
	if len(ids) == 0 && (truthy(set["stop"]) || !truthy(set["all"])) {
		return "OK", nil
	}
	if set["dumpdir"] == "" {
		if err := c.need("/storage/"+storage, "Datastore.AllocateSpace"); err != nil {
			return nil, err
		}
	}
	taskID := ""
	if len(ids) == 1 {
		taskID = ids[0].String()
	}
	b := &dump{call: c, set: set, ids: ids, storage: storage}
	return c.fork("vzdump", taskID, b.work), nil
}

// selected are the guests of a backup that are on the node, or nowhere.
func (s *Sim) selected(set map[string]string, nodeName string) []proxmox.VMID {
	var out []proxmox.VMID
	add := func(id proxmox.VMID) {
		if g := s.guests[id]; g == nil || g.node == nodeName {
			out = append(out, id)
		}
	}
	switch {
	case truthy(set["vmid"]):
		for _, text := range splitList(set["vmid"]) {
			if id, err := parseVMID(text); err == nil && !slices.Contains(out, id) {
				add(id)
			}
		}
	case truthy(set["pool"]):
		if p := s.st.Pools[set["pool"]]; p != nil {
			for _, id := range p.VMs {
				add(id)
			}
		}
	default:
		excluded := splitList(set["exclude"])
		for _, id := range sortedKeys(s.guests) {
			if !slices.Contains(excluded, id.String()) {
				add(id)
			}
		}
	}
	return out
}

// extractConfig shows the config in a backup.
func extractConfig(c *call) (any, error) {
	volid := c.str("volume")
	if err := c.checkVolumeAccess(0, volid, "backup"); err != nil {
		return nil, err
	}
	b := c.sim.st.Backups[volid]
	if b == nil {
		return nil, dief("volume '%s' does not exist", volid)
	}
	if b.Damaged {
		return nil, dief("ERROR: archive contains no configuration file")
	}
	return b.Config, nil
}

// commandLine is the call as vzdump's own command line, for the log.
func (d *dump) commandLine() string {
	line := "vzdump"
	if v := d.set["vmid"]; v != "" {
		line += " " + strings.Join(splitList(v), " ")
	}
	for _, k := range sortedKeys(d.set) {
		if k != "vmid" && k != "job-id" && d.set[k] != "" {
			line += " --" + k + " " + shellQuote(d.set[k])
		}
	}
	return line + " --node " + d.call.node
}

// notes fills a template for notes.
func (d *dump) notes(g *guest) string {
	name := ""
	if n := d.call.sim.st.Cluster.Name; n != nil {
		name = *n
	}
	return strings.NewReplacer("{{guestname}}", g.name(), "{{node}}", g.node, "{{vmid}}", strconv.Itoa(int(g.id)),
		"{{cluster}}", name, `\n`, "\n", `\\`, `\`).Replace(d.set["notes-template"])
}

func stamp(s *Sim) string { return s.opts.Now().Format("2006-01-02 15:04:05") }
