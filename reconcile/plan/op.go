package plan

import (
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// An Op is one operation. The set is closed.
type Op interface {
	op()
	// Verb is what the operation does, for progress and journal: "set cores, memory".
	Verb() string
}

// CreateContainer makes a container from a template.
type CreateContainer struct {
	Template string
	Pool     string // that it is made a member of; none where empty
	Values   proxmox.Values
	SSHKeys  []string
	Password spec.SecretRef
}

// SetConfig changes settings. The digest is that of the configuration at the time of the call.
type SetConfig struct {
	Set    proxmox.Values
	Delete []string
	Revert []string
}

// SetRaw replaces the lines for LXC itself, each "key: value". Only root@pam can, and on the node alone.
type SetRaw struct{ Lines []string }

// Resize grows a volume.
type Resize struct {
	Disk string        // "rootfs" or "mp0"
	Size setting.Bytes // the size it shall have
}

// Start starts the container.
type Start struct{}

// Shutdown stops it, by force once the timeout is over.
type Shutdown struct{ Timeout time.Duration }

// Reboot stops it and starts it again; what is pending is then in force.
type Reboot struct{ Timeout time.Duration }

// DestroyContainer destroys the container and its volumes.
type DestroyContainer struct {
	Volumes []string // all that go with it
}

// MoveVolume moves a volume of a stopped container to another storage; the old volume becomes unused.
type MoveVolume struct {
	Disk    string // "rootfs" or "mp0"
	Storage string
}

// DestroyVolume destroys a volume that the container has and does not mount, with its data. It is named by
// the volume, since its key is known only once it is detached.
type DestroyVolume struct{ Volume string }

// CloneContainer makes a container as a copy of another.
type CloneContainer struct {
	Source   proxmox.Ref
	Hostname string
	// Description marks the copy until it is finished.
	Description string
	Snapshot    string
	Kind        spec.CloneKind
	Pool        string
	Storage     string // of a full clone; the source's where empty
	Target      string // node, where it is another than the source's
}

// RestoreContainer makes a container from a backup.
type RestoreContainer struct {
	Archive string
	Unique  bool // its interfaces get MAC addresses of their own
	Storage string
	Pool    string
	Values  proxmox.Values // in place of those of the backup
}

// Migrate moves the container to another node. Where it runs, it is stopped, moved and started again.
type Migrate struct {
	Target  string
	Restart bool
	Timeout time.Duration // of the shutdown
}

// MakeTemplate turns the stopped container into a template, for good.
type MakeTemplate struct{}

// Backup backs the container up and keeps the backup.
type Backup struct {
	Storage string
	Mode    proxmox.BackupMode // what a running container goes through: a stop where empty
}

// TakeSnapshot takes a snapshot, of all volumes and of the configuration.
type TakeSnapshot struct{ Name, Description string }

// RestoreOver restores the backup that the lane has just made over the container.
type RestoreOver struct {
	Values proxmox.Values // its volumes, made anew, and what else is not taken from the backup
}

// Unlock removes the lock that an operation left which died. Only root@pam can, and it proves first that no task
// works on the container.
type Unlock struct{ Lock string }

// DeleteSnapshot deletes a snapshot.
type DeleteSnapshot struct {
	Name string
	// Force takes it out of the configuration though a volume's snapshot cannot be deleted, which then stays on
	// the storage.
	Force bool
}

// RollBack puts the volumes and the configuration back to what they were at a snapshot. The container is stopped.
type RollBack struct{ Name string }

// RemoveRemnant destroys what is left of a container that was never finished.
type RemoveRemnant struct {
	Volumes []string // all that go with it
	// Unreferenced: also those that carry its VMID and that its configuration does not name.
	Unreferenced bool
}

func (TakeSnapshot) op()     {}
func (Unlock) op()           {}
func (DeleteSnapshot) op()   {}
func (RollBack) op()         {}
func (RemoveRemnant) op()    {}
func (Backup) op()           {}
func (MakeTemplate) op()     {}
func (RestoreOver) op()      {}
func (CloneContainer) op()   {}
func (RestoreContainer) op() {}
func (Migrate) op()          {}
func (MoveVolume) op()       {}
func (DestroyVolume) op()    {}
func (CreateContainer) op()  {}
func (SetConfig) op()        {}
func (SetRaw) op()           {}
func (Resize) op()           {}
func (Start) op()            {}
func (Shutdown) op()         {}
func (Reboot) op()           {}
func (DestroyContainer) op() {}

// Verb implements [Op].
func (o CreateContainer) Verb() string { return "create from " + o.Template }

// Verb implements [Op].
func (o SetConfig) Verb() string {
	var parts []string
	for _, p := range []struct {
		verb string
		keys []string
	}{{"set", o.Set.Keys()}, {"delete", o.Delete}, {"revert", o.Revert}} {
		if len(p.keys) > 0 {
			parts = append(parts, p.verb+" "+join(p.keys))
		}
	}
	return join(parts)
}

// Verb implements [Op].
func (o SetRaw) Verb() string {
	if len(o.Lines) == 0 {
		return "remove raw LXC lines"
	}
	return "write raw LXC lines"
}

// Verb implements [Op].
func (o Resize) Verb() string { return "grow " + o.Disk + " to " + o.Size.String() }

// Verb implements [Op].
func (Start) Verb() string { return "start" }

// Verb implements [Op].
func (Shutdown) Verb() string { return "shut down" }

// Verb implements [Op].
func (Reboot) Verb() string { return "restart" }

// Verb implements [Op].
func (DestroyContainer) Verb() string { return "destroy" }

// Verb implements [Op].
func (o MoveVolume) Verb() string { return "move " + o.Disk + " to " + o.Storage }

// Verb implements [Op].
func (o DestroyVolume) Verb() string { return "destroy volume " + o.Volume }

// Verb implements [Op].
func (o CloneContainer) Verb() string {
	verb := "clone "
	if o.Kind != "" {
		verb = string(o.Kind) + " clone of "
	}
	if o.Snapshot != "" {
		return verb + o.Source.ID.String() + ", snapshot " + o.Snapshot
	}
	return verb + o.Source.ID.String()
}

// Verb implements [Op].
func (o RestoreContainer) Verb() string { return "restore from " + o.Archive }

// Verb implements [Op].
func (o Migrate) Verb() string { return "migrate to " + o.Target }

// Verb implements [Op].
func (o Backup) Verb() string { return "back up to " + o.Storage }

// Verb implements [Op].
func (o RestoreOver) Verb() string { return "restore the backup over it" }

// Verb implements [Op].
func (MakeTemplate) Verb() string { return "make it a template" }

// Verb implements [Op].
func (o TakeSnapshot) Verb() string { return "take snapshot " + o.Name }

// Verb implements [Op].
func (o Unlock) Verb() string { return "remove lock " + o.Lock }

// Verb implements [Op].
func (o DeleteSnapshot) Verb() string {
	if o.Force {
		return "delete snapshot " + o.Name + " with force"
	}
	return "delete snapshot " + o.Name
}

// Verb implements [Op].
func (o RollBack) Verb() string { return "roll back to snapshot " + o.Name }

// Verb implements [Op].
func (RemoveRemnant) Verb() string { return "remove what is left" }
