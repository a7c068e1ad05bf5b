package privileged

// The executables that rows may run.
const (
	pctPath      = "/usr/sbin/pct"      // pve-container
	pveshPath    = "/usr/bin/pvesh"     // pve-manager; reads only
	pvesmPath    = "/usr/sbin/pvesm"    // pve-storage; "path" only
	smartctlPath = "/usr/sbin/smartctl" // smartmontools
	sensorsPath  = "/usr/bin/sensors"   // lm-sensors
	systemctl    = "/usr/bin/systemctl" // systemd
	findmnt      = "/usr/bin/findmnt"   // util-linux
	blkid        = "/usr/sbin/blkid"    // util-linux
	chattr       = "/usr/bin/chattr"    // e2fsprogs
)

// The calls that refuse.
const (
	createCall = "POST /nodes/{node}/lxc"
	configCall = "PUT /nodes/{node}/lxc/{vmid}/config"
	noCall     = "there is no call"
)

const permSource = "pve-container LXC.pm, check_ct_modify_config_perm"

// table is the closed list. What it does not name is not done.
var table = []Exception{
	{
		Name: RowSettings, Title: "settings that only root@pam may set",
		Why: "the API compares the user with root@pam, and the user of a token is never that, not even of root's own",
		Refusals: []Refusal{
			{configCall, "Permission check failed (configuring device passthrough is only allowed for root@pam)", permSource},
			{configCall, "Permission check failed (mount point type bind is only allowed for root@pam)", permSource},
			{configCall, "Permission check failed (mount point type device is only allowed for root@pam)", permSource},
			{configCall, "Permission check failed (changing feature flags for privileged container is only allowed for root@pam)", permSource},
			{configCall, "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)", permSource},
			{configCall, "Permission check failed (changing the hookscript is only allowed for root@pam)", permSource},
			{createCall, "Only root can pass arbitrary filesystem paths.", "pve-container API2/LXC.pm, create_vm"},
		},
		Runs:   []string{pctPath, pveshPath},
		Before: "the container is on this node (a new one: the VMID is free), no lock is held, the digest is that of the plan, and at least one of the settings is one that a token may not set; a change holds nothing else",
		After:  "the settings stand in the configuration file, in force or pending; a new container has no lock left",
		Undo:   "pct set with the old values; pct destroy for a container that was made",
	},
	{
		Name: RowRawLines, Title: "raw lxc.* lines",
		Why: "no call takes them, not even of root: they stand in the configuration file and nowhere else",
		Refusals: []Refusal{{
			configCall, "property is not defined in schema and the schema does not allow additional properties",
			"pve-container LXC/Config.pm, json_config_properties",
		}},
		Writes: []string{"/etc/pve/nodes/NODE/lxc/ID.conf", "/run/lock/lxc/pve-config-ID.lock"},
		Before: "the container is on this node, Proxmox's file lock is taken, the file carries no lock line, and its digest is that of the plan",
		After:  "the file is read back: its first section has these lines, and every other byte is as it was",
		Undo:   "the same edit with the old lines",
	},
	{
		Name: RowSnapshotMounts, Title: "directories of the node that leave snapshots possible",
		Why: "Proxmox takes no snapshot of a container that has a directory or device of the node among its mount points; the same mount as a line lxc.mount.entry does not count as one",
		Refusals: []Refusal{{
			"POST /nodes/{node}/lxc/{vmid}/snapshot", "snapshot feature is not available",
			"pve-guest-common AbstractConfig.pm, __snapshot_prepare; pve-storage Storage.pm, volume_has_feature",
		}},
		Writes: []string{"/etc/pve/nodes/NODE/lxc/ID.conf", "/run/lock/lxc/pve-config-ID.lock"},
		Before: "as for raw-lines, which writes it",
		After:  "as for raw-lines",
		Undo:   "the same edit without the line",
	},
	{
		Name: RowHostMounts, Title: "file systems of the node, by UUID, label or disk",
		Why:      "Proxmox has no call that mounts a disk for containers; its storages make directories of their own in what they mount",
		Refusals: []Refusal{{noCall, "", "pve-manager API2/Disks.pm has calls that format a disk, and none that mounts one as it is"}},
		Runs:     []string{systemctl, findmnt, blkid, chattr},
		Writes:   []string{"/etc/systemd/system", "the mount point"},
		Before:   "the file system is there, and what stands at the mount point is empty or the mount itself; to take it away: no container uses it",
		After:    "the mount point shows this file system, of this source",
		Undo:     "the unit is stopped, disabled and removed; the mount point stays",
	},
	{
		Name: RowDiskHealth, Title: "health of disks, temperatures and fans",
		Why:      "SMART is told to who has Sys.Audit on / alone, and sensors to nobody",
		Refusals: []Refusal{{"GET /nodes/{node}/disks/smart", "Permission check failed (/, Sys.Audit)", "pve-storage API2/Disks.pm, smart"}, {noCall, "", "pve-manager has none for sensors"}},
		Runs:     []string{smartctlPath, sensorsPath, pveshPath, findmnt, blkid},
		Before:   "nothing: it only reads",
		After:    "the answer is JSON",
		Undo:     "nothing was changed",
	},
	{
		Name: RowUnlock, Title: "the lock of a dead task",
		Why: "every call looks at the lock first, and the lock can be no parameter of a call that looks at it",
		Refusals: []Refusal{{
			configCall, "CT is locked (X)", "pve-container API2/LXC/Config.pm, update_vm; pve-guest-common AbstractConfig.pm, check_lock",
		}},
		Runs:   []string{pctPath, pveshPath},
		Before: "the lock is the one that was named, its task has ended, and no task runs on the node that could hold it",
		After:  "the file carries no lock",
		Undo:   "none: a lock is not set by hand",
	},
	{
		Name: RowSnippets, Title: "hook scripts",
		Why:      "the API uploads no snippets, and sets no executable bit",
		Refusals: []Refusal{{"POST /nodes/{node}/storage/{storage}/upload", "value 'snippets' does not have a value in the enumeration 'iso, vztmpl, import'", "pve-storage API2/Storage/Status.pm, upload"}},
		Runs:     []string{pvesmPath},
		Writes:   []string{"the directory snippets of the storage"},
		Before:   "the content has the checksum that was named; the path is the storage's own, with no symbolic link in it, and nobody but root can write to any directory on the way",
		After:    "the file has the checksum, belongs to root and is executable",
		Undo:     "the old content is put back, or the file removed",
	},
	{
		Name: RowGuestCommands, Title: "commands in a container",
		Why:      "the API has a terminal for people and no call that runs a command in a container",
		Refusals: []Refusal{{noCall, "", "pve-container CLI/pct.pm, exec"}},
		Runs:     []string{pctPath},
		Before:   "the container is on this node and runs",
		After:    "its exit status is told",
		Undo:     "none: what the command did is its own",
	},
	{
		Name: RowLeader, Title: "the lock of the agent that acts for a cluster",
		Why:      "cluster locks are directories that root alone can make, and no call makes one",
		Refusals: []Refusal{{noCall, "", "pve-cluster Cluster.pm, cfs_lock; pmxcfs.c, path_is_private"}},
		Writes:   []string{lockDir + "/tend-OWNER", leadDir + "/OWNER.leader"},
		Before:   "nothing: making the directory fails where another node has it; it is renewed and removed only where this node made it",
		After:    "nothing: pmxcfs itself answers only when the whole cluster has it",
		Undo:     "the directory is removed; one that nobody renews expires after two minutes",
	},
}

// leftOut is what only root may do and nothing here needs.
var leftOut = []Omission{
	{
		Refusal{"POST /nodes/{node}/lxc/{vmid}/status/start", "Only root may use this option.", "pve-container API2/LXC/Status.pm, vm_start"},
		"skiplock starts past a lock: a lock is looked into and removed (unlock), never ignored",
	},
	{
		Refusal{createCall, "restoring 'mpN' to bind mount is only possible for root", "pve-container API2/LXC.pm, create_vm, in the task"},
		"a container is restored without its directories of the node, which are set afterwards (settings)",
	},
}
