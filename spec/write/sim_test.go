package write_test

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
	"github.com/felhom/tend/spec/write"
)

// simulated is the recorded node with the containers of the corpus on it.
func simulated(t *testing.T) (*sim.Sim, []write.Source) {
	t.Helper()
	raw, err := os.ReadFile("../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(raw)
	if err != nil {
		t.Fatal(err)
	}
	sources := corpus(t, "../../testdata/pve/corpus/*.conf")
	st.Containers = map[proxmox.VMID]*sim.Container{}
	names, err := os.ReadDir("../../testdata/pve/corpus")
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range sources {
		data, err := os.ReadFile("../../testdata/pve/corpus/" + names[i].Name())
		if err != nil {
			t.Fatal(err)
		}
		st.Containers[s.Ref.ID] = &sim.Container{Node: s.Ref.Node, Running: s.Power == spec.Running, Config: string(data)}
	}
	s, err := sim.New(st, sim.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, sources
}

// found reads all containers of a node as a client does.
func found(t *testing.T, c *proxmox.Client) []write.Source {
	t.Helper()
	list, err := c.Containers(t.Context(), "pve1")
	if err != nil {
		t.Fatal(err)
	}
	var out []write.Source
	for _, status := range list {
		s := write.Source{Ref: proxmox.Ref{Node: "pve1", ID: status.ID}, Power: spec.Power(status.Status)}
		if s.Config, err = c.Config(t.Context(), s.Ref); err != nil {
			t.Fatal(err)
		}
		current, err := c.LiveConfig(t.Context(), s.Ref)
		if err != nil {
			t.Fatal(err)
		}
		s.Raw = append([]proxmox.RawLine{}, current.Raw...)
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b write.Source) int { return int(a.Ref.ID - b.Ref.ID) })
	return out
}

// TestSimulator reads the corpus through the API of the simulator: a saved file says the same as the node that
// has it. Then it edits the containers at random, and writes what has become of them.
func TestSimulator(t *testing.T) {
	s, saved := simulated(t)
	client := proxmox.NewClient(s.As("root@pam"))
	for i, live := range found(t, client) {
		file := saved[i]
		live.Config.Digest, file.Config.Digest = "", ""
		if d := cmp.Diff(file.Config, live.Config); d != "" {
			t.Errorf("%s: %s", live.Ref, d)
		}
		if d := cmp.Diff(append([]proxmox.RawLine{}, file.Raw...), live.Raw); d != "" {
			t.Errorf("%s: %s", live.Ref, d)
		}
	}
	rounds, taken := 60, 0
	if testing.Short() {
		rounds = 6
	}
	for seed := range uint64(rounds) {
		c := chance{rand.New(rand.NewPCG(seed, 4)), t}
		for range 20 {
			live := pick(c, saved)
			row, u := pick(c, setting.Container.Rows), proxmox.Update{Set: proxmox.Values{}}
			_, isFamily := row.(*setting.Family)
			switch key := row.PVEKey(); {
			case key == "rootfs" || key == "mp" || key == "template": // volumes are not settings
				continue
			case c.IntN(3) > 0:
				c.value(int(live.Ref.ID), row, u.Set)
				now, err := client.Config(t.Context(), live.Ref)
				if err != nil {
					t.Fatal(err)
				}
				// A change to what it is would be pending without making a difference, and plans revert it.
				maps.DeleteFunc(u.Set, func(k, text string) bool { return same(now.Current[k], text, row) })
			case !isFamily:
				u.Delete = []string{key}
			}
			if err := client.SetConfig(t.Context(), live.Ref, u); err == nil {
				taken++
			}
		}
		sources := found(t, client)
		r := write.Spec(sources, write.Options{})
		kept := slices.DeleteFunc(slices.Clone(sources), func(s write.Source) bool {
			return slices.ContainsFunc(r.Problems, func(p write.Problem) bool { return p.ID == s.Ref.ID && p.Path == "" })
		})
		if len(kept) < len(sources) {
			t.Errorf("seed %d: left out: %v", seed, r.Problems)
		}
		inSync(t, r.Files, kept, setting.TagStyle{})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if taken < rounds*5 {
		t.Errorf("only %d changes were taken", taken)
	}
}
