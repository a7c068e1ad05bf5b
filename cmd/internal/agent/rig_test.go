package agent_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/agent"
	"github.com/felhom/tend/cmd/internal/agent/leader"
	"github.com/felhom/tend/cmd/internal/agent/origin"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/reconcile/permit"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/reconcile/schedule"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git/gittest"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
)

// A spell is trouble that comes while the agent works.
type spell struct {
	fault func(sim.Call) sim.Fault // nil: none
	skew  time.Duration            // by which the node's clock differs
}

func (r *rig) under() spell {
	if s := r.spell.Load(); s != nil {
		return *s
	}
	return spell{}
}

// user is whom the agent is on the simulated node.
const user = "felhom@pve!agent"

// web is a spec with one container.
func web(lines ...string) string {
	return `cluster: {name: pve1, owner: tend}
containers:
  web:
    id: 300
    node: pve1
    from: {template: "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst"}
    rootfs: {storage: local-btrfs, size: 1GiB}
    restart: now
    ` + strings.Join(lines, "\n    ") + "\n"
}

// A rig is an agent between a simulated node and a source, with what it keeps between its lives.
type rig struct {
	t     testing.TB
	sim   *sim.Sim
	fault func(sim.Call) sim.Fault
	dir   string
	from  config.Source
	wrap  func(source.Source) source.Source // what stands between the agent and the source; nil: nothing does

	root     *lane.Actor                                  // who acts as root; nil: nobody
	leader   func(*proxmox.Client, func()) *leader.Leader // of each life; nil: the agent is alone
	lock     func(leader.Lock) leader.Lock                // what stands between it and the lock of the cluster
	lead     *leader.Leader                               // of this life
	seen     func(proxmox.Request)                        // is told of the requests of the agent
	disks    func(context.Context) []*health.Node
	light    bool // the source is asked and not watched, and the history is not on disk
	spell    atomic.Pointer[spell]
	settings agent.Settings
	agent    *agent.Agent
	board    *report.Board
	history  *history.History
	hooks    http.Handler
	pushes   int
	end      func() // ends the agent as SIGTERM does
	kill     func() // ends it at once
}

func newRig(t testing.TB, from config.Source) *rig {
	t.Helper()
	text, err := os.ReadFile("../../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	return rigOn(t, from, st, 0)
}

// rigOn is a rig whose node begins with a state, and takes a time for each task.
func rigOn(t testing.TB, from config.Source, st *sim.State, task time.Duration) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), from: from}
	r.settings = agent.Settings{Interval: time.Hour, Location: time.UTC, Rules: permit.Rules{Budget: permit.Unbounded()}}
	o := sim.Options{Seed: 1, TaskTime: task, Now: func() time.Time { return time.Now().Add(r.under().skew) }, Fault: func(c sim.Call) sim.Fault {
		for _, f := range []func(sim.Call) sim.Fault{r.fault, r.under().fault} {
			if f != nil && c.User == user {
				return f(c)
			}
		}
		return sim.Fault{}
	}}
	var err error
	r.sim, err = sim.New(st, o)
	r.must(err)
	t.Cleanup(r.sim.Close)
	return r
}

func readSecret(path string) (proxmox.Secret, error) {
	text, err := os.ReadFile(path)
	return proxmox.NewSecret(strings.TrimSpace(string(text))), err
}

// start begins a life of the agent.
func (r *rig) start() {
	r.t.Helper()
	from, err := origin.Open(r.from, readSecret)
	r.must(err)
	if r.light {
		from.Watch = nil
	}
	if r.wrap != nil {
		from.Source = r.wrap(from.Source)
	}
	keeper, err := source.Keep(from.Source, filepath.Join(r.dir, "source.json"))
	r.must(err)
	memory, err := agent.OpenMemory(filepath.Join(r.dir, "agent.json"))
	r.must(err)
	if r.history = history.InMemory(history.Limits{}); !r.light {
		r.history, err = history.Open(filepath.Join(r.dir, "history.db"), history.Limits{})
		r.must(err)
	}
	j, err := journal.Open(filepath.Join(r.dir, "journal"))
	r.must(err)
	seen, err := snapshot.OpenMemory(filepath.Join(r.dir, "snapshots"))
	r.must(err)
	tally := &agent.Tally{Transport: watched{r.sim.As(user), r.seen}}
	client := proxmox.NewClient(tally)
	watcher := proxmox.NewTaskWatcher(client, proxmox.WatchOptions{Delay: -1, WaitOptions: proxmox.WaitOptions{First: time.Millisecond, Max: time.Second}})
	stop := make(chan struct{})
	r.board = &report.Board{}
	o := agent.Options{
		Source: keeper, Watch: from.Watch, Origin: from.Report, Client: client, User: user, Journal: j, Requests: tally.Requests,
		Load:      func(f fs.FS) (*spec.State, error) { return load.Load(f, load.Options{}) },
		Snapshots: &snapshot.Keeper{Client: client, Watcher: watcher, Journal: j, Memory: seen, RunID: "run"}, Disks: r.disks,
		Memory: memory, Board: r.board, History: r.history, Log: slog.New(slog.DiscardHandler), Stop: stop,
		Agent: report.Agent{Version: "test", Started: time.Now(), Host: "pve1"},
		Reconciler: func(p plan.Policy) *reconcile.Reconciler {
			out := &reconcile.Reconciler{Client: client, Policy: p, Executor: execute.Executor{Client: client, Watcher: watcher, Journal: j, RunID: "run", LockTimeout: time.Millisecond}}
			if r.root != nil {
				out.Policy.RootNodes, out.Executor.Root = r.root.Nodes(), r.root
				out.Observer = func() *live.Observer { return &live.Observer{Client: client, Shown: true, Root: r.root} }
			}
			return out
		},
	}
	var a *agent.Agent
	if r.leader != nil {
		r.lead = r.leader(client, func() { a.Call(schedule.Led) })
		o.Leader = r.lead
	}
	r.agent = agent.New(o, r.settings)
	a = r.agent
	r.hooks = from.Hooks(proxmox.NewSecret(hookSecret), func() { a.Call(schedule.Webhook) }, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	if r.lead != nil {
		go r.lead.Run(ctx)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	over := func() {
		if err := <-ended; err != nil {
			r.t.Errorf("the agent ended with %v", err)
		}
		cancel()
		r.must(errors.Join(j.Close(), r.history.Close()))
		r.end, r.kill = func() {}, func() {}
	}
	r.end = func() { close(stop); over() }
	r.kill = func() { cancel(); over() }
	r.t.Cleanup(func() { r.end() })
}

// watched is a transport that is looked at.
type watched struct {
	proxmox.Transport
	seen func(proxmox.Request) // nil: nobody looks
}

func (w watched) Do(ctx context.Context, req proxmox.Request) (json.RawMessage, error) {
	if w.seen != nil {
		w.seen(req)
	}
	return w.Transport.Do(ctx, req)
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// patience is how long something may take that happens at once on a machine that has nothing else to do.
const patience = time.Minute

// await waits for a report that is as it shall be.
func (r *rig) await(what string, ok func(*report.Report) bool) *report.Report {
	r.t.Helper()
	deadline := time.After(patience)
	for {
		rep, next := r.board.Report()
		if rep != nil && ok(rep) {
			return rep
		}
		select {
		case <-next:
		case <-deadline:
			text, _ := json.MarshalIndent(rep, "", "  ")
			r.t.Fatalf("never seen: %s\n%s", what, text)
		}
	}
}

// passes is how many have ended since the agent began.
func passes(r *report.Report) (n uint64) {
	for _, c := range r.Loop.Ended {
		n += c
	}
	return n
}

// next waits for the end of a pass that begins now.
func (r *rig) next(call func()) *report.Report {
	r.t.Helper()
	rep, _ := r.board.Report()
	n := passes(rep)
	call()
	return r.await("another pass", func(x *report.Report) bool { return passes(x) > n && x.Loop.Doing == "waiting" })
}

func (r *rig) again() *report.Report {
	r.t.Helper()
	return r.next(func() { r.must(r.agent.Reconcile(context.Background(), "test")) })
}

// config is the configuration of the container on the node; nil: it is not there.
func (r *rig) config() map[string]string {
	c, err := proxmox.NewClient(r.sim.As("root@pam")).Config(context.Background(), proxmox.Ref{Node: "pve1", ID: 300})
	if err != nil {
		return nil
	}
	return c.Current
}

func (r *rig) byHand(key, value string) {
	r.t.Helper()
	_, err := r.sim.As("root@pam").Do(context.Background(), proxmox.Request{
		Method: http.MethodPut, Path: "/nodes/pve1/lxc/300/config", Params: map[string][]string{key: {value}},
	})
	r.must(err)
}

const hookSecret = "a secret of webhooks"

// push tells the agent of a push as GitHub does, and returns the status of the answer.
func (r *rig) push(secret string) int {
	r.pushes++ // each message is another one, else it was here before
	body := fmt.Sprintf(`{"ref":"refs/heads/main","after":"%040x","repository":{"full_name":"home","clone_url":%q}}`, r.pushes, r.from.Git)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	req := httptest.NewRequest(http.MethodPost, "/hooks/github", strings.NewReader(body))
	req.Header.Set("X-GitHub-Event", "push")
	req.Header.Set("X-GitHub-Delivery", fmt.Sprint(time.Now().UnixNano()))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	req.Host = "127.0.0.1"
	w := httptest.NewRecorder()
	r.hooks.ServeHTTP(w, req)
	return w.Code
}

// file writes a file for the agent.
func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// overHTTPS is a repository that is served over https.
func overHTTPS(t testing.TB, m *gittest.Repo) (config.Source, *gittest.Site) {
	s := gittest.ServeHTTPS(t, m)
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return config.Source{
		Git: s.URL + "/home.git", Branch: "main", Path: "lxc", CAFile: file(t, "ca.pem", string(cert)),
		Auth: config.Auth{User: "tend", PasswordFile: file(t, "password", gittest.Token)},
	}, s
}

// overSSH is a repository that is served over ssh.
func overSSH(t testing.TB, m *gittest.Repo) config.Source {
	key, private := gittest.Key(t)
	h := gittest.ServeSSH(t, filepath.Dir(m.Dir), key.PublicKey())
	return config.Source{
		Git: "ssh://deploy@" + h.Addr + "/home.git", Branch: "main", Path: "lxc",
		Auth: config.Auth{KeyFile: file(t, "key", private), KnownHosts: []string{file(t, "known_hosts", h.Line()+"\n")}},
	}
}

// pending is what waits for a restart of the container.
func (r *rig) pending() string {
	c, err := proxmox.NewClient(r.sim.As("root@pam")).Config(context.Background(), proxmox.Ref{Node: "pve1", ID: 300})
	r.must(err)
	return strings.Join(c.Pending.Keys(), " ")
}
