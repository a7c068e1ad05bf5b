package rehearse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/spec/setting"
)

// guests copies containers: those that the spec declares, that carry the owner's tag or that are cloned, with all
// of their configuration; others as what occupies a VMID.
func (c *copier) guests(ctx context.Context) error {
	inventory, err := c.client.Resources(ctx, proxmox.KindGuests)
	if err != nil {
		return err
	}
	for _, g := range inventory {
		if c.State.Nodes[g.Node] == nil {
			continue
		}
		if g.HAState != "" {
			c.State.HA[g.Guest] = requested(g.HAState)
		}
		switch {
		case g.Type == "lxc":
			c.State.Containers[g.Guest] = &sim.Container{Node: g.Node, Config: bare(g.Name, g.Tags, g.Lock)}
		default:
			c.State.VMs[g.Guest] = &sim.VM{Node: g.Node, Name: g.Name, Status: g.Status}
		}
	}
	for _, node := range c.nodes {
		list, err := c.client.Containers(ctx, node)
		if err != nil {
			return err
		}
		for _, s := range list {
			if err := c.container(ctx, node, s); err != nil {
				return err
			}
		}
	}
	return c.taken(ctx)
}

// requested is the state that somebody asked the high availability manager for; what it is about to do shows in the
// inventory, too (pve-ha-manager HA/Manager.pm, states of services).
func requested(state string) string {
	switch state {
	case "stopped", "ignored", "disabled", "error":
		return state
	case "request_stop":
		return "stopped"
	}
	return "started"
}

func bare(name string, tags []string, lock string) string {
	s := section{values: proxmox.Values{}}
	for key, text := range map[string]string{"hostname": name, "tags": strings.Join(tags, ";"), "lock": lock} {
		if text != "" {
			s.values[key] = text
		}
	}
	return s.text()
}

// concerned reports whether the spec has to do with a container.
func (c *copier) concerned(s proxmox.ContainerStatus) bool {
	if slices.ContainsFunc(s.Tags, func(t string) bool { return strings.EqualFold(t, c.want.Cluster.Owner) }) {
		return true
	}
	for _, w := range c.want.Containers {
		if w.ID == s.ID || w.From.Clone.ID == s.ID {
			return true
		}
	}
	return false
}

func (c *copier) container(ctx context.Context, node string, s proxmox.ContainerStatus) error {
	own := &sim.Container{Node: node, Running: s.Status == proxmox.Running, Config: bare(s.Name, s.Tags, s.Lock)}
	c.State.Containers[s.ID] = own
	if !c.concerned(s) {
		return nil
	}
	c.disk[s.ID] = s.Disk
	ref := proxmox.Ref{Node: node, ID: s.ID}
	text, err := c.config(ctx, ref)
	if err = c.hidden(err, "the configuration of %s is not shown to the token: it is left out", ref); err != nil {
		if errors.Is(err, proxmox.ErrNoGuest) { // gone since the listing
			delete(c.State.Containers, s.ID)
			delete(c.State.HA, s.ID)
			return nil
		}
		return err
	}
	if text != "" {
		own.Config = text
	}
	return nil
}

// config puts the config file of a container together.
func (c *copier) config(ctx context.Context, ref proxmox.Ref) (string, error) {
	now, err := c.client.LiveConfig(ctx, ref)
	if err != nil {
		return "", err
	}
	both, err := c.client.Config(ctx, ref)
	if err != nil {
		return "", err
	}
	current := section{values: now.Values, raw: now.Raw}
	var b strings.Builder
	b.WriteString(current.text())
	c.note(ref, now.Values, both.Pending)
	if len(both.Deleted) > 0 {
		both.Pending["delete"] = strings.Join(slices.Sorted(maps.Keys(both.Deleted)), ",")
	}
	if len(both.Pending) > 0 {
		b.WriteString("\n[pve:pending]\n" + section{values: both.Pending}.text())
	}
	if now.Values["parent"] == "" {
		return b.String(), nil
	}
	snapshots, err := c.client.Snapshots(ctx, ref)
	if err != nil {
		return "", err
	}
	slices.SortFunc(snapshots.List, func(x, y proxmox.Snapshot) int { return x.Time.Compare(y.Time) })
	for _, s := range snapshots.List {
		cfg, err := c.client.SnapshotConfig(ctx, ref, s.Name)
		if err != nil {
			return "", err
		}
		b.WriteString("\n[" + s.Name + "]\n" + section{values: cfg.Values}.text())
		c.note(ref, cfg.Values)
	}
	return b.String(), nil
}

// note remembers the volumes that a configuration names, with their sizes, and the bridges.
func (c *copier) note(ref proxmox.Ref, views ...proxmox.Values) {
	id := ref.ID
	volumes := c.size[id]
	if volumes == nil {
		volumes = map[string]int64{}
		c.size[id] = volumes
	}
	for _, v := range views {
		live, err := setting.Container.ParseValues(v)
		if err != nil {
			c.unsure("the configuration of container %d is not understood: %v", id, err)
			continue
		}
		c.plugged(ref.Node, live.Record)
		mounts, _ := live.Record[setting.Mounts.Path].(setting.Members)
		for _, r := range append(slices.Collect(maps.Values(mounts)), setting.RootFS.Or(live.Record, nil)) {
			if volume, ok := setting.Volume.Get(r); ok {
				volumes[volume] = max(volumes[volume], int64(setting.Size.Or(r, 0)))
			}
		}
		for _, volume := range live.Unused {
			volumes[volume] += 0
		}
	}
}

// taken looks for VMIDs that are to be used and belong to a guest which the token does not see.
func (c *copier) taken(ctx context.Context) error {
	for _, w := range c.want.Containers {
		if c.State.Containers[w.ID] != nil || c.State.VMs[w.ID] != nil || len(c.nodes) == 0 {
			continue
		}
		taken, err := c.client.IDTaken(ctx, w.ID)
		if err != nil {
			return err
		}
		if taken {
			c.State.VMs[w.ID] = &sim.VM{Node: c.nodes[0], Name: "hidden"}
			c.unsure("VMID %d is taken by a guest that the token may not see", w.ID)
		}
	}
	return nil
}

// A section is a part of a config file that is to be written.
type section struct {
	values proxmox.Values // of the pending one, "delete" is a key, too
	raw    []proxmox.RawLine
}

// text is the section as Proxmox writes it (pve-container LXC/Config.pm, write_pct_config).
func (s section) text() string {
	var b strings.Builder
	if d := strings.TrimSuffix(s.values["description"], "\n"); d != "" {
		for line := range strings.SplitSeq(d, "\n") {
			b.WriteString("#" + escape(line) + "\n")
		}
	}
	for _, key := range s.values.Keys() {
		if key != "description" && key != "env" && key != "digest" {
			fmt.Fprintf(&b, "%s: %s\n", key, s.values[key])
		}
	}
	if env := s.values["env"]; env != "" {
		for v := range strings.SplitSeq(env, "\x00") {
			b.WriteString("lxc.environment.runtime: " + v + "\n")
		}
	}
	for _, l := range s.raw {
		b.WriteString(l.Key + ": " + l.Value + "\n")
	}
	return b.String()
}

// escape writes control characters, "%", ":" and all beyond ASCII as %XX (pve-guest-common, encode_text).
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '%' || c == ':' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
