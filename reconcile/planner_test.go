package reconcile_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// sharded calls f for seeds 1 to n, on all processors. It ends at the first failure and prints its seed.
func sharded(t *testing.T, n int, f func(t *testing.T, shard int, seeds []uint64)) {
	shards := runtime.GOMAXPROCS(0)
	for shard := range shards {
		var seeds []uint64
		for seed := 1 + shard; seed <= n; seed += shards {
			seeds = append(seeds, uint64(seed))
		}
		t.Run(fmt.Sprintf("shard %d", shard), func(t *testing.T) {
			t.Parallel()
			f(t, shard, seeds)
		})
	}
}

// lab is what the node of lab.yaml is like without containers.
func lab() *plan.Live {
	volumes := []proxmox.Content{"rootdir", "images"}
	return &plan.Live{
		Cluster: "pve1", Nodes: map[string]bool{"pve1": true}, Containers: map[proxmox.VMID]*plan.Observed{},
		Guests: map[proxmox.VMID]string{},
		Storages: map[string]map[string]proxmox.Storage{"pve1": {
			"local":       {Name: "local", Type: "dir", Content: append(volumes, "vztmpl"), Active: true, Enabled: true},
			"local-btrfs": {Name: "local-btrfs", Type: "btrfs", Content: volumes, Active: true, Enabled: true},
		}},
		Templates: map[string]map[string]bool{"pve1": {template: true}},
	}
}

// created does in the observation what the creates of a plan would do on a node, as far as it matters: new
// volumes get names, and what Proxmox generates is there.
func created(t *testing.T, seed uint64, have *plan.Live, p *plan.Plan) {
	t.Helper()
	for _, l := range p.Lanes {
		op, ok := l.Steps[0].Op.(plan.CreateContainer)
		if !ok {
			t.Fatalf("seed %d: the first step of a create is %s", seed, l.Steps[0].Op.Verb())
		}
		v := proxmox.Values{"arch": "amd64", "ostype": "debian", "memory": "512", "swap": "512"}
		volumes := 0
		for key, text := range op.Values {
			switch {
			case key == "rootfs" || strings.HasPrefix(key, "mp"):
				text = allocated(text, l.Ref.ID, volumes)
				volumes++
			case strings.HasPrefix(key, "net") && !strings.Contains(text, "hwaddr="):
				text += ",hwaddr=BC:24:11:00:00:01"
			}
			v[key] = text
		}
		o := &plan.Observed{
			Ref: l.Ref, Name: v["hostname"], Tags: strings.Split(v["tags"], ";"), Managed: true,
			Running: len(l.Steps) > 1, Config: proxmox.Config{Current: v, Digest: "d"},
		}
		if err := o.Understand(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		have.Containers[l.Ref.ID] = o
	}
}

// allocated is the text of a mount once its volume was made: "local:4,mp=/x" names a volume then.
func allocated(text string, id proxmox.VMID, n int) string {
	volume, rest, _ := strings.Cut(text, ",")
	storage, gib, _ := strings.Cut(volume, ":")
	out := fmt.Sprintf("%s:%d/vm-%d-disk-%d.raw", storage, id, id, n)
	if rest != "" {
		out += "," + rest
	}
	return out + ",size=" + gib + "G"
}

// planText is what a plan does and does not do, exactly.
func planText(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var out []string
	for _, l := range p.Lanes {
		for _, s := range l.Steps {
			op, err := json.Marshal(s.Op)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprintf("%s: %T %s", l.Ref, s.Op, op))
		}
	}
	return strings.Join(append(out, reasons(p)...), "\n")
}

// reasons are what a plan cannot do, and why.
func reasons(p *plan.Plan) []string {
	var out []string
	for _, b := range p.Blocked {
		out = append(out, fmt.Sprintf("%d %s: %s", b.ID, b.What, b.Reason))
	}
	return out
}

// TestPlanner holds over 10,000 random specs: what was made of a spec needs no change, and the plan does not
// depend on the order in which containers stand in the spec.
func TestPlanner(t *testing.T) {
	cases := 10_000
	if underRace || testing.Short() {
		cases = 500
	}
	sharded(t, cases, func(t *testing.T, _ int, seeds []uint64) {
		for _, seed := range seeds {
			planned(t, seed)
			if t.Failed() {
				return
			}
		}
	})
}

func planned(t *testing.T, seed uint64) {
	g := newGenerator(seed)
	want, have := g.state(5), lab()
	first := plan.Compute(want, have, plan.Policy{})
	created(t, seed, have, first)
	second := plan.Compute(want, have, plan.Policy{})
	if !second.Empty() {
		t.Errorf("seed %d: the plan for what was made is not empty:\n%s", seed, planText(t, second))
	}
	if d := cmp.Diff(reasons(first), reasons(second)); d != "" {
		t.Errorf("seed %d: the reasons differ: %s", seed, d)
	}

	edited := g.edited(want)
	shuffled := spec.State{Cluster: edited.Cluster, Containers: slices.Clone(edited.Containers)}
	g.Shuffle(len(shuffled.Containers), func(i, j int) {
		shuffled.Containers[i], shuffled.Containers[j] = shuffled.Containers[j], shuffled.Containers[i]
	})
	pol := plan.Policy{Prune: g.chance(50), PruneMax: g.IntN(3), WindowOpen: g.chance(50), RestartAll: g.chance(20)}
	a, b := plan.Compute(edited, have, pol), plan.Compute(&shuffled, have, pol)
	if d := cmp.Diff(planText(t, a), planText(t, b)); d != "" {
		t.Errorf("seed %d: the plan depends on the order: %s", seed, d)
	}
}
