package snapshot_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/snapshot"
)

const (
	bindMount = "mp0: /mnt/usb,mp=/media\n"
	fallback  = `{"schedule": "02:30", "keep": {"last": 2, "daily": 3}, "fallback": {"backup": "local"}, "maxDeletions": 3}`
)

// dumps are the backups of container 101 by their notes, oldest first.
func (b *box) dumps(t *testing.T) (out []proxmox.Volume) {
	t.Helper()
	list, err := b.root.StorageContent(t.Context(), "pve1", "local", proxmox.ContentFilter{Content: proxmox.ContentBackups, Guest: 101})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A container that cannot have snapshots gets backups by the same schedule; one that can gets none.
func TestFallback(t *testing.T) {
	for _, tc := range []struct {
		extra string
		dumps int
		want  string
	}{
		{bindMount, 1, "POST /nodes/pve1/vzdump"},
		{"", 0, "POST /snapshot"},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBox(t, tc.extra)
			c := run(t, b.keeper(memory(t)), want(t, fallback), snapshot.Options{Take: snapshot.TakeNow})
			if c.Err != nil || c.Taken == "" {
				t.Fatalf("took %q: %v", c.Taken, c.Err)
			}
			if got := strings.Join(b.changes(), ", "); got != tc.want {
				t.Errorf("calls %s, want %s", got, tc.want)
			}
			dumps := b.dumps(t)
			if len(dumps) != tc.dumps {
				t.Fatalf("%d backups, want %d", len(dumps), tc.dumps)
			}
			if len(dumps) > 0 && dumps[0].Notes != "[tend/p by-hand]" {
				t.Errorf("notes %q", dumps[0].Notes)
			}
		})
	}
}

// A month of nights: what retention keeps is there, and nothing that is somebody else's was removed.
func TestFallbackMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newBox(t, bindMount), want(t, fallback)
		k := b.keeper(memory(t))
		run(t, k, w, snapshot.Options{})
		for range 30 {
			time.Sleep(24 * time.Hour)
			if c := run(t, k, w, snapshot.Options{}); c.Err != nil || c.Taken == "" || c.Fallback != "local" {
				t.Fatalf("%s: took %q, %v", time.Now(), c.Taken, c.Err)
			}
		}
		if n := len(b.dumps(t)); n != 5 {
			t.Errorf("%d backups, want the last two and three days more", n)
		}
	})
}

// A failed backup removes nothing, and the storage's own retention, which does not know whose backups are whose, is
// never asked.
func TestFallbackFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := newBox(t, bindMount), want(t, fallback)
		k := b.keeper(memory(t))
		for range 4 {
			run(t, k, w, snapshot.Options{Take: snapshot.TakeNow, Keep: true})
			time.Sleep(time.Second)
		}
		b.reset(func(c sim.Call) sim.Fault {
			if strings.HasSuffix(c.Path, "/vzdump") {
				if c.Params.Get("remove") != "0" || c.Params.Get("prune-backups") != "" {
					t.Errorf("the storage is told to prune: %v", c.Params)
				}
				return sim.Fault{TaskError: "job errors"}
			}
			return sim.Fault{}
		}, nil)
		c := run(t, k, w, snapshot.Options{Take: snapshot.TakeNow})
		if c.Err == nil || len(c.Dropped) > 0 || len(b.dumps(t)) != 4 {
			t.Errorf("dropped %v, %d are left: %v", c.Dropped, len(b.dumps(t)), c.Err)
		}
	})
}

// TestFallbackOwnership runs on random shelves: nothing is ever removed that is not the policy's own, unprotected and as
// it was written; of the own ones, the newest stays; and when nothing moves any more, a further run does nothing.
func TestFallbackOwnership(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 15
	}
	notes := []string{
		"[tend/p]", "[tend/p]", "[tend/p]", "[tend/p by-hand]", // own
		"", "by hand", "[other/p]", "[tend/q]", "[tend/p] and more", "tend/p", "[tend/p before]", "[tend/p]\nhold", "[tend/p]\nplease keep",
	}
	gone := 0
	defer func() {
		if gone < rounds/2 {
			t.Errorf("only %d backups were removed in %d rounds: this proves little", gone, rounds)
		}
	}()
	for seed := range rounds {
		synctest.Test(t, func(t *testing.T) {
			rng, b := rand.New(rand.NewPCG(uint64(seed), 7)), newBox(t, bindMount)
			own, spare := map[string]bool{}, map[string]bool{}
			add := map[string]*sim.Backup{}
			newest := ""
			for i := range 1 + rng.IntN(25) {
				at := time.Now().Add(-time.Duration(i*26+rng.IntN(20)) * time.Hour)
				id := fmt.Sprintf("local:backup/vzdump-lxc-101-%s.tar.zst", at.Format("2006_01_02-15_04_05"))
				text, protected := notes[rng.IntN(len(notes))], rng.IntN(5) == 0
				add[id] = &sim.Backup{Size: 1 << 20, CTime: at.Unix(), Notes: text, Protected: protected, Node: "pve1", Config: "hostname: web\n"}
				if !protected && (text == "[tend/p]" || text == "[tend/p by-hand]") {
					own[id] = true
				} else {
					spare[id] = true
				}
				// Lists do not show what stands below the first line: such a one is the newest one as well, and stays too.
				if newest == "" && (own[id] || !protected && strings.HasPrefix(text, "[tend/p]\n")) {
					newest = id
				}
			}
			b = withBackups(t, b, add)
			k, w := b.keeper(memory(t)), want(t, `{"schedule": "02:30", "keep": {"last": 1, "daily": 1}, "fallback": {"backup": "local"}, "maxDeletions": 3, "maxAge": "720h"}`)
			for range 30 {
				if c := run(t, k, w, snapshot.Options{Take: snapshot.TakeNone, Consent: true}); len(c.Dropped) == 0 {
					break
				} else if len(c.Dropped) > 3 {
					t.Errorf("seed %d: dropped %v, at most 3 were allowed", seed, c.Dropped)
				}
				time.Sleep(time.Second)
			}
			b.reset(nil, nil)
			last := run(t, k, w, snapshot.Options{Take: snapshot.TakeNone, Consent: true})
			if got := b.changes(); len(got) > 0 {
				t.Errorf("seed %d: a further run did %v", seed, got)
			}
			have := map[string]bool{}
			kept := 0
			for _, v := range b.dumps(t) {
				have[v.ID] = true
				if own[v.ID] {
					kept++
				}
			}
			for id := range spare {
				if !have[id] {
					t.Errorf("seed %d: %s, %q, protected %v, is gone", seed, id, add[id].Notes, add[id].Protected)
				}
			}
			gone += len(own) - kept
			if newest != "" && !have[newest] || kept > 2 && len(last.Decision.Refusals) == 0 {
				t.Errorf("seed %d: %d own ones are left, the newest: %v", seed, kept, have[newest])
			}
		})
	}
}

// withBackups is a box with the same container and some backups.
func withBackups(t *testing.T, b *box, add map[string]*sim.Backup) *box {
	t.Helper()
	st := b.State()
	for id, x := range add {
		st.Backups[id] = x
	}
	out := &box{}
	var err error
	if out.Sim, err = sim.New(st, sim.Options{Seed: 1, Fault: out.observe}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(out.Close)
	out.client, out.root = proxmox.NewClient(out.As(agent)), proxmox.NewClient(out.As("root@pam"))
	return out
}
