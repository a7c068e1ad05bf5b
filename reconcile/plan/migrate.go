package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// migrateTimeout is how long a migration waits for the container to stop; Proxmox's own default.
const migrateTimeout = 180 * time.Second

// migrate moves a container to the node that the spec says. Nothing else is done to it in the same plan: the
// next pass finds it there.
func (c *computation) migrate(w *spec.Container, have *Observed) {
	lane := Lane{Ref: have.Ref, Name: w.Name, Action: Change, Base: have.Config}
	b := Blocked{ID: w.ID, Name: w.Name, What: "migrate"}
	b.Reason, b.Ways = c.cannotMigrate(w, have)
	if b.Reason == "" && have.Running {
		b.Reason, b.Ways = c.noRestart(w, "the migration to "+w.Node)
		b.Waiting = b.Reason != ""
	}
	if b.Reason != "" {
		c.block(b)
		return
	}
	step := Step{
		Op:    Migrate{Target: w.Node, Restart: have.Running, Timeout: migrateTimeout},
		Cause: fmt.Sprintf("node %s → %s", have.Ref.Node, w.Node),
	}
	if have.Running {
		step.Effect = setting.Restart
	}
	lane.Steps, lane.Effect = []Step{step}, step.Effect
	c.plan.Lanes = append(c.plan.Lanes, lane)
}

// cannotMigrate says why Proxmox would refuse to migrate a container (pve-container LXC/Migrate.pm, prepare).
func (c *computation) cannotMigrate(w *spec.Container, have *Observed) (why string, ways []string) {
	online, known := c.have.Nodes[w.Node]
	stay := "write node: " + have.Ref.Node
	switch {
	case !known:
		return fmt.Sprintf("node %s does not exist", w.Node), []string{stay}
	case !online:
		return fmt.Sprintf("node %s is offline", w.Node), []string{stay, "bring the node back"}
	}
	for _, id := range slices.Sorted(maps.Keys(mountsOf(have.Current.Record))) {
		r := mountsOf(have.Current.Record)[id]
		if host, ok := setting.HostPath.Get(r); ok && !setting.Shared.Or(r, false) {
			return fmt.Sprintf("mount %s shows %s of node %s", id, host, have.Ref.Node),
				[]string{stay, "write shared: true, if " + w.Node + " has the same there", "take the mount out first"}
		}
	}
	for _, v := range have.volumes() {
		storage, _, _ := strings.Cut(v, ":")
		here, there := c.have.Storages[have.Ref.Node][storage], c.have.Storages[w.Node]
		switch {
		case c.have.Storages[have.Ref.Node] == nil || here.Shared:
		case there != nil && there[storage].Name == "":
			return fmt.Sprintf("volume %s lies on storage %s, which node %s does not have", v, storage, w.Node), []string{stay}
		case have.Config.Current["parent"] != "" && here.Type != "zfspool" && here.Type != "btrfs":
			return fmt.Sprintf("it has snapshots, and those on storage %s (%s) cannot move", storage, here.Type),
				[]string{stay, "delete its snapshots"}
		case strings.Contains(v, "/base-") || strings.Contains(v, "/basevol-"):
			return fmt.Sprintf("volume %s is linked to the template that it was cloned from", v),
				[]string{stay, "make a full clone"}
		}
	}
	return "", nil
}
