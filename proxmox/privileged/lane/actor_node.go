package lane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// Mount makes a host mount of an owner present on a node, or absent from it.
func (a *Actor) Mount(ctx context.Context, node, owner string, m proxmox.HostMount, absent bool) error {
	_, err := a.Do(ctx, privileged.Mount{Node: node, Owner: owner, Mount: m, Absent: absent})
	return err
}

// PutSnippet puts a hook script in place, executable.
func (a *Actor) PutSnippet(ctx context.Context, node, volume string, content []byte) error {
	sum := sha256.Sum256(content)
	_, err := a.Do(ctx, privileged.PutSnippet{Node: node, Volume: volume, Content: content, SHA256: hex.EncodeToString(sum[:])})
	return err
}

// HostMounts reads the host mounts of a node, and looks for devices besides.
func (a *Actor) HostMounts(ctx context.Context, node string, devices []string) (out proxmox.NodeMounts, err error) {
	return out, a.read(ctx, privileged.ReadMounts{Node: node, Devices: devices}, &out)
}

// Snippets reads what is in place of snippets, by their volumes.
func (a *Actor) Snippets(ctx context.Context, node string, volumes []string) (out map[string]proxmox.SnippetStatus, err error) {
	return out, a.read(ctx, privileged.ReadSnippets{Node: node, Volumes: volumes}, &out)
}

// Disks reads which disks a node has and what lies on them.
func (a *Actor) Disks(ctx context.Context, node string) (out proxmox.NodeDisks, err error) {
	return out, a.read(ctx, privileged.ReadHealth{Node: node, Disks: true}, &out)
}

// Smart is what smartctl prints of a disk of a node, as JSON.
func (a *Actor) Smart(ctx context.Context, node, disk string) ([]byte, error) {
	out, err := a.Do(ctx, privileged.ReadHealth{Node: node, Disk: disk})
	return out.Output, err
}

// Sensors is what sensors prints on a node, as JSON.
func (a *Actor) Sensors(ctx context.Context, node string) ([]byte, error) {
	out, err := a.Do(ctx, privileged.ReadHealth{Node: node, Sensors: true})
	return out.Output, err
}

// read decodes what a reading has found.
func (a *Actor) read(ctx context.Context, r privileged.Request, into any) error {
	result, err := a.Do(ctx, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(result.Output, into); err != nil {
		return fmt.Errorf("%v: understand what was read: %w", r, err)
	}
	return nil
}

// Lead takes the lock by which this node's agent acts for an owner on all of the cluster.
func (a *Actor) Lead(ctx context.Context, node, owner string) (out proxmox.Leadership, err error) {
	return out, a.read(ctx, privileged.Lead{Node: node, Owner: owner}, &out)
}

// KeepLead renews that lock where this node has it, and says who does.
func (a *Actor) KeepLead(ctx context.Context, node, owner string) (out proxmox.Leadership, err error) {
	return out, a.read(ctx, privileged.KeepLead{Node: node, Owner: owner}, &out)
}

// Resign gives that lock back, where this node has it.
func (a *Actor) Resign(ctx context.Context, node, owner string) error {
	_, err := a.Do(ctx, privileged.Lead{Node: node, Owner: owner, Resign: true})
	return err
}
