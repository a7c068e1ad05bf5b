package proxmox

import (
	"context"
	"strconv"
	"time"

	"github.com/felhom/tend/proxmox/property"
)

// SetConfig changes the configuration of a container. It is done when it returns: there is no task.
//
// What cannot take effect in a running container becomes pending. It is not atomic: after an error, changes
// may be in force in part, and volumes allocated; read the configuration again (pve-container
// API2/LXC/Config.pm, update_vm). An empty update is not sent. It needs a privilege of VM.Config.* for each
// key; some keys are for root@pam alone.
func (c *Client) SetConfig(ctx context.Context, ref Ref, u Update) error {
	if len(u.Set) == 0 && len(u.Delete) == 0 && len(u.Revert) == 0 {
		return nil
	}
	p := params{}
	p.all(u.Set)
	p.list("delete", u.Delete)
	p.list("revert", u.Revert)
	p.text("digest", u.Digest)
	return c.change(ctx, "PUT", ref.path("/config"), p)
}

// ResizeParams say which volume grows, and to what.
type ResizeParams struct {
	Disk   string // "rootfs" or "mp0"
	Size   int64  // the size that it shall have in bytes, or, with Grow,
	Grow   bool   // by how much it grows
	Digest string // of the configuration it was planned on; empty turns the check off
}

// Resize grows a volume. A volume that has the size already is refused with [ErrAlready], shrinking always.
// It needs VM.Config.Disk and VM.Config.Options, and Datastore.AllocateSpace on the storage.
func (c *Client) Resize(ctx context.Context, ref Ref, r ResizeParams) (UPID, error) {
	p := params{}
	p.text("disk", r.Disk)
	size := property.Size{}.Format(r.Size)
	if r.Grow {
		size = "+" + size
	}
	p.text("size", size)
	p.text("digest", r.Digest)
	return c.task(ctx, "PUT", ref.path("/resize"), p)
}

// MoveParams say where a volume goes: to another storage, or to another container.
type MoveParams struct {
	Volume       string // key of the volume: "mp0"
	Storage      string // the new storage, or
	Target       VMID   // the new container on the same node, and
	TargetVolume string // its key there; the same key where empty
	Delete       bool   // remove the source after a copy; else it stays as unusedN
	Digest       string // of the configuration
	TargetDigest string // of the configuration of the target container
	Bandwidth    int64  // limit in KiB/s; 0 leaves it to Proxmox
}

// MoveVolume moves a volume of a stopped container. It needs VM.Config.Disk, and Datastore.AllocateSpace on
// the new storage.
func (c *Client) MoveVolume(ctx context.Context, ref Ref, m MoveParams) (UPID, error) {
	p := params{}
	p.text("volume", m.Volume)
	p.text("storage", m.Storage)
	p.number("target-vmid", int64(m.Target))
	p.text("target-volume", m.TargetVolume)
	p.flag("delete", m.Delete)
	p.text("digest", m.Digest)
	p.text("target-digest", m.TargetDigest)
	p.number("bwlimit", m.Bandwidth)
	return c.task(ctx, "POST", ref.path("/move_volume"), p)
}

// Snapshot takes a snapshot of all volumes and of the configuration. The name is a letter and 1 to 39 letters,
// digits, "-" or "_". It needs VM.Snapshot.
func (c *Client) Snapshot(ctx context.Context, ref Ref, name, description string) (UPID, error) {
	p := params{}
	p.text("snapname", name)
	p.text("description", description)
	return c.task(ctx, "POST", ref.path("/snapshot"), p)
}

// DescribeSnapshot changes the description of a snapshot. It is done when it returns. It needs VM.Snapshot.
func (c *Client) DescribeSnapshot(ctx context.Context, ref Ref, name, description string) error {
	p := params{"description": {description}}
	return c.change(ctx, "PUT", ref.path("/snapshot/"+escape(name)+"/config"), p)
}

// Rollback stops the container and brings its volumes and its whole configuration back to a snapshot. It is
// left stopped: to start it in the same call would fork a second task without a UPID. It needs VM.Snapshot or
// VM.Snapshot.Rollback.
func (c *Client) Rollback(ctx context.Context, ref Ref, name string) (UPID, error) {
	return c.task(ctx, "POST", ref.path("/snapshot/"+escape(name)+"/rollback"), params{})
}

// DeleteSnapshot removes a snapshot. With force it is dropped from the configuration even where a volume's
// snapshot cannot be removed, which is then left on the storage. It needs VM.Snapshot.
func (c *Client) DeleteSnapshot(ctx context.Context, ref Ref, name string, force bool) (UPID, error) {
	p := params{}
	p.flag("force", force)
	return c.task(ctx, "DELETE", ref.path("/snapshot/"+escape(name)), p)
}

// Start starts a container, which applies pending changes. One that runs is refused with [ErrAlready]. It
// needs VM.PowerMgmt, as all power actions do.
//
// Of a container that the high availability manager rules, Start, Stop and Shutdown only hand in a request:
// the task ends at once, and [ContainerStatus.Status] tells when it was met.
func (c *Client) Start(ctx context.Context, ref Ref) (UPID, error) {
	return c.task(ctx, "POST", ref.path("/status/start"), params{})
}

// Stop kills a container. One that does not run is refused with [ErrAlready].
func (c *Client) Stop(ctx context.Context, ref Ref) (UPID, error) {
	return c.task(ctx, "POST", ref.path("/status/stop"), params{})
}

// ShutdownParams say how long a container may take.
type ShutdownParams struct {
	Timeout   time.Duration // rounded up to seconds; Proxmox's default of a minute where 0
	ForceStop bool          // kill it at the end of the time; else the task fails
}

// Shutdown asks a container to stop. One that does not run is refused with [ErrAlready]. The container's file
// lock is held until the end, so that other changes meet [ErrBusy].
func (c *Client) Shutdown(ctx context.Context, ref Ref, s ShutdownParams) (UPID, error) {
	p := params{}
	p.number("timeout", seconds(s.Timeout))
	p.flag("forceStop", s.ForceStop)
	return c.task(ctx, "POST", ref.path("/status/shutdown"), p)
}

// Reboot shuts a running container down, kills it after the timeout (Proxmox's default where 0) and starts it
// again, which applies pending changes. It heeds no lock. One that does not run is refused with [ErrAlready].
func (c *Client) Reboot(ctx context.Context, ref Ref, timeout time.Duration) (UPID, error) {
	p := params{}
	p.number("timeout", seconds(timeout))
	return c.task(ctx, "POST", ref.path("/status/reboot"), p)
}

// seconds rounds up, so that a short time never becomes none.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func joinIDs(ids []VMID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = strconv.Itoa(int(id))
	}
	return out
}
