package agent

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// mostHands is how many of those who touched a container are told.
const mostHands = 5

// differs reports whether a container is not as the spec says.
func differs(shown view.Plan, id proxmox.VMID) bool {
	return shown.Lane(id) != nil || slices.ContainsFunc(shown.Blocked, func(b plan.Blocked) bool { return b.ID == id && b.Kind == plan.ContainerKind })
}

// whoTouched looks up who did something to the containers that drifted since the last look: were in sync, and are not
// with the same spec. Proxmox records tasks, such as a reboot; a change of the configuration alone is none, so that who
// made it cannot be known (pve-container API2/LXC/Config.pm, update_vm, forks no worker).
func (p *pass) whoTouched(ctx context.Context, shown view.Plan, have *plan.Live) map[proxmox.VMID][]report.Hand {
	p.mu.Lock()
	before, since, same := p.pic.containers, p.pic.loop.Observed, p.pic.revision == p.run.Revision.ID
	out := map[proxmox.VMID][]report.Hand{}
	for _, c := range before { // what is still not put right was done by the same people
		if differs(shown, c.ID) && len(p.pic.hands[c.ID]) > 0 {
			out[c.ID] = p.pic.hands[c.ID]
		}
	}
	p.mu.Unlock()
	if since.IsZero() || !same {
		return out
	}
	nodes := map[string][]proxmox.VMID{}
	for _, c := range before {
		h := have.Containers[c.ID]
		if c.Sync == view.Synced && differs(shown, c.ID) && h != nil {
			nodes[h.Ref.Node] = append(nodes[h.Ref.Node], c.ID)
		}
	}
	for node, drifted := range nodes {
		list, err := p.o.Client.Tasks(ctx, node, proxmox.TaskFilter{Source: proxmox.TasksAll, Since: since, Limit: 100})
		if err != nil {
			p.o.Log.Debug("who touched containers is not known", slog.String("node", node), slog.Any("err", err))
			continue
		}
		for _, t := range list {
			id, err := strconv.ParseUint(t.UPID.ID, 10, 32)
			if v := proxmox.VMID(id); err == nil && slices.Contains(drifted, v) && t.UPID.User != p.o.User && len(out[v]) < mostHands {
				out[v] = append(out[v], report.Hand{User: t.UPID.User, Time: t.UPID.Start, What: strings.TrimPrefix(t.UPID.Type, "vz"), Task: t.UPID.String()})
			}
		}
	}
	return out
}
