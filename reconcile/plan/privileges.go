package plan

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/property"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Privileges returns what an API token needs for the call of an operation on a container, as far as that follows
// from the operation and the configuration that it is made on. What Proxmox asks for depends on more in a few
// cases, which only a rehearsal or the call itself shows: registered tags, and the interfaces within a backup.
//
// The rules are those of pve-container API2/LXC.pm, API2/LXC/Config.pm, API2/LXC/Status.pm and LXC.pm,
// check_ct_modify_config_perm.
func (p *Live) Privileges(op Op, l Lane) []proxmox.Privileges {
	n := needs{live: p, id: l.Ref.ID, base: l.Base.Current}
	switch op := op.(type) {
	case CreateContainer:
		n.create(op)
	case SetConfig:
		n.set(op)
	case Resize:
		// The parameter "disk" is checked as if it were a setting, of which Proxmox knows none of that name.
		n.guest("VM.Config.Disk")
		n.guest("VM.Config.Options")
		n.allocate(storageOf(n.base[op.Disk]))
	case MoveVolume:
		n.guest("VM.Config.Disk")
		n.allocate(op.Storage)
	case DestroyVolume:
		n.guest("VM.Config.Options") // of unusedN, not VM.Config.Disk
	case Start, Shutdown, Reboot:
		n.guest("VM.PowerMgmt")
	case TakeSnapshot, DeleteSnapshot:
		n.guest("VM.Snapshot")
	case RollBack:
		n.on(guestPath(n.id), "VM.Snapshot", "VM.Snapshot.Rollback")
	case DestroyContainer, MakeTemplate, RemoveRemnant:
		n.guest("VM.Allocate")
	case Migrate:
		n.guest("VM.Migrate")
	case Backup:
		n.guest("VM.Backup")
		n.allocate(op.Storage)
	case CloneContainer:
		n.clone(op)
	case RestoreContainer:
		n.restore(op)
	case RestoreOver:
		n.restoreOver(op)
	default:
		n.cluster(op, l.Ref.Node)
	}
	return n.list
}

// cluster is for operations on what is not a container itself: pve-manager API2/Pool.pm, API2/Backup.pm and
// API2/Nodes.pm, apl_download; pve-storage API2/Storage/Status.pm.
func (n *needs) cluster(op Op, node string) {
	jobs := func(storages ...string) {
		n.on("/", "Sys.Modify")
		for _, s := range storages {
			if s != "" {
				n.on("/storage/"+s, "Datastore.Allocate")
			}
		}
	}
	switch op := op.(type) {
	case JoinPool:
		n.on("/pool/"+op.Pool, "Pool.Allocate")
		n.on(guestPath(n.id), "VM.Allocate", "Permissions.Modify")
	case LeavePool:
		n.on("/pool/"+op.Pool, "Pool.Allocate")
		n.on(guestPath(n.id), "VM.Allocate", "Permissions.Modify")
	case CreateJob:
		jobs(op.Values[spec.JobStorage.PVE])
	case UpdateJob:
		jobs(op.Set[spec.JobStorage.PVE])
	case DeleteJob:
		jobs()
	case DownloadAppliance:
		n.on("/storage/"+op.Storage, "Datastore.AllocateTemplate")
	case DownloadURL:
		n.on("/storage/"+op.Storage, "Datastore.AllocateTemplate")
		if p := n.live.Permissions; !p.Allows("/", "Sys.Audit") || !p.Allows("/", "Sys.Modify") { // which are as good
			n.on("/nodes/"+node, "Sys.AccessNetwork")
		}
	case PullImage:
		n.on("/storage/"+op.Storage, "Datastore.AllocateTemplate")
		n.on("/nodes/"+node, "Sys.AccessNetwork")
	}
}

// needs collects privileges, each once.
type needs struct {
	live *Live
	id   proxmox.VMID
	base proxmox.Values // the configuration before
	pool string         // that a container is made in, on which its privileges may be
	list []proxmox.Privileges
}

func (n *needs) on(path string, anyOf ...string) {
	p := proxmox.Privileges{Path: path, AnyOf: anyOf}
	if !slices.ContainsFunc(n.list, func(o proxmox.Privileges) bool { return o.Path == path && slices.Equal(o.AnyOf, anyOf) }) {
		n.list = append(n.list, p)
	}
}

// guest asks for a privilege on the container. Of one that is made in a pool, that of the pool is as good
// (pve-access-control RPCEnvironment.pm, check_vm_perm).
func (n *needs) guest(privilege string) {
	if n.pool == "" || !n.live.Permissions.Allows("/pool/"+n.pool, privilege) {
		n.on(guestPath(n.id), privilege)
	}
}

func (n *needs) allocate(storage string) {
	if storage != "" {
		n.on("/storage/"+storage, "Datastore.AllocateSpace")
	}
}

func guestPath(id proxmox.VMID) string { return "/vms/" + id.String() }

var (
	// allocation is a mount's text in which Proxmox makes a new volume: "local-zfs:8,mp=/srv".
	allocation = regexp.MustCompile(`^(?:volume=)?[^:/,]+:([0-9]+(?:\.[0-9]+)?)(?:,|$)`)
	// backupName is the name of a container's backup (pve-storage Plugin.pm, archive_info).
	backupName = regexp.MustCompile(`(?:^|[:/])vzdump-(?:lxc|openvz)-([1-9][0-9]{2,8})-`)
)

// storageOf is the storage of a mount's text, or of a volume; empty for a path of the node.
func storageOf(text string) string {
	volume, _, _ := strings.Cut(strings.TrimPrefix(text, "volume="), ",")
	storage, _, ok := strings.Cut(volume, ":")
	if !ok || strings.HasPrefix(volume, "/") {
		return ""
	}
	return storage
}

// create is pve-container API2/LXC.pm, create_vm.
func (n *needs) create(op CreateContainer) {
	n.pool = op.Pool
	n.guest("VM.Allocate")
	n.values(op.Values)
	if op.Values[setting.Unprivileged.PVE] == "0" {
		n.on("/", "Sys.Modify")
	}
	if s := storageOf(op.Template); s != "" {
		n.on("/storage/"+s, "Datastore.Audit", "Datastore.AllocateSpace", "Datastore.Allocate")
	}
}

// values are the settings of a container that is made.
func (n *needs) values(v proxmox.Values) {
	for _, key := range v.Keys() {
		n.key(key, v[key])
		if isVolumeKey(key) {
			n.allocate(storageOf(v[key]))
		}
	}
}

func (n *needs) set(op SetConfig) {
	for _, key := range slices.Sorted(slices.Values(slices.Concat(op.Delete, op.Revert))) {
		n.key(key, "")
	}
	for _, key := range op.Set.Keys() {
		n.key(key, op.Set[key])
		if text := op.Set[key]; isVolumeKey(key) && allocation.MatchString(text) {
			n.allocate(storageOf(text))
		}
	}
	if len(n.list) > 0 && !slices.ContainsFunc(n.list, func(p proxmox.Privileges) bool { return strings.HasPrefix(p.AnyOf[0], "VM.Config.") }) {
		n.on(guestPath(n.id), "VM.Config.Disk", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options")
	}
}

// key asks for what a change of one setting takes. The network of before must be the token's, too.
func (n *needs) key(key, value string) {
	if _, isNet := setting.Network.Index(key); isNet {
		n.guest("VM.Config.Network")
		n.bridge(n.base[key])
		n.bridge(value)
		return
	}
	n.guest(keyPrivilege(key))
}

// keyPrivilege is the privilege to change a setting. What is for root@pam alone is never sent.
func keyPrivilege(key string) string {
	switch key {
	case setting.Cores.PVE, setting.CPULimit.PVE, setting.CPUUnits.PVE:
		return "VM.Config.CPU"
	case setting.Memory.PVE, setting.Swap.PVE:
		return "VM.Config.Memory"
	case setting.Hostname.PVE, setting.NameServers.PVE, setting.SearchDomains.PVE:
		return "VM.Config.Network"
	case setting.Features.PVE:
		return "VM.Allocate"
	}
	if isVolumeKey(key) {
		return "VM.Config.Disk"
	}
	return "VM.Config.Options"
}

// bridge asks for the use of an interface's bridge, or of its VLANs (pve-guest-common GuestHelpers.pm,
// check_vnet_access).
func (n *needs) bridge(text string) {
	net, err := property.ParsePairs(text, "")
	bridge, ok := net.Get("bridge")
	if err != nil || !ok {
		return
	}
	path := "/sdn/zones/localnetwork/" + bridge
	tag, tagged := net.Get("tag")
	trunks, trunked := net.Get("trunks")
	if tagged {
		n.on(path+"/"+tag, "SDN.Use")
	}
	if trunked {
		for vlan := range strings.SplitSeq(trunks, ";") {
			n.on(path+"/"+vlan, "SDN.Use")
		}
	}
	if !tagged && !trunked {
		n.on(path, "SDN.Use")
	}
}

// clone is pve-container API2/LXC.pm, clone_vm. The owner's tag, which follows, is a call of its own.
func (n *needs) clone(op CloneContainer) {
	n.on(guestPath(op.Source.ID), "VM.Clone")
	n.pool = op.Pool
	n.guest("VM.Allocate")
	n.allocate(op.Storage)
	source := n.live.Containers[op.Source.ID]
	if source == nil {
		return
	}
	for _, key := range source.Config.Current.Keys() {
		_, isNet := setting.Network.Index(key)
		switch {
		case isNet:
			n.bridge(source.Config.Current[key])
		case isVolumeKey(key) && op.Storage == "":
			n.allocate(storageOf(source.Config.Current[key]))
		}
	}
}

// restore is a create from a backup.
func (n *needs) restore(op RestoreContainer) {
	n.pool = op.Pool
	n.guest("VM.Allocate")
	n.values(op.Values)
	n.allocate(cmp.Or(op.Storage, "local"))
	if op.Values[setting.Unprivileged.PVE] == "0" {
		n.on("/", "Sys.Modify")
	}
	n.archive(op.Archive)
}

// archive asks for the reading of a backup: one of the container itself is free (pve-storage Storage.pm,
// check_volume_access).
func (n *needs) archive(volume string) {
	owner := backupOwner(volume)
	if owner == 0 || owner == n.id {
		return
	}
	n.on("/storage/"+storageOf(volume), "Datastore.AllocateSpace", "Datastore.Allocate")
	n.on(guestPath(owner), "VM.Backup")
}

// backupOwner is the VMID in the name of a backup, 0 where there is none.
func backupOwner(volume string) proxmox.VMID {
	m := backupName.FindStringSubmatch(volume)
	if m == nil {
		return 0
	}
	var id proxmox.VMID
	for _, digit := range m[1] {
		id = id*10 + proxmox.VMID(digit-'0')
	}
	return id
}

// restoreOver is a restore over the container that exists, from a backup that is found by its notes, for which it
// must be seen (pve-storage API2/Storage/Content.pm, index).
func (n *needs) restoreOver(op RestoreOver) {
	n.guest("VM.Allocate")
	n.guest("VM.Backup")
	n.values(op.Values)
	for key, text := range n.base {
		if _, isNet := setting.Network.Index(key); isNet {
			n.bridge(text)
		}
	}
	if v, given := op.Values[setting.Unprivileged.PVE]; given && v == "0" && n.base[setting.Unprivileged.PVE] == "1" {
		n.on("/", "Sys.Modify")
	}
}

// A Grant is privileges on one path, for a token and its user.
type Grant struct {
	Path       string
	Privileges []string
}

// grants turns needs into the smallest grants: where any of several is enough, one that is needed anyway, or the
// first. Those on single containers are made on /vms, since Proxmox drops the entries of a container together
// with it (pve-access-control AccessControl.pm, remove_vm_access).
func grants(list []proxmox.Privileges) []Grant {
	by := map[string]map[string]bool{}
	give := func(path, privilege string) {
		if by[path] == nil {
			by[path] = map[string]bool{}
		}
		by[path][privilege] = true
	}
	of := func(p proxmox.Privileges) string {
		if strings.HasPrefix(p.Path, "/vms/") {
			return "/vms"
		}
		return p.Path
	}
	for _, p := range list {
		if len(p.AnyOf) == 1 {
			give(of(p), p.AnyOf[0])
		}
	}
	for _, p := range list {
		if !slices.ContainsFunc(p.AnyOf, func(priv string) bool { return by[of(p)][priv] }) {
			give(of(p), p.AnyOf[0])
		}
	}
	var out []Grant
	for _, path := range slices.Sorted(maps.Keys(by)) {
		g := Grant{path, slices.Sorted(maps.Keys(by[path]))}
		covered := func(above Grant) bool {
			return strings.HasPrefix(path, above.Path+"/") && slices.Equal(above.Privileges, g.Privileges)
		}
		if !slices.ContainsFunc(out, covered) { // what is given on a path reaches down
			out = append(out, g)
		}
	}
	return out
}
