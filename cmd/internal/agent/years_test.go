package agent_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

// TestYears runs the agent for five years with a nightly policy, with the clocks of a zone that change twice a year, a node
// whose clock is wrong at times, days without an agent, and failures of the API. At any time what was promised is there, or
// the report says that it is not; and what is somebody else's is not touched.
func TestYears(t *testing.T) {
	t.Parallel()
	days := 5 * 365
	if testing.Short() {
		days = 120
	}
	synctest.Test(t, func(t *testing.T) {
		const nightly = "snapshotPolicies:\n  nightly: {schedule: \"02:30\", timeZone: Europe/Vienna, keep: {daily: 7, weekly: 4, monthly: 6}, maxAge: 26h, atOnce: true}\n"
		r := newRig(t, config.Source{Dir: folder(t, web("cores: 1", "snapshots: nightly")+nightly)})
		r.light, r.settings.Interval = true, 12*time.Hour
		r.start()
		r.await("made", waiting)
		r.again()
		if _, err := r.byRoot().Snapshot(t.Context(), ref, "mine", "by hand"); err != nil {
			t.Fatal(err)
		}
		y := &calendarYear{rig: r, rng: rand.New(rand.NewPCG(3, 4)), up: time.Now()}
		for end := time.Now().Add(time.Duration(days) * 24 * time.Hour); time.Now().Before(end); {
			y.day()
		}
		names := y.names()
		if !slices.Contains(names, "mine") {
			t.Error("the snapshot of somebody else is gone")
		}
		if own := len(names) - 1; own < 7 || own > 7+4+6+3 {
			t.Errorf("%d snapshots are kept: %v", own, names)
		}
		t.Logf("%d nights, %d taken, %d times without an agent, %d days with failures, %d with a wrong clock; %d are kept, %d days were told as too old",
			y.days, len(y.seen), y.down, y.failing, y.wrong, len(names)-1, y.told)
	})
}

var ref = proxmox.Ref{Node: "pve1", ID: 300}

func (r *rig) byRoot() *proxmox.Client { return proxmox.NewClient(r.sim.As("root@pam")) }

// A calendarYear is a rig over which days pass.
type calendarYear struct {
	*rig
	rng  *rand.Rand
	up   time.Time // since when the agent runs
	seen []string  // the snapshots that were ever there, by age

	days, down, failing, wrong, told int
}

// day lets a day pass, with what may happen in it, and looks at what is there then.
func (y *calendarYear) day() {
	y.t.Helper()
	y.days++
	y.spell.Store(&spell{})
	switch n := y.rng.IntN(60); {
	case n == 0: // the machine is off for days
		y.end()
		time.Sleep(time.Duration(1+y.rng.IntN(120)) * time.Hour)
		y.start()
		y.up = time.Now()
		y.down++
	case n < 3: // a bad day of the API
		y.failing++
		var mu sync.Mutex // guards luck: calls come side by side
		luck := rand.New(rand.NewPCG(y.rng.Uint64(), 5))
		y.spell.Store(&spell{fault: func(sim.Call) sim.Fault {
			mu.Lock()
			defer mu.Unlock()
			switch luck.IntN(6) {
			case 0:
				return sim.Fault{Cut: true}
			case 1:
				return sim.Fault{Status: 596, Reason: "Connection timed out"}
			case 2:
				return sim.Fault{TaskError: "out of luck"}
			}
			return sim.Fault{}
		}})
	case n == 3: // the node's clock is wrong
		y.wrong++
		y.spell.Store(&spell{skew: time.Duration(y.rng.IntN(7200)-3600) * time.Second})
	}
	time.Sleep(24 * time.Hour)
	synctest.Wait()
	y.look()
}

// look holds the node against what was promised.
func (y *calendarYear) look() {
	y.t.Helper()
	now := time.Now()
	var newest time.Time
	names := y.names()
	for _, name := range names {
		at, err := time.Parse("20060102T150405Z", name[strings.LastIndex(name, "-")+1:])
		if err != nil {
			continue // by hand
		}
		if at.After(newest) {
			newest = at
		}
		if !slices.Contains(y.seen, name) {
			y.seen = append(y.seen, name)
		}
	}
	for _, name := range y.seen[max(0, len(y.seen)-7):] { // one a night, and seven are promised
		if !slices.Contains(names, name) {
			y.t.Fatalf("%s: %s is gone, and it is among the last seven: %v", now, name, names)
		}
	}
	rep, _ := y.board.Report()
	if now.Sub(newest) <= 26*time.Hour || now.Sub(y.up) < 26*time.Hour {
		return
	}
	told := slices.ContainsFunc(rep.Attention(now), func(i report.Item) bool { return i.ID == 300 || i.Level >= report.Danger })
	if y.told++; !told {
		y.t.Fatalf("%s: the newest is of %s, and nothing is said: %+v", now, newest, rep.Verdict(now))
	}
	y.repair()
}

// repair is a person who reads that, and does what the runbook says.
func (y *calendarYear) repair() {
	y.t.Helper()
	y.must(y.sim.Unlock(ref.ID))
	list, err := y.byRoot().Snapshots(context.Background(), ref)
	y.must(err)
	for _, s := range list.List {
		if s.State != "" {
			_, err := y.byRoot().DeleteSnapshot(context.Background(), ref, s.Name, true)
			y.must(err)
		}
	}
	synctest.Wait()
}

// names are the complete snapshots on the node, by the time in their names.
func (y *calendarYear) names() (out []string) {
	y.t.Helper()
	list, err := y.byRoot().Snapshots(context.Background(), ref)
	if err != nil {
		y.t.Fatal(err)
	}
	for _, s := range list.List {
		if s.State == "" {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return out
}
