package proxmox

import (
	"context"
	"time"
)

// An Appliance is a template that a node knows where to download.
type Appliance struct {
	File        string `pve:"template"` // its name as a volume: "debian-13-standard_13.1-2_amd64.tar.zst"
	Package     string `pve:"package"`  // "debian-13-standard"
	Version     string `pve:"version"`  // "13.1-2"
	OS          string `pve:"os"`       // "debian-13"
	Section     string `pve:"section"`  // "system", "turnkeylinux", …
	Type        string `pve:"type"`     // "lxc"; "openvz" of old ones
	Arch        string `pve:"architecture"`
	Headline    string `pve:"headline"`
	Description string `pve:"description"`
	Location    string `pve:"location"` // URL
	Source      string `pve:"source"`
	SHA512      string `pve:"sha512sum"`
	MD5         string `pve:"md5sum"`
}

// Appliances lists the templates that a node may download, as it last read them (pveam update; the node does that
// once a day). Any valid token may.
func (c *Client) Appliances(ctx context.Context, node string) (list []Appliance, err error) {
	return list, c.get(ctx, nodePath(node, "/aplinfo"), nil, &list)
}

// DownloadAppliance downloads a template of the list to a storage. A file that is there already and is the right
// one is no error; another of this name fails the task. A name that is not in the list is refused with
// [ErrInvalid]. It needs Datastore.AllocateTemplate (pve-manager API2/Nodes.pm, apl_download).
func (c *Client) DownloadAppliance(ctx context.Context, node, storage, file string) (UPID, error) {
	p := params{}
	p.text("storage", storage)
	p.text("template", file)
	return c.task(ctx, "POST", nodePath(node, "/aplinfo"), p)
}

// DownloadParams describe a file that a node fetches.
type DownloadParams struct {
	URL     string  // http or https
	Content Content // templates, ISO images or disks to import
	File    string  // its name on the storage
	// Algorithm and Checksum are what the file is checked with, "sha512" and hex; both empty: with nothing, and
	// then a file of this name that is there already fails the task.
	Algorithm, Checksum string
	Insecure            bool // do not verify certificates
}

// DownloadURL lets a node fetch a file to one of its storages. It needs Datastore.AllocateTemplate, and either
// Sys.Audit and Sys.Modify on / or Sys.AccessNetwork on the node (pve-storage API2/Storage/Status.pm, download_url).
func (c *Client) DownloadURL(ctx context.Context, node, storage string, d DownloadParams) (UPID, error) {
	p := params{}
	p.text("url", d.URL)
	p.text("content", string(d.Content))
	p.text("filename", d.File)
	p.text("checksum-algorithm", d.Algorithm)
	p.text("checksum", d.Checksum)
	if d.Insecure {
		p.text("verify-certificates", "0")
	}
	return c.task(ctx, "POST", nodePath(node, "/storage/"+escape(storage)+"/download-url"), p)
}

// PullImage lets a node fetch an OCI image from its registry, "docker.io/library/caddy:2". Proxmox adds .tar to
// the name of the file. One that is there already is refused with [ErrExists]. It needs Datastore.AllocateTemplate
// and Sys.AccessNetwork on the node (pve-storage API2/Storage/Status.pm, oci_registry_pull).
func (c *Client) PullImage(ctx context.Context, node, storage, reference, file string) (UPID, error) {
	p := params{}
	p.text("reference", reference)
	p.text("filename", file)
	return c.task(ctx, "POST", nodePath(node, "/storage/"+escape(storage)+"/oci-registry-pull"), p)
}

// DeleteVolume removes a volume of a storage: a template, a backup, or a volume of a guest that no configuration
// names. What is in use Proxmox does not check. It needs Datastore.Allocate, or for a backup
// Datastore.AllocateSpace and VM.Backup on the guest (pve-storage API2/Storage/Content.pm, delete).
func (c *Client) DeleteVolume(ctx context.Context, node, storage, volume string) (UPID, error) {
	return c.task(ctx, "DELETE", nodePath(node, "/storage/"+escape(storage)+"/content/"+escape(volume)), params{})
}

// A PrunedBackup is a backup and what a retention makes of it.
type PrunedBackup struct {
	Volume  string    `pve:"volid"`
	Guest   VMID      `pve:"vmid"`
	Type    string    `pve:"type"` // "lxc" or "qemu"
	Created time.Time `pve:"ctime"`
	Mark    string    `pve:"mark"` // "keep", "remove", "protected", or "renamed" for a name that is not vzdump's
}

// PruneParams say which backups are looked at and what is kept.
type PruneParams struct {
	Guest VMID   // 0: of all guests
	Type  string // "lxc" or "qemu"; empty: both
	Keep  string // "keep-last=3,keep-daily=7"; empty: what the storage is configured for
}

// PrunePreview tells what a retention would keep and remove, and removes nothing. It needs Datastore.Audit or
// Datastore.AllocateSpace.
func (c *Client) PrunePreview(ctx context.Context, node, storage string, pp PruneParams) (list []PrunedBackup, err error) {
	p := params{}
	p.number("vmid", int64(pp.Guest))
	p.text("type", pp.Type)
	p.text("prune-backups", pp.Keep)
	return list, c.get(ctx, nodePath(node, "/storage/"+escape(storage)+"/prunebackups"), p.values(), &list)
}
