package lane_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/sim"
)

// TestLead has two nodes want the lock of one owner, and one the lock of another.
func TestLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, sim.Options{}, func(st *sim.State) { two := *st.Nodes["pve1"]; st.Nodes["pve2"] = &two }).sim
		doers := map[string]lane.Doer{}
		for _, name := range []string{"pve1", "pve2"} {
			doers[name] = lane.Lane{Backend: s.Root(name)}
		}
		a := lane.NewActor(doers)
		is := func(want proxmox.LeadState, by string) func(proxmox.Leadership, error) {
			t.Helper()
			return func(got proxmox.Leadership, err error) {
				t.Helper()
				if err != nil || got != (proxmox.Leadership{State: want, Node: by}) {
					t.Errorf("at %v: %+v, %v; want %s by %q", time.Now().Format("15:04:05"), got, err, want, by)
				}
			}
		}
		ctx := t.Context()
		is(proxmox.LeadFree, "")(a.KeepLead(ctx, "pve1", "tend"))
		is(proxmox.LeadOurs, "pve1")(a.Lead(ctx, "pve1", "tend"))
		is(proxmox.LeadTheirs, "pve1")(a.Lead(ctx, "pve2", "tend"))
		is(proxmox.LeadOurs, "pve2")(a.Lead(ctx, "pve2", "other"))
		for range 10 { // for as long as it is renewed
			time.Sleep(30 * time.Second)
			is(proxmox.LeadOurs, "pve1")(a.KeepLead(ctx, "pve1", "tend"))
			is(proxmox.LeadTheirs, "pve1")(a.KeepLead(ctx, "pve2", "tend"))
		}
		time.Sleep(2 * time.Minute) // and two minutes longer
		is(proxmox.LeadTheirs, "pve1")(a.KeepLead(ctx, "pve2", "tend"))
		time.Sleep(time.Second)
		is(proxmox.LeadOurs, "pve1")(a.Lead(ctx, "pve1", "tend")) // by the node itself, before anybody asked
		time.Sleep(2*time.Minute + time.Second)
		is(proxmox.LeadFree, "")(a.KeepLead(ctx, "pve2", "tend"))
		is(proxmox.LeadOurs, "pve2")(a.Lead(ctx, "pve2", "tend"))
		is(proxmox.LeadTheirs, "pve2")(a.KeepLead(ctx, "pve1", "tend"))
		if err := a.Resign(ctx, "pve1", "tend"); err != nil { // what is not its own stays
			t.Error(err)
		}
		is(proxmox.LeadOurs, "pve2")(a.KeepLead(ctx, "pve2", "tend"))
		for range 2 {
			if err := a.Resign(ctx, "pve2", "tend"); err != nil {
				t.Error(err)
			}
		}
		is(proxmox.LeadFree, "")(a.KeepLead(ctx, "pve1", "tend"))
	})
}

// TestLeadWithoutQuorum takes nothing where the cluster has no quorum.
func TestLeadWithoutQuorum(t *testing.T) {
	n := start(t, sim.Options{}, func(st *sim.State) { st.Cluster.Quorate = false })
	_, err := n.Do(context.Background(), privileged.Lead{Node: "pve1", Owner: "tend"})
	if err == nil || !strings.Contains(err.Error(), "quorum") {
		t.Errorf("got %v", err)
	}
}

// broken is a backend whose cluster file system fails.
type broken struct {
	lane.Backend
	err error
}

func (b broken) SetTime(string, time.Time) error { return b.err }
func (b broken) RemoveDir(string) error          { return b.err }

func TestLeadFaults(t *testing.T) {
	trouble := errors.New("input/output error")
	n := start(t, sim.Options{})
	n.do(t, privileged.Lead{Node: "pve1", Owner: "tend"})
	l := lane.Lane{Backend: broken{n.root, trouble}}
	for _, r := range []privileged.Request{
		privileged.Lead{Node: "pve1", Owner: "tend"}, privileged.KeepLead{Node: "pve1", Owner: "tend"}, privileged.Lead{Node: "pve1", Owner: "tend", Resign: true},
	} {
		if out, err := l.Do(context.Background(), r); !errors.Is(err, trouble) || out.Changed {
			t.Errorf("%v: %+v, %v", r, out, err)
		}
	}
}
