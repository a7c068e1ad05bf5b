package agent_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/source/git/gittest"
)

// TestChaos draws interleavings of pushes, changes by hand, kills of the agent, reboots of the node and failures of the
// API. Whatever came: once it is quiet the node is what the last good commit says, what is not the agent's is untouched,
// no volume is lost, and no request was repeated without end.
func TestChaos(t *testing.T) {
	t.Parallel()
	n := 200
	if testing.Short() {
		n = 15
	}
	var failures, kills atomic.Int64
	t.Run("interleavings", func(t *testing.T) {
		for seed := range n {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				c := newChaos(t, uint64(seed))
				for range 4 + c.IntN(5) {
					c.event()
				}
				c.calm()
				failures.Add(c.failed.Load())
				kills.Add(int64(c.kills))
			})
		}
	})
	t.Logf("%d interleavings, %d calls failed, %d kills", n, failures.Load(), kills.Load())
	if int(failures.Load()) < n || int(kills.Load()) < n/4 {
		t.Error("that is too little to prove anything")
	}
}

// chaos is a rig that things happen to.
type chaos struct {
	*rig
	*rand.Rand
	repo    *gittest.Repo
	tip     string            // of the branch
	good    string            // the last commit that is a spec
	want    map[string]string // what it says of the container
	volume  string            // of the container's root, once it is made
	limit   atomic.Int64      // calls that may still fail
	failed  atomic.Int64      // that did
	odds    atomic.Uint32     // of a thousand calls, how many fail
	kills   int
	foreign map[string]string // the configuration of a container of somebody else
}

func newChaos(t *testing.T, seed uint64) *chaos {
	m := gittest.New(t)
	c := &chaos{rig: newRig(t, config.Source{Git: m.Dir, Branch: "main", Path: "lxc"}), Rand: rand.New(rand.NewPCG(seed, 7)), repo: m}
	mine := proxmox.NewClient(c.sim.As("root@pam"))
	c.call("POST", "/nodes/pve1/lxc", map[string]string{
		"vmid": "400", "ostemplate": "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst", "rootfs": "local-btrfs:1", "hostname": "theirs", "cores": "1",
	})
	cfg, err := mine.Config(context.Background(), proxmox.Ref{Node: "pve1", ID: 400})
	c.must(err)
	c.foreign = cfg.Current
	chance := rand.New(rand.NewPCG(seed, 8))
	c.fault = func(call sim.Call) sim.Fault { // the simulator asks one call at a time
		if chance.Uint32N(1000) >= c.odds.Load() || c.limit.Add(-1) < 0 {
			return sim.Fault{}
		}
		c.failed.Add(1)
		switch chance.IntN(5) {
		case 0:
			return sim.Fault{Cut: true}
		case 1:
			return sim.Fault{Cut: true, After: true}
		case 2:
			return sim.Fault{Status: 596, Reason: "Connection timed out"}
		case 3:
			return sim.Fault{TaskError: "out of luck"}
		default:
			return sim.Fault{Status: 500, Reason: "got no worker upid - start worker failed"}
		}
	}
	c.pushGood()
	c.start()
	c.await("the first pass", waiting)
	return c
}

func (c *chaos) call(method, path string, params map[string]string) {
	c.t.Helper()
	values := map[string][]string{}
	for k, v := range params {
		values[k] = []string{v}
	}
	_, err := c.sim.As("root@pam").Do(context.Background(), proxmox.Request{Method: method, Path: path, Params: values})
	if err != nil && !strings.Contains(err.Error(), "already running") && !strings.Contains(err.Error(), "not running") {
		c.t.Fatal(err)
	}
}

func (c *chaos) commit(text string) {
	var parents []string
	if c.tip != "" {
		parents = []string{c.tip}
	}
	c.tip = c.repo.Commit("change", gittest.Spec(text), parents...)
	c.repo.Set("refs/heads/main", c.tip)
}

func (c *chaos) pushGood() {
	c.want = map[string]string{"cores": fmt.Sprint(1 + c.IntN(4)), "memory": fmt.Sprint(256 * (1 + c.IntN(4))), "hostname": "web"}
	lines := []string{"cores: " + c.want["cores"], "memory: " + c.want["memory"] + "MiB"}
	if c.IntN(2) == 0 {
		lines = append(lines, "features: {nesting: true}")
		c.want["features"] = "nesting=1"
	}
	c.commit(web(lines...))
	c.good = c.tip
}

// event is something that happens.
func (c *chaos) event() {
	c.t.Helper()
	c.odds.Store([]uint32{0, 20, 150, 600}[c.IntN(4)])
	c.limit.Store(int64(c.IntN(12)))
	switch c.IntN(7) {
	case 0, 1:
		c.pushGood()
	case 2:
		c.commit(web("cores: none"))
	case 3:
		if c.there() {
			c.byHand([]string{"cores", "memory", "description"}[c.IntN(3)], fmt.Sprint(64*(1+c.IntN(9))))
		}
	case 4:
		if c.there() {
			c.call("POST", "/nodes/pve1/lxc/300/status/"+[]string{"stop", "start", "shutdown"}[c.IntN(3)], nil)
		}
	case 5: // the node reboots: nothing runs any more
		for id, running := range c.sim.Running() {
			if running {
				c.must(c.sim.PowerOff(id))
			}
		}
	case 6: // in the middle of whatever it does
		_ = c.agent.Reconcile(context.Background(), "test")
		if c.IntN(2) == 0 {
			c.await("begun", func(x *report.Report) bool { return x.Loop.Doing != "waiting" || len(x.Loop.Ended) > 0 })
		}
		c.kill()
		c.kills++
		c.start()
		c.await("alive", waiting)
		return
	}
	before := c.sim.Requests()
	c.again()
	if n := c.sim.Requests() - before; n > 400 {
		c.t.Fatalf("%d requests in a pass", n)
	}
	if v := c.config()["rootfs"]; v != "" {
		volume, _, _ := strings.Cut(v, ",")
		if c.volume != "" && c.volume != volume {
			c.t.Fatalf("the container was made anew: it had %s and has %s", c.volume, volume)
		}
		c.volume = volume
	}
}

func (c *chaos) there() bool { return c.config() != nil }

// calm ends the failures, and sees what came of it all.
func (c *chaos) calm() {
	c.t.Helper()
	c.limit.Store(0)
	var rep *report.Report
	for range 6 {
		rep = c.again()
		if web := rep.Container(300); web != nil && web.Sync == "synced" && rep.Source.InForce.ID == c.good {
			break
		}
	}
	web := rep.Container(300)
	if web == nil || web.Sync != "synced" || !web.Healthy || rep.Source.InForce.ID != c.good {
		c.t.Fatalf("it does not converge: %+v\nsource %+v\nlast %+v", web, rep.Source, rep.Loop.Last)
	}
	have := c.config()
	for key, value := range c.want {
		if have[key] != value {
			c.t.Errorf("%s is %q, want %q", key, have[key], value)
		}
	}
	theirs, err := proxmox.NewClient(c.sim.As("root@pam")).Config(context.Background(), proxmox.Ref{Node: "pve1", ID: 400})
	c.must(err)
	if !maps.Equal(theirs.Current, c.foreign) {
		c.t.Errorf("a container of somebody else was changed: %v, and was %v", theirs.Current, c.foreign)
	}
	if volumes := c.sim.Volumes(); c.volume != "" && !slices.ContainsFunc(volumes, func(v string) bool { return strings.Contains(v, strings.TrimPrefix(c.volume, "local-btrfs:")) }) {
		c.t.Errorf("volume %s is lost: %v", c.volume, volumes)
	}
}
