package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

func newStatus(s *Streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status [PATH]",
		Short: "Show each container on two axes: synced and healthy",
		Long: `Show for each container of the spec whether it is what the spec says (synced), and whether
it is well (healthy): there, running where it shall be, and not locked. What waits for a
restart is shown, too. Nothing is changed.` + exits(
			"0  all containers are synced and healthy", "1  error",
			"2  some are out of sync", "3  some are degraded"),
		Example: `  tend status
  tend status --sandbox examples/homelab
  tend status -o json`,
		Args: atMostOne("path"),
		RunE: func(cmd *cobra.Command, args []string) error { return showStatus(cmd, s, output, pathOf(args)) },
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	outputFlag(cmd, &output, "text", "json")
	return cmd
}

func showStatus(cmd *cobra.Command, s *Streams, output, path string) error {
	write, err := s.output(output, "text", "json")
	if err != nil {
		return err
	}
	want, err := specOf(cmd, s, path)
	if err != nil {
		return err
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return err
	}
	defer ses.close()
	ctx := cmd.Context()
	p, have, err := ses.reconciler(plan.Policy{}).Plan(ctx, want)
	if err != nil {
		return err
	}
	up, err := uptimes(ctx, ses.client, have)
	if err != nil {
		return err
	}
	shown := view.ClusterState{Cluster: p.Cluster, Spec: revisionOf(path), Status: view.Plan{Plan: p}.Status()}
	for _, w := range want.Containers {
		shown.Containers = append(shown.Containers, stateOf(w, p, have.Containers[w.ID], up))
	}
	for _, u := range p.Unclaimed {
		shown.Containers = append(shown.Containers, unclaimedState(u, have.Containers[u.Ref.ID], up))
	}
	shown.Others = othersOf(p)
	if err := write(shown); err != nil {
		return err
	}
	if slices.ContainsFunc(shown.Containers, func(c view.ContainerState) bool { return !c.Healthy }) {
		return exit(exitBlocked)
	}
	if slices.ContainsFunc(shown.Containers, func(c view.ContainerState) bool { return c.Sync == view.OutOfSync }) || len(shown.Others) > 0 {
		return exit(exitPending)
	}
	return nil
}

// othersOf are the templates and backup jobs that are not as they shall be.
func othersOf(p *plan.Plan) []string {
	var out []string
	add := func(s plan.Subject) {
		if s.Kind != plan.ContainerKind && !slices.Contains(out, s.String()) {
			out = append(out, s.String())
		}
	}
	for _, l := range p.Lanes {
		add(l.Subject())
	}
	for _, b := range p.Blocked {
		add(b.Subject())
	}
	return out
}

// uptimes are those of the containers that were observed.
func uptimes(ctx context.Context, c *proxmox.Client, have *plan.Live) (map[proxmox.VMID]time.Duration, error) {
	out := map[proxmox.VMID]time.Duration{}
	for node, online := range have.Nodes {
		if !online {
			continue
		}
		list, err := c.Containers(ctx, node)
		if err != nil {
			return nil, fmt.Errorf("list containers of node %s: %w", node, err)
		}
		for _, x := range list {
			out[x.ID] = x.Uptime
		}
	}
	return out, nil
}

// stateOf puts a declared container on the two axes.
func stateOf(w *spec.Container, p *plan.Plan, have *plan.Observed, up map[proxmox.VMID]time.Duration) view.ContainerState {
	c := view.ContainerState{
		ID: w.ID, Name: w.Name, Node: w.Node, Sync: view.Synced, Healthy: true, Power: "missing",
		Differs: []string{}, Restart: []string{}, Problems: []string{},
	}
	if l := p.Lane(w.ID); l != nil {
		c.Sync = view.OutOfSync
		if l.Action == plan.Change {
			c.Differs = append(c.Differs, labelsOf(*l)...)
		}
	}
	for _, b := range p.Blocked {
		if b.ID == w.ID && b.Kind == plan.ContainerKind {
			c.Sync = view.OutOfSync
			if !b.Waiting {
				c.Differs = append(c.Differs, b.What+" (blocked)")
			}
		}
	}
	observe(&c, have, up)
	switch {
	case have == nil:
		c.Problems = append(c.Problems, absence(w, p))
	case have.Broken != nil:
		c.Problems = append(c.Problems, have.Broken.Error())
	case w.Power == spec.Running && !have.Running:
		c.Problems = append(c.Problems, "shall run and is stopped")
	}
	if c.Lock != "" {
		c.Problems = append(c.Problems, "an operation is at work on it, or was killed")
	}
	c.Healthy = len(c.Problems) == 0
	return c
}

// absence says of a container that was not found why it is not made, where that is known: it may only be out of the
// token's sight.
func absence(w *spec.Container, p *plan.Plan) string {
	for _, b := range p.Blocked {
		if b.ID == w.ID && b.What == plan.Create.String() {
			return b.Reason
		}
	}
	return "does not exist"
}

func labelsOf(l plan.Lane) []string {
	var out []string
	for _, ch := range l.Changes {
		out = append(out, ch.Label())
	}
	if len(out) == 0 {
		for _, s := range l.Steps {
			out = append(out, cmp.Or(s.Cause, s.Op.Verb()))
		}
	}
	return out
}

func unclaimedState(u plan.Unclaimed, have *plan.Observed, up map[proxmox.VMID]time.Duration) view.ContainerState {
	c := view.ContainerState{
		ID: u.Ref.ID, Name: u.Name, Sync: view.Unclaimed, Healthy: true,
		Differs: []string{}, Restart: []string{}, Problems: []string{},
	}
	observe(&c, have, up)
	return c
}

// observe fills in what was seen.
func observe(c *view.ContainerState, have *plan.Observed, up map[proxmox.VMID]time.Duration) {
	if have == nil {
		return
	}
	c.Node, c.Lock, c.Power = have.Ref.Node, have.Lock, string(proxmox.Stopped)
	if have.Running {
		c.Power, c.Uptime = string(proxmox.Running), up[c.ID]
		c.Seconds = int64(c.Uptime.Seconds())
	}
	waits := maps.Clone(have.Config.Deleted)
	if waits == nil {
		waits = map[string]bool{}
	}
	for key := range have.Config.Pending {
		waits[key] = true
	}
	c.Restart = append(c.Restart, slices.Sorted(maps.Keys(waits))...)
}
