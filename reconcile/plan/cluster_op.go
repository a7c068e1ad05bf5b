package plan

import (
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
)

// DownloadAppliance lets the lane's node download a template of Proxmox's list.
type DownloadAppliance struct{ Storage, File string }

// DownloadURL lets the lane's node download a template from somewhere.
type DownloadURL struct {
	Storage, URL, File string
	Checksum           spec.Checksum
}

// PullImage lets the lane's node pull an OCI image from its registry.
type PullImage struct{ Storage, Reference, File string }

// CreateJob makes a backup job.
type CreateJob struct {
	ID     string
	Values proxmox.Values
}

// UpdateJob changes a backup job that still is what it was.
type UpdateJob struct {
	ID     string
	Set    proxmox.Values
	Delete []string
	Was    proxmox.Values
}

// DeleteJob removes a backup job that still is what it was, and none of its backups.
type DeleteJob struct {
	ID  string
	Was proxmox.Values
}

// JoinPool makes the container a member of a pool, and takes it out of the one that it is in.
type JoinPool struct{ Pool string }

// LeavePool takes the container out of a pool.
type LeavePool struct{ Pool string }

func (DownloadAppliance) op() {}
func (DownloadURL) op()       {}
func (PullImage) op()         {}
func (CreateJob) op()         {}
func (UpdateJob) op()         {}
func (DeleteJob) op()         {}
func (JoinPool) op()          {}
func (LeavePool) op()         {}

// Verb implements [Op].
func (o DownloadAppliance) Verb() string { return "download " + o.File + " to " + o.Storage }

// Verb implements [Op].
func (o DownloadURL) Verb() string { return "download " + o.File + " to " + o.Storage }

// Verb implements [Op].
func (o PullImage) Verb() string { return "pull " + o.Reference + " as " + o.File + " to " + o.Storage }

// Verb implements [Op].
func (o CreateJob) Verb() string { return "create backup job " + o.ID }

// Verb implements [Op].
func (o UpdateJob) Verb() string {
	return "change backup job " + o.ID + ": " + SetConfig{Set: o.Set, Delete: o.Delete}.Verb()
}

// Verb implements [Op].
func (o DeleteJob) Verb() string { return "delete backup job " + o.ID }

// Verb implements [Op].
func (o JoinPool) Verb() string { return "add to pool " + o.Pool }

// Verb implements [Op].
func (o LeavePool) Verb() string { return "remove from pool " + o.Pool }
