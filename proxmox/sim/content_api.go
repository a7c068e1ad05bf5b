package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

const contentPath = "/nodes/{node}/storage/{storage}/content"

var pruneProps = props{
	"keep-all": boolean(), "keep-last": integer().from("0"), "keep-hourly": integer().from("0"), "keep-daily": integer().from("0"),
	"keep-weekly": integer().from("0"), "keep-monthly": integer().from("0"), "keep-yearly": integer().from("0"),
}

var contentRoutes = []route{
	{method: "GET", path: contentPath, onNode: true, protected: true, perm: storageAudit, props: props{
		"content": format("pve-storage-content"), "vmid": vmidParam(),
	}, handler: listContent},
	{
		method: "POST", path: contentPath, onNode: true, protected: true, perm: need("/storage/{storage}", "Datastore.AllocateSpace"),
		props: props{
			"filename": str().need(), "vmid": vmidParam().need(), "size": matching(`[0-9]+[MG]?`).need(),
			"format": enum("raw", "qcow2", "subvol", "vmdk").with("size"),
		}, handler: postContent,
	},
	{method: "GET", path: contentPath + "/{volume...}", onNode: true, protected: true, perm: everybody, handler: getContent},
	{
		method: "PUT", path: contentPath + "/{volume...}", onNode: true, protected: true, perm: everybody,
		props: props{"notes": str(), "protected": boolean()}, handler: putContent,
	},
	{
		method: "DELETE", path: contentPath + "/{volume...}", onNode: true, protected: true, perm: everybody,
		props: props{"delay": integer().from("1").to("30")}, handler: deleteContent,
	},
	{
		method: "GET", path: "/nodes/{node}/storage/{storage}/prunebackups", onNode: true, protected: true, perm: storageAudit,
		props: pruneParams, handler: previewPrune,
	},
	{
		method: "DELETE", path: "/nodes/{node}/storage/{storage}/prunebackups", onNode: true, protected: true, perm: everybody,
		props: pruneParams, handler: pruneBackups,
	},
}

var pruneParams = props{"prune-backups": parts(pruneProps), "type": enum("qemu", "lxc"), "vmid": vmidParam()}

// listContent is pve-storage API2/Storage/Content.pm, index.
func listContent(c *call) (any, error) {
	id := c.str("storage")
	cfg, err := c.sim.enabledStorage(id, c.node)
	if err != nil {
		return nil, err
	}
	want := func(kind string) bool { return cfg.holds(kind) && (!c.given("content") || c.str("content") == kind) }
	rows := []map[string]any{}
	if want("rootdir") || want("images") {
		rows = append(rows, c.volumeRows(id)...)
	}
	if want("vztmpl") && !c.given("vmid") {
		for _, volid := range sortedKeys(c.sim.st.Templates) {
			if strings.HasPrefix(volid, id+":") && c.sim.hasTemplate(volid, c.node) {
				t := c.sim.st.Templates[volid]
				rows = append(rows, map[string]any{
					"volid": volid, "content": "vztmpl", "format": templateFormat(volid),
					"size": int64(t.Size), "ctime": t.CTime,
				})
			}
		}
	}
	if want("snippets") && !c.given("vmid") {
		for _, volid := range c.sim.st.Snippets {
			if strings.HasPrefix(volid, id+":") {
				rows = append(rows, map[string]any{"volid": volid, "content": "snippets", "format": "snippet", "size": 0})
			}
		}
	}
	if want("backup") {
		rows = append(rows, c.backupRows(id)...)
	}
	rows = slices.DeleteFunc(rows, func(r map[string]any) bool {
		return c.checkVolumeAccess(0, r["volid"].(string), "") != nil
	})
	slices.SortStableFunc(rows, func(a, b map[string]any) int {
		return strings.Compare(strings.ToLower(a["volid"].(string)), strings.ToLower(b["volid"].(string)))
	})
	return rows, nil
}

// templateFormat is the name for the compression of a template: tzst for .tar.zst.
func templateFormat(volid string) string {
	ext := volid[strings.LastIndexByte(volid, '.')+1:]
	return "t" + strings.TrimPrefix(ext, "t")
}

func (c *call) volumeRows(id string) []map[string]any {
	var rows []map[string]any
	wanted := func(v *Volume) bool { return v.Node == "" || v.Node == c.node }
	for _, owner := range sortedKeys(c.sim.owned) {
		if c.given("vmid") && owner != c.vmid() {
			continue
		}
		for _, volid := range sortedKeys(c.sim.owned[owner]) {
			v := c.sim.owned[owner][volid]
			n, err := c.sim.parseVolume(volid)
			if err != nil || n.storage != id || !wanted(v) {
				continue
			}
			content := "images"
			if g := c.sim.guests[owner]; g == nil || g.vm == nil {
				content = "rootdir"
			}
			if c.given("content") && c.str("content") != content {
				continue
			}
			row := map[string]any{
				"volid": volid, "content": content, "vmid": owner, "size": int64(v.Size), "format": n.format,
				"ctime": v.CTime, "parent": nil,
			}
			if storageKinds[c.sim.st.Storages[id].Type].files {
				row["used"] = c.sim.toldUse(n, v)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func (c *call) backupRows(id string) []map[string]any {
	var rows []map[string]any
	for _, volid := range sortedKeys(c.sim.st.Backups) {
		n, err := c.sim.parseVolume(volid)
		if err != nil || n.storage != id || c.given("vmid") && n.owner != c.vmid() {
			continue
		}
		b := c.sim.st.Backups[volid]
		row := map[string]any{
			"volid": volid, "content": "backup", "vmid": n.owner, "size": int64(b.Size), "format": backupFormat(volid),
			"ctime": b.CTime, "subtype": "lxc",
		}
		if b.Notes != "" {
			row["notes"], _, _ = strings.Cut(b.Notes, "\n")
		}
		if b.Protected {
			row["protected"] = 1
		}
		if n.format == "pbs-ct" {
			row["format"] = n.format
			if b.Verification != "" {
				row["verification"] = map[string]any{"state": b.Verification, "upid": "UPID:pbs:00000001:00000001:00000001:00000001:verificationjob::root@pam:"}
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// backupFormat is the extension of an archive: tar.zst.
func backupFormat(volid string) string {
	if i := strings.Index(volid, ".tar"); i >= 0 {
		return volid[i+1:]
	}
	return volid[strings.LastIndexByte(volid, '.')+1:]
}

// volume is the volume of the call, with or without its storage (Content.pm, $real_volume_id).
func (c *call) volume() (volName, string, error) {
	volid := c.str("volume")
	if !strings.Contains(volid, ":") {
		volid = c.str("storage") + ":" + volid
	}
	id, _, err := splitVolid(volid)
	if err == nil && id != c.str("storage") {
		err = dief("storage ID mismatch (%s != %s)", id, c.str("storage"))
	}
	if err != nil {
		return volName{}, "", paramError("volume", perlString(err))
	}
	n, err := c.sim.parseVolume(volid)
	return n, volid, err
}

func getContent(c *call) (any, error) {
	n, volid, err := c.volume()
	if err != nil {
		return nil, err
	}
	if err := c.checkVolumeAccess(0, volid, ""); err != nil {
		return nil, err
	}
	row := map[string]any{"path": c.sim.volumePath(volid), "format": n.format}
	switch {
	case c.sim.st.Volumes[volid] != nil:
		v := c.sim.st.Volumes[volid]
		row["size"], row["used"] = int64(v.Size), c.sim.toldUse(n, v)
	case c.sim.st.Backups[volid] != nil:
		b := c.sim.st.Backups[volid]
		row["size"], row["used"], row["protected"], row["notes"] = int64(b.Size), int64(b.Size), flag(b.Protected), b.Notes
	case c.sim.hasTemplate(volid, c.node):
		t := c.sim.st.Templates[volid]
		row["size"], row["used"] = int64(t.Size), int64(t.Size)
	default:
		return nil, dief("volume_size_info on '%s' failed - no format", volid)
	}
	return row, nil
}

func putContent(c *call) (any, error) {
	_, volid, err := c.volume()
	if err != nil {
		return nil, err
	}
	if err := c.checkVolumeAccess(0, volid, ""); err != nil {
		return nil, err
	}
	b := c.sim.st.Backups[volid]
	if b == nil {
		switch {
		case c.given("notes"):
			return nil, dief("only backups can have notes")
		case c.given("protected"):
			return nil, dief("only backups support attribute 'protected'")
		}
		return nil, nil
	}
	if c.given("notes") {
		b.Notes = c.str("notes")
	}
	if c.given("protected") {
		b.Protected = c.on("protected")
	}
	c.sim.store.touch()
	return nil, nil
}

// postContent allocates a volume without a file system (Content.pm, create).
func postContent(c *call) (any, error) {
	id := c.str("storage")
	cfg, err := c.sim.enabledStorage(id, c.node)
	if err != nil {
		return nil, err
	}
	text := c.str("size")
	if strings.Trim(text, "0123456789") == "" {
		text += "K"
	}
	size, _ := parseSize(text)
	name := c.str("filename")
	if storageKinds[cfg.Type].files {
		name = c.str("vmid") + "/" + name
	}
	volid := id + ":" + name
	n, err := c.sim.parseVolume(volid)
	if err != nil || n.kind != "images" || n.owner != c.vmid() {
		return nil, dief("illegal name '%s' - should be 'vm-%s-*'", c.str("filename"), c.str("vmid"))
	}
	if c.sim.st.Volumes[volid] != nil {
		return nil, dief("disk image '%s' already exists", c.sim.volumePath(volid))
	}
	if err := c.sim.checkSpace(id, name, size); err != nil {
		return nil, err
	}
	c.sim.putVolume(volid, &Volume{Size: Bytes(size), CTime: c.sim.opts.Now().Unix(), Node: c.node})
	return volid, nil
}

// deleteContent is Content.pm, delete.
func deleteContent(c *call) (any, error) {
	n, volid, err := c.volume()
	if err != nil {
		return nil, err
	}
	path := "/storage/" + n.storage
	if n.kind == "backup" && n.owned {
		if err = c.need(path, "Datastore.AllocateSpace"); err == nil {
			err = c.need(vmPath(n.owner), "VM.Backup")
		}
	} else {
		err = c.need(path, "Datastore.Allocate")
	}
	if err != nil {
		return nil, err
	}
	id := n.storage
	if n.owned {
		id = n.owner.String() + "@" + id
	}
	upid := c.fork("imgdel", id, func(t *task) error {
		if err := t.work(); err != nil {
			return err
		}
		if err := t.sim.freeContent(n, volid, t.call.node); err != nil {
			return err
		}
		t.print(fmt.Sprintf("Removed volume '%s'", volid))
		return nil
	})
	if !c.given("delay") {
		return upid, nil
	}
	return c.awaitDeletion(upid, time.Duration(c.integer("delay", 1))*time.Second)
}

// awaitDeletion waits for the task for a while, and answers null if it has ended well.
func (c *call) awaitDeletion(upid string, limit time.Duration) (any, error) {
	t := c.sim.tasks.byUPID[upid]
	c.sim.mu.Unlock()
	timer := time.NewTimer(limit)
	select {
	case <-t.done:
	case <-timer.C:
	case <-c.ctx.Done():
	}
	timer.Stop()
	c.sim.mu.Lock()
	switch statusType(t.Status) {
	case "ok", "warning":
		return nil, nil
	case "error":
		return nil, dief("%s", t.Status)
	}
	return upid, nil
}

func (s *Sim) freeContent(n volName, volid, node string) error {
	switch {
	case s.st.Backups[volid] != nil:
		if s.st.Backups[volid].Protected {
			return dief("cannot remove protected volume '%s' on '%s'", n.name, n.storage)
		}
		delete(s.st.Backups, volid)
	case s.hasTemplate(volid, node):
		s.dropTemplate(volid, node)
	case slices.Contains(s.st.Snippets, volid):
		s.st.Snippets = slices.DeleteFunc(s.st.Snippets, func(v string) bool { return v == volid })
	default:
		return s.freeVolume(volid)
	}
	s.store.touch()
	return nil
}

var archiveTime = regexp.MustCompile(`vzdump-(lxc|qemu|openvz)-([0-9]+)-([0-9]{4}_[0-9]{2}_[0-9]{2}-[0-9]{2}_[0-9]{2}_[0-9]{2})\.`)

const archiveStamp = "2006_01_02-15_04_05"

func previewPrune(c *call) (any, error) {
	keep, err := c.keepOptions()
	if err != nil {
		return nil, err
	}
	return c.sim.markBackups(c.str("storage"), keep, c.str("vmid"), c.str("type")), nil
}

// keepOptions are those of the call, else those of the storage.
func (c *call) keepOptions() (map[string]string, error) {
	id := c.str("storage")
	cfg, err := c.sim.storage(id)
	if err != nil {
		return nil, err
	}
	if !cfg.holds("backup") {
		return nil, dief("storage '%s' does not support backups", id)
	}
	text := c.str("prune-backups")
	if !c.given("prune-backups") {
		if text = cfg.Prune; text == "" {
			return nil, dief("no prune-backups options configured for storage '%s'", id)
		}
	}
	return parseKeep(text)
}

// parseKeep reads retention options (pve-storage Plugin.pm, validate_prune_backups).
func parseKeep(text string) (map[string]string, error) {
	keep, err := pruneProps.parse(text, "")
	if err != nil {
		return nil, err
	}
	all := truthy(keep["keep-all"])
	delete(keep, "keep-all")
	some := false
	for _, v := range keep {
		some = some || mustFloat(v) > 0
	}
	switch {
	case !some:
		return map[string]string{"keep-all": "1"}, nil
	case all:
		return nil, dief("keep-all cannot be set together with other options.")
	}
	return keep, nil
}

func pruneBackups(c *call) (any, error) {
	id, path := c.str("storage"), "/storage/"+c.str("storage")
	var err error
	if c.given("vmid") {
		if err = c.need(path, "Datastore.AllocateSpace"); err == nil {
			err = c.need(vmPath(c.vmid()), "VM.Backup")
		}
	} else {
		err = c.need(path, "Datastore.Allocate")
	}
	if err != nil {
		return nil, err
	}
	keep, err := c.keepOptions()
	if err != nil {
		return nil, err
	}
	on := id
	if c.given("vmid") {
		on = c.str("vmid") + "@" + id
	}
	return c.fork("prunebackups", on, func(t *task) error {
		if err := t.work(); err != nil {
			return err
		}
		for _, b := range t.sim.markBackups(id, keep, c.str("vmid"), c.str("type")) {
			t.print(fmt.Sprintf("%-10s %s", b.Mark, b.VolID))
			if b.Mark == "remove" {
				delete(t.sim.st.Backups, b.VolID)
				t.sim.store.touch()
			}
		}
		return nil
	}), nil
}
