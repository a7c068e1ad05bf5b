package proxmox

import (
	"context"
	"errors"
)

// A StorageConfig is an entry of the cluster's storage configuration (/etc/pve/storage.cfg).
type StorageConfig struct {
	Name     string    `pve:"storage"`
	Type     string    `pve:"type"`
	Content  []Content `pve:"content"`
	Nodes    []string  `pve:"nodes"` // where it is; everywhere where empty
	Path     string    `pve:"path"`
	Pool     string    `pve:"pool"`
	VGName   string    `pve:"vgname"`
	ThinPool string    `pve:"thinpool"`
	Shared   bool      `pve:"shared"`
	Disabled bool      `pve:"disable"`
}

// StorageConfigs lists the storage configuration, as far as the token has Datastore.Audit or
// Datastore.AllocateSpace (pve-storage API2/Storage/Config.pm, index).
func (c *Client) StorageConfigs(ctx context.Context) (list []StorageConfig, err error) {
	return list, c.get(ctx, "/storage", nil, &list)
}

// BackupConfig reads the text of the configuration file in a backup. It needs VM.Backup on the guest, or
// Datastore.Allocate on the storage (pve-manager API2/VZDump.pm, extractconfig).
func (c *Client) BackupConfig(ctx context.Context, node, volume string) (text string, err error) {
	p := params{}
	p.text("volume", volume)
	return text, c.get(ctx, nodePath(node, "/vzdump/extractconfig"), p.values(), &text)
}

// IDTaken reports whether a guest of the cluster has a VMID, be it one that the token may not see
// (pve-manager API2/Cluster.pm, nextid).
func (c *Client) IDTaken(ctx context.Context, id VMID) (bool, error) {
	p := params{}
	p.number("vmid", int64(id))
	var text string
	err := c.get(ctx, "/cluster/nextid", p.values(), &text)
	if errors.Is(err, ErrExists) {
		return true, nil
	}
	return false, err
}

// RawOptions reads the options of the datacenter as they are answered, for those who pass them on. Without
// Sys.Audit on /, Proxmox shows few of them.
func (c *Client) RawOptions(ctx context.Context) (o map[string]any, err error) {
	return o, c.get(ctx, "/cluster/options", nil, &o)
}
