package proxmox

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// CreateParams describe a container that is made from a template.
type CreateParams struct {
	ID       VMID
	Template string   // volume of the template: "local:vztmpl/debian-13.tar.zst"
	Values   Values   // settings, rootfs and unprivileged among them
	Storage  string   // of the root file system, where Values has no rootfs
	Pool     string   // pool to add it to
	Password Secret   // of root in the container; none where empty
	SSHKeys  []string // public keys of root in the container
	// IgnoreUnpackErrors lets the task go on where parts of the template cannot be unpacked.
	IgnoreUnpackErrors bool
}

// Create makes a container on a node and leaves it stopped. A VMID that is taken is refused with [ErrExists].
// When it returns without an error the VMID is reserved; the task makes the volumes and unpacks the template.
//
// It has no parameter to start the container: Proxmox would fork a second task whose UPID is not told. It
// needs VM.Allocate, a privilege of VM.Config.* for each setting, and Datastore.AllocateSpace.
func (c *Client) Create(ctx context.Context, node string, cp CreateParams) (UPID, error) {
	p := params{}
	p.all(cp.Values)
	p.number("vmid", int64(cp.ID))
	p.text("ostemplate", cp.Template)
	p.text("storage", cp.Storage)
	p.text("pool", cp.Pool)
	p.text("password", cp.Password.Reveal())
	p.text("ssh-public-keys", strings.Join(cp.SSHKeys, "\n"))
	p.flag("ignore-unpack-errors", cp.IgnoreUnpackErrors)
	return c.task(ctx, "POST", nodePath(node, "/lxc"), p)
}

// RestoreParams describe a container that is made from a backup.
type RestoreParams struct {
	ID      VMID
	Archive string // volume of the backup: "local:backup/vzdump-lxc-101-….tar.zst"
	Values  Values // settings that take the place of those in the backup; with any mount, rootfs too
	Storage string // of all volumes, where Values has none
	Pool    string
	Unique  bool // give network interfaces new MAC addresses
	// Force replaces a stopped container of this VMID. Its volumes and snapshots are lost, and if the
	// unpacking fails, so is the container.
	Force              bool
	IgnoreUnpackErrors bool
	Bandwidth          int64 // limit in KiB/s; 0 leaves it to Proxmox
}

// Restore makes a container from a backup and leaves it stopped. It needs what [Client.Create] needs, or
// VM.Backup on an existing container that it replaces.
func (c *Client) Restore(ctx context.Context, node string, rp RestoreParams) (UPID, error) {
	p := params{}
	p.all(rp.Values)
	p.flag("restore", true)
	p.number("vmid", int64(rp.ID))
	p.text("ostemplate", rp.Archive)
	p.text("storage", rp.Storage)
	p.text("pool", rp.Pool)
	p.flag("unique", rp.Unique)
	p.flag("force", rp.Force)
	p.flag("ignore-unpack-errors", rp.IgnoreUnpackErrors)
	p.number("bwlimit", rp.Bandwidth)
	return c.task(ctx, "POST", nodePath(node, "/lxc"), p)
}

// A CloneMode says whether a clone has volumes of its own.
type CloneMode int

// The modes of a clone.
const (
	CloneDefault CloneMode = iota // linked from a template, full from anything else
	CloneFull
	CloneLinked
)

// String is "default", "full" or "linked".
func (m CloneMode) String() string {
	switch m {
	case CloneFull:
		return "full"
	case CloneLinked:
		return "linked"
	}
	return "default"
}

// CloneParams describe a container that is made from another.
type CloneParams struct {
	ID          VMID // of the new container
	Mode        CloneMode
	Snapshot    string // copy this snapshot, not the present; a must for a full clone of a running container
	Hostname    string
	Description string
	Pool        string
	Storage     string // of a full clone
	Node        string // where it goes, if all storages are shared
	Bandwidth   int64  // limit in KiB/s; 0 leaves it to Proxmox
}

// Clone makes a container from another, with all its settings but pending ones and MAC addresses. A VMID that
// is taken is refused with [ErrExists]. It needs VM.Clone on the source and VM.Allocate.
func (c *Client) Clone(ctx context.Context, source Ref, cp CloneParams) (UPID, error) {
	p := params{}
	p.number("newid", int64(cp.ID))
	switch cp.Mode {
	case CloneFull:
		p.text("full", "1")
	case CloneLinked:
		p.text("full", "0")
	}
	p.text("snapname", cp.Snapshot)
	p.text("hostname", cp.Hostname)
	p.text("description", cp.Description)
	p.text("pool", cp.Pool)
	p.text("storage", cp.Storage)
	p.text("target", cp.Node)
	p.number("bwlimit", cp.Bandwidth)
	return c.task(ctx, "POST", source.path("/clone"), p)
}

// DestroyParams say how far a destroy goes.
type DestroyParams struct {
	Force bool // kill the container first if it runs
	Purge bool // remove it from backup jobs, replication and high availability too
	// DestroyUnreferenced removes volumes that carry the VMID on any storage though the configuration does
	// not name them.
	DestroyUnreferenced bool
}

// Destroy removes a container with its volumes, snapshots and unused volumes, and its access rules. It takes
// no digest: read the configuration right before. It needs VM.Allocate.
func (c *Client) Destroy(ctx context.Context, ref Ref, d DestroyParams) (UPID, error) {
	p := params{}
	p.flag("force", d.Force)
	p.flag("purge", d.Purge)
	p.flag("destroy-unreferenced-disks", d.DestroyUnreferenced)
	return c.task(ctx, "DELETE", ref.path(""), p)
}

// ConvertToTemplate turns a stopped container without snapshots into a template, for good. Proxmox runs a task
// but does not tell its UPID (pve-container API2/LXC.pm, template), so that the node's tasks are listed before
// and after: three requests. It needs VM.Allocate.
func (c *Client) ConvertToTemplate(ctx context.Context, ref Ref) (UPID, error) {
	filter := TaskFilter{Source: TasksAll, Guest: ref.ID, Type: "vztemplate"}
	before, err := c.Tasks(ctx, ref.Node, filter)
	if err != nil {
		return UPID{}, err
	}
	if err := c.change(ctx, "POST", ref.path("/template"), params{}); err != nil {
		return UPID{}, err
	}
	after, err := c.Tasks(ctx, ref.Node, filter)
	if err != nil {
		return UPID{}, fmt.Errorf("find the task that makes %s a template: %w: %w", ref, ErrOutcomeUnknown, err)
	}
	for _, t := range after {
		known := func(old TaskStatus) bool { return old.UPID == t.UPID }
		if !slices.ContainsFunc(before, known) {
			return t.UPID, nil
		}
	}
	return UPID{}, fmt.Errorf("find the task that makes %s a template: %w", ref, ErrOutcomeUnknown)
}

// A BackupMode says what a running container goes through while it is backed up.
type BackupMode string

// The modes of a backup; Proxmox's default is [BackupSnapshot].
const (
	BackupSnapshot BackupMode = "snapshot" // nothing, where its volumes can take snapshots
	BackupSuspend  BackupMode = "suspend"  // it is frozen for a while
	BackupStop     BackupMode = "stop"     // it is stopped and started again
)

// A Compression is how a backup is compressed.
type Compression string

// The compressions; Proxmox's default is none.
const (
	CompressZstd Compression = "zstd"
	CompressLZO  Compression = "lzo"
	CompressGzip Compression = "gzip"
	CompressNone Compression = "0"
)

// BackupParams describe a backup of guests on one node.
type BackupParams struct {
	Guests    []VMID
	Storage   string
	Mode      BackupMode
	Compress  Compression
	Notes     string // template of the notes, as "{{guestname}} nightly"
	Protected bool   // mark it as protected, so that it is never pruned
	Prune     string // retention of older ones, as "keep-last=3"; the storage's own where empty
	// KeepOld removes none of the older ones, whatever the storage's retention is. Where that limits their number and it is
	// reached, the backup fails (pve-manager VZDump.pm, exec_backup_task).
	KeepOld   bool
	Bandwidth int64 // limit in KiB/s; 0 leaves it to Proxmox
}

// Backup backs up guests with vzdump. Where none of them is on this node, Proxmox answers "OK" and runs no task: the
// error is then [ErrNothing]. VM.Backup is checked by the task, guest by guest (pve-manager API2/VZDump.pm, vzdump);
// Datastore.AllocateSpace at once.
func (c *Client) Backup(ctx context.Context, node string, b BackupParams) (UPID, error) {
	p := params{}
	p.list("vmid", joinIDs(b.Guests))
	p.text("storage", b.Storage)
	p.text("mode", string(b.Mode))
	p.text("compress", string(b.Compress))
	p.text("notes-template", b.Notes)
	p.flag("protected", b.Protected)
	p.text("prune-backups", b.Prune)
	if b.KeepOld {
		p.text("remove", "0")
	}
	p.number("bwlimit", b.Bandwidth)
	r := Request{Method: "POST", Path: nodePath(node, "/vzdump"), Params: p.values()}
	data, err := c.t.Do(ctx, r)
	if err != nil {
		return UPID{}, err
	}
	if string(data) == `"OK"` {
		return UPID{}, fmt.Errorf("%s: none of the guests is on node %s: %w", r, node, ErrNothing)
	}
	return taskOf(r, data)
}
