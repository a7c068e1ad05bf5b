package sim

import (
	"encoding/base64"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

var lxcCreateRoutes = []route{
	{method: "POST", path: "/nodes/{node}/lxc", onNode: true, protected: true, perm: everybody, props: createProps, handler: createContainer},
	{
		method: "DELETE", path: "/nodes/{node}/lxc/{vmid}", onNode: true, protected: true, perm: need("/vms/{vmid}", "VM.Allocate"),
		props: props{"force": boolean(), "purge": boolean(), "destroy-unreferenced-disks": boolean()}, handler: destroyContainer,
	},
}

var createProps = confProps(props{
	"vmid":                 vmidParam().need(),
	"ostemplate":           str().atMost(255).need(),
	"password":             str().atLeast(5),
	"storage":              format("pve-storage-id"),
	"force":                boolean(),
	"restore":              boolean(),
	"unique":               boolean().with("restore"),
	"pool":                 format("pve-poolid"),
	"ignore-unpack-errors": boolean(),
	"ssh-public-keys":      str(),
	"bwlimit":              number().from("0"),
	"start":                boolean(),
	"ha-managed":           boolean(),
})

// A creation is a container on its way into being, from a template or a backup.
type creation struct {
	call     *call
	id       proxmox.VMID
	restore  bool
	force    bool
	existing *guest // the container that a restore overwrites
	archive  string
	storage  string
	pool     string

	unprivileged *bool
	settings     map[string]string // all that were given
	mounts       map[string]string // rootfs and mpN among them
	mountsGiven  bool
	delayed      map[string]string // bind mounts of a backup, which come back last
	conf         *conf
	volumes      []string // allocated so far
	dirty        bool     // the container of before is touched
	wasTemplate  bool
}

// createContainer is pve-container API2/LXC.pm, create_vm: what is checked before the task begins, in its order.
func createContainer(c *call) (any, error) {
	if !c.sim.st.Cluster.Quorate {
		return nil, dief("cluster not ready - no quorum?")
	}
	clampShares(c.params)
	cr := &creation{
		call: c, id: c.vmid(), restore: c.on("restore"), force: c.on("force"), archive: c.str("ostemplate"),
		storage: "local", pool: c.str("pool"), mounts: map[string]string{}, delayed: map[string]string{},
		settings: c.settings("node", "vmid", "ostemplate", "password", "storage", "force", "restore", "unique", "pool",
			"ignore-unpack-errors", "ssh-public-keys", "bwlimit", "start", "ha-managed", "unprivileged"),
	}
	if g := c.sim.guests[cr.id]; g != nil && g.vm == nil && g.node == c.node {
		cr.existing = g
	}
	if c.given("storage") {
		cr.storage = c.str("storage")
	}
	for _, step := range []func() error{
		cr.checkPrivileged, cr.checkID, cr.checkKeys, cr.checkAllocate, cr.checkSettings,
		cr.checkStorages, cr.prepare,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	if err := cr.reserve(); err != nil {
		return nil, err
	}
	worker := "vzcreate"
	if cr.restore {
		worker = "vzrestore"
	}
	return c.fork(worker, cr.id.String(), cr.work), nil
}

func (cr *creation) checkPrivileged() error {
	c := cr.call
	if c.given("unprivileged") {
		on := c.on("unprivileged")
		cr.unprivileged = &on
	}
	if !cr.restore {
		if cr.unprivileged == nil {
			on := true
			cr.unprivileged = &on
		}
		if !*cr.unprivileged {
			if err := c.need("/", "Sys.Modify"); err != nil {
				return err
			}
		}
	}
	if c.on("ha-managed") {
		return c.need("/", "Sys.Console")
	}
	return nil
}

// need asks for privileges of the caller; root@pam has them all.
func (c *call) need(path string, privs ...string) error {
	return c.sim.access.check(c.user, path, privs...)
}

func (cr *creation) checkID() error {
	if cr.existing == nil || !cr.restore || !cr.force {
		return cr.call.sim.checkUnused(cr.id, false)
	}
	if cr.existing.running {
		return dief("can't overwrite running container")
	}
	return checkProtection(cr.existing.conf, fmt.Sprintf("unable to restore CT %d", cr.id))
}

var keyType = regexp.MustCompile(`^(?:.*\s)?(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)\s+([A-Za-z0-9+/]+={0,3})(?:\s.*)?$`)

// checkKeys refuses text that is no list of public keys, which a node leaves to ssh-keygen.
func (cr *creation) checkKeys() error {
	if !cr.call.given("ssh-public-keys") {
		return nil
	}
	valid := false
	for line := range strings.SplitSeq(cr.call.str("ssh-public-keys"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := keyType.FindStringSubmatch(line)
		if m == nil {
			return dief("SSH public key validation error")
		}
		if _, err := base64.StdEncoding.DecodeString(m[1]); err != nil {
			return dief("SSH public key validation error")
		}
		valid = true
	}
	if !valid {
		return dief("SSH public key validation error")
	}
	return nil
}

func (cr *creation) checkAllocate() error {
	c, a := cr.call, cr.call.sim.access
	if cr.pool != "" || c.given("pool") {
		if c.sim.st.Pools[cr.pool] == nil {
			return forbidden(fmt.Sprintf("pool '%s' does not exist", cr.pool))
		}
	}
	switch {
	case a.has(c.user, vmPath(cr.id), "VM.Allocate"):
	case cr.pool != "" && a.has(c.user, "/pool/"+cr.pool, "VM.Allocate"):
	case cr.restore && cr.force && cr.existing != nil && a.has(c.user, vmPath(cr.id), "VM.Backup"):
		if cr.existing.conf.on("unprivileged") && cr.unprivileged != nil && !*cr.unprivileged {
			return c.need("/", "Sys.Modify")
		}
	default:
		return forbidden("")
	}
	return nil
}

func (cr *creation) checkSettings() error {
	c := cr.call
	mod := modification{call: c, id: cr.id, pool: cr.pool, unprivileged: cr.unprivileged != nil && *cr.unprivileged}
	if err := mod.checkSet(cr.settings); err != nil {
		return err
	}
	if cr.archive == "-" {
		return dief("pipe requires cli environment")
	}
	content := "vztmpl"
	if cr.restore {
		content = "backup"
	}
	return c.checkVolumeAccess(cr.id, cr.archive, content)
}

var plainNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)

func (cr *creation) checkStorages() error {
	for _, k := range slices.Sorted(maps.Keys(cr.settings)) {
		switch v := cr.settings[k]; {
		case isMountKey(k):
			if plainNumber.MatchString(v) {
				v = cr.storage + ":" + v
			}
			cr.mounts[k] = v
			cr.mountsGiven = true
			delete(cr.settings, k)
		case isFamily(k, "unused"):
			cr.call.sim.warn("ignoring '%s', cannot create/restore with unused volume", k)
			delete(cr.settings, k)
		}
	}
	if _, ok := cr.mounts["rootfs"]; cr.mountsGiven && !ok {
		return dief("mount points configured, but 'rootfs' not set - aborting")
	}
	for m := range (section{values: cr.mounts}).mounts() {
		if m.kind != volumeMount {
			if !cr.call.isRoot() {
				return dief("Only root can pass arbitrary filesystem paths.")
			}
			continue
		}
		id, _, err := splitVolid(m.volume)
		if err != nil {
			return err
		}
		if err := cr.checkStorage(id); err != nil {
			return err
		}
	}
	if _, ok := cr.mounts["rootfs"]; !ok {
		return cr.checkStorage(cr.storage)
	}
	return nil
}

func (cr *creation) checkStorage(id string) error {
	cfg, err := cr.call.sim.enabledStorage(id, cr.call.node)
	if err != nil {
		return err
	}
	if !cfg.holds("rootdir") {
		return paramError("storage", fmt.Sprintf("storage '%s' does not support container directories", id))
	}
	return cr.call.need("/storage/"+id, "Datastore.AllocateSpace")
}

// prepare puts the settings into a config, as an update of an empty one.
func (cr *creation) prepare() error {
	s := cr.call.sim
	cr.conf = newConf()
	ch := &change{
		sim: s, guest: &guest{id: cr.id, node: cr.call.node}, conf: cr.conf, modified: nil,
		errs: map[string]string{}, warn: func(text string) { s.warn("%s", text) },
	}
	ch.modified = map[string]bool{}
	if err := ch.stage(cr.settings, nil, nil); err != nil {
		return err
	}
	ch.modified = nil
	ch.carryOut() // errors of single keys are dropped here, as in Proxmox
	if cr.unprivileged != nil && *cr.unprivileged {
		cr.conf.values["unprivileged"] = "1"
	}
	return nil
}

// reserve writes the config file with the lock "create", which reserves the id in the whole cluster.
func (cr *creation) reserve() error {
	s := cr.call.sim
	fail := func(err error) error { return prefixed(cr.failText(), err) }
	if err := cr.call.lockGuest(cr.id, createTimeout); err != nil {
		return fail(err)
	}
	defer s.unlockGuest(cr.id)
	if err := s.checkUnused(cr.id, cr.force); err != nil {
		return fail(err)
	}
	g := s.guests[cr.id]
	if g == nil {
		g = &guest{id: cr.id, node: cr.call.node, conf: newConf(), created: s.opts.Now()}
		s.guests[cr.id] = g
	}
	if err := s.setLock(g, "create"); err != nil {
		return fail(err)
	}
	return nil
}

func (cr *creation) failText() string {
	if cr.restore {
		return fmt.Sprintf("unable to restore CT %d -", cr.id)
	}
	return fmt.Sprintf("unable to create CT %d -", cr.id)
}
