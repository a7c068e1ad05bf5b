package proxmox

import (
	"context"
	"strings"
	"time"
)

// Content is a kind of what a storage holds.
type Content string

// The kinds that Proxmox knows (pve-storage Plugin.pm, valid_lists of content).
const (
	ContentRootDir   Content = "rootdir"  // volumes of containers
	ContentImages    Content = "images"   // disks of virtual machines
	ContentTemplates Content = "vztmpl"   // templates of containers, and OCI images
	ContentBackups   Content = "backup"   // what vzdump made
	ContentISO       Content = "iso"      // images of installation media
	ContentSnippets  Content = "snippets" // hook scripts
	ContentImport    Content = "import"   // disks of machines to import
)

// A Storage is a storage as a node sees it. Sizes are in bytes.
type Storage struct {
	Name    string    `pve:"storage"`
	Type    string    `pve:"type"`    // "dir", "zfspool", "lvmthin", …
	Content []Content `pve:"content"` // what it may hold
	Active  bool      `pve:"active"`
	Enabled bool      `pve:"enabled"`
	Shared  bool      `pve:"shared"`
	Total   int64     `pve:"total"`
	Used    int64     `pve:"used"`
	Avail   int64     `pve:"avail"`
}

// Storages lists the storages of a node on which the token has Datastore.Audit or Datastore.AllocateSpace.
func (c *Client) Storages(ctx context.Context, node string) (list []Storage, err error) {
	return list, c.get(ctx, nodePath(node, "/storage"), nil, &list)
}

// A ContentFilter narrows a list of volumes. Its zero value lets everything through.
type ContentFilter struct {
	Content Content
	Guest   VMID // volumes and backups of this guest
}

// A Volume is something that a storage holds.
type Volume struct {
	ID        string    `pve:"volid"` // "local:vztmpl/debian-13.tar.zst"
	Content   Content   `pve:"content"`
	Format    string    `pve:"format"`
	Size      int64     `pve:"size"`
	Used      int64     `pve:"used"` // bytes on the storage, where it can tell
	Created   time.Time `pve:"ctime"`
	Guest     VMID      `pve:"vmid"`
	Parent    string    `pve:"parent"` // the base volume of a linked clone
	Subtype   string    `pve:"subtype"`
	Notes     string    `pve:"notes"` // of a backup, the first line
	Protected bool      `pve:"protected"`

	// Of backups on a Proxmox Backup Server alone:

	Verification Verification `pve:"verification"`
	Encrypted    string       `pve:"encrypted"` // fingerprint of the key, or "1"; empty where it is not
}

// A Verification is what a Proxmox Backup Server found when it last read a backup whole and compared it with its
// checksums (pve-storage PBSPlugin.pm, list_volumes). Its zero value says that this was never done, or that the storage
// cannot do it.
type Verification struct {
	State string `pve:"state"` // "ok" or "failed"
	Task  string `pve:"upid"`  // of the server; it is no task of a node
}

// A Use is how much a volume may hold and how much room it takes, in bytes.
type Use struct {
	Size int64 `pve:"size"`
	// Used is 0 where the storage cannot tell. ZFS counts what is left after compression, and no snapshots; files, what
	// is allocated to them; LVM, thin or not, and subvolumes of Btrfs tell nothing (pve-storage, volume_size_info of the
	// plugins).
	Used int64 `pve:"used"`
}

// VolumeUse asks a storage about one volume; lists tell the use only of files. It takes Datastore.Allocate, or
// Datastore.Audit and VM.Config.Disk on the guest (pve-storage API2/Storage/Content.pm, info).
func (c *Client) VolumeUse(ctx context.Context, node, volume string) (u Use, err error) {
	storage, _, _ := strings.Cut(volume, ":")
	return u, c.get(ctx, nodePath(node, "/storage/"+escape(storage)+"/content/"+escape(volume)), nil, &u)
}

// StorageContent lists what a storage holds and the token may see. Volumes of guests need Datastore.Allocate,
// or Datastore.Audit and VM.Config.Disk on the guest (pve-storage API2/Storage/Content.pm, index).
func (c *Client) StorageContent(ctx context.Context, node, storage string, f ContentFilter) (list []Volume, err error) {
	p := params{}
	p.text("content", string(f.Content))
	p.number("vmid", int64(f.Guest))
	return list, c.get(ctx, nodePath(node, "/storage/"+escape(storage)+"/content"), p.values(), &list)
}

// BackupNotes reads all notes of a backup; lists tell their first line alone.
func (c *Client) BackupNotes(ctx context.Context, node, volume string) (string, error) {
	storage, _, _ := strings.Cut(volume, ":")
	var a struct {
		Notes string `pve:"notes"`
	}
	err := c.get(ctx, nodePath(node, "/storage/"+escape(storage)+"/content/"+escape(volume)), nil, &a)
	return a.Notes, err
}

// DeleteBackup removes a backup. One that is protected is refused. It needs Datastore.AllocateSpace on the storage and
// VM.Backup on the guest (pve-storage API2/Storage/Content.pm, delete).
func (c *Client) DeleteBackup(ctx context.Context, node, volume string) (UPID, error) {
	storage, _, _ := strings.Cut(volume, ":")
	return c.task(ctx, "DELETE", nodePath(node, "/storage/"+escape(storage)+"/content/"+escape(volume)), params{})
}
