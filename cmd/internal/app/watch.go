package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/felhom/tend/cmd/internal/agent"
	"github.com/felhom/tend/cmd/internal/agent/leader"
	"github.com/felhom/tend/cmd/internal/agent/origin"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/cmd/internal/server"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/permit"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/reconcile/snapshot"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
)

// What the agent does where nothing is said.
const (
	defaultListen   = "127.0.0.1:8099"
	defaultInterval = 5 * time.Minute
	memoryFile      = "agent.json"
	sourceFile      = "source.json"
)

// frugal has the garbage collector run at half of growth: an agent rests nearly always, on machines whose memory belongs to
// containers, and memory that it does not give back costs more than the seconds a day that this takes.
const frugal = 50

type watchOptions struct {
	dryRun   bool
	interval time.Duration
	listen   string
}

func newWatch(s *Streams) *cobra.Command {
	o := watchOptions{}
	cmd := &cobra.Command{
		Use:   "watch [PATH]",
		Short: "Keep the cluster as the spec says, continuously",
		Long: `Follow a git repository or a folder, keep the cluster as it says, carry out snapshot
policies by their schedules, and show what is done on a page (http://127.0.0.1:8099).

The source, windows, budgets and all else stand in the configuration file; a folder may be
named here. A revision that cannot be fetched, verified or understood is not applied: the
last good one stays in force, and the page and tend status say why.

SIGHUP reads the configuration again and begins a pass with it; what cannot change while the
agent runs (endpoint, token, folder of its state, lane) is told. SIGINT and SIGTERM finish the
steps in flight and end; a second one leaves at once, and the next start looks up what was
under way.` + exits("0  ended by a signal", "1  error: the configuration, or another agent is there"),
		Example: `  tend watch
  tend watch --sandbox examples/homelab
  tend watch --dry-run --interval 1m specs
  tend watch --config /etc/tend/tend.yaml`,
		Args: atMostOne("folder"),
		RunE: func(cmd *cobra.Command, args []string) error { return watch(cmd, s, o, args) },
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "plan and tell, and change nothing")
	f.DurationVar(&o.interval, "interval", 0, "look again after so long when nothing happens (default 5m)")
	f.StringVar(&o.listen, "listen", "", "`address` of the page (default 127.0.0.1:8099), or off")
	return cmd
}

// watch runs the agent.
func watch(cmd *cobra.Command, s *Streams, o watchOptions, args []string) (err error) {
	c, err := o.settings(cmd, s, args)
	if err != nil {
		return err
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return err
	}
	defer ses.close()
	log := s.logger(c, s.Err)
	if c.Insecure {
		log.Warn("any certificate is accepted: whoever is in between can read the token (insecure)")
	}
	if err := os.MkdirAll(c.StateDir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the agent: %w", err)
	}
	if s.Env("GOGC") == "" {
		debug.SetGCPercent(frugal)
	}
	w := &watcher{Streams: s, cmd: cmd, options: o, args: args, config: c, parallel: c.Agent.Parallel, session: ses, log: log, stop: make(chan struct{})}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.open(); err != nil {
		return err
	}
	return w.run(cmd.Context())
}

// settings is the configuration with what flags and arguments say.
func (o watchOptions) settings(cmd *cobra.Command, s *Streams, args []string) (*config.Config, error) {
	c, err := s.settings(cmd)
	if err != nil {
		return nil, err
	}
	if c.Get(config.LogLevel).Text == "" { // what is done is worth a line in the journal
		c.LogLevel = slog.LevelInfo
	}
	a := &c.Agent
	if len(args) > 0 {
		a.Source = config.Source{Dir: args[0]}
	}
	if a.Source.Dir == "" && a.Source.Git == "" {
		return nil, errors.New("no source of specs is given: name a folder (tend watch specs), or write source: into the " +
			"configuration file, as in source: {git: https://git.example.com/home.git, branch: main}")
	}
	a.DryRun = a.DryRun || o.dryRun
	if o.interval != 0 {
		a.Interval = config.Duration(o.interval)
	}
	a.Interval = cmp.Or(a.Interval, config.Duration(defaultInterval))
	a.Web.Listen = cmp.Or(config.Listen(o.listen), a.Web.Listen, defaultListen)
	return c, nil
}

// A watcher is an agent with everything around it.
type watcher struct {
	*Streams
	cmd     *cobra.Command
	options watchOptions
	args    []string
	config  *config.Config // of the start; what of it holds for good is taken from here
	session *session
	log     *slog.Logger
	stop    chan struct{}

	agent   *agent.Agent
	leader  *leader.Leader // nil: nobody else is there, as on the sandbox
	server  *server.Server
	history *history.History
	page    door // without a listener: there is none
	local   net.Listener
	closers []func() error
	tellers tellers
	serve   func(net.Listener) (end func()) // begins to answer on a listener

	// Only passes use what follows.

	parallel int
	keeper   *snapshot.Keeper
	disks    func(context.Context) []*health.Node
}

func (w *watcher) close() error {
	var errs []error
	for i := len(w.closers) - 1; i >= 0; i-- {
		errs = append(errs, w.closers[i]())
	}
	return errors.Join(errs...)
}

// open makes everything that an agent needs, and listens.
func (w *watcher) open() (err error) {
	c, ses := w.config, w.session
	first, err := w.arrange(c)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, first.abandon())
		}
	}()
	from := first.from
	tally := &agent.Tally{Transport: ses.transport}
	ses.client, ses.log = proxmox.NewClient(tally), w.log
	w.disks = ses.shareDisks()
	keeper, done, err := ses.keeper(true)
	if err != nil {
		return err
	}
	keeper.Voice, w.keeper = plan.ToAgent, keeper
	w.closers = append(w.closers, func() error { done(); return nil })
	o := agent.Options{
		Watch: from.Watch, Origin: from.Report, Load: loadFiles, Client: ses.client, Snapshots: keeper, Journal: keeper.Journal, Requests: tally.Requests,
		Disks: func(ctx context.Context) []*health.Node { return w.disks(ctx) },
		User:  tokenUser(c.Token), Drills: ses.drills, Board: &report.Board{}, Log: w.log, Stop: w.stop, Beat: beat,
		Agent: report.Agent{Version: programVersion(), Started: time.Now(), Host: hostName()},
	}
	o.Reconciler = func(p plan.Policy) *reconcile.Reconciler {
		r := ses.reconciler(p)
		r.Executor = execute.Executor{
			Client: ses.client, Journal: keeper.Journal, Parallel: w.parallel, Root: ses.executorRoot(),
			Secrets: secretsOf(w.Streams), RunID: rand.Text(), Log: w.log,
		}
		return r
	}
	if err := w.remember(&o, from); err != nil {
		return err
	}
	w.tellers.begin(&o, first.voices)
	w.openLeader(&o)
	w.agent = agent.New(o, settingsOf(c.Agent))
	w.server, err = server.New(server.Options{Board: o.Board, History: o.History, Actions: w.agent, Log: w.log, Access: first.access})
	if err != nil {
		return err
	}
	w.page = first.page
	w.local, err = server.ListenLocal(filepath.Join(c.StateDir, socketFile))
	return err
}

// remember opens what the agent keeps in its folder. Where one of these is damaged the agent goes on without it.
func (w *watcher) remember(o *agent.Options, from *origin.Origin) error {
	at := func(name string) string { return filepath.Join(w.config.StateDir, name) }
	warn := func(err error) {
		if err != nil {
			w.log.Warn("the agent goes on without what it knew", slog.Any("err", err))
		}
	}
	var err error
	o.Source, err = source.Keep(from.Source, at(sourceFile))
	warn(err)
	o.Memory, err = agent.OpenMemory(at(memoryFile))
	warn(err)
	o.History, err = history.Open(at(historyFile), limitsOf(w.config))
	warn(err)
	w.history = o.History
	w.closers = append(w.closers, o.History.Close)
	return nil
}

// run runs the agent and its server until a signal ends it.
func (w *watcher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	w.serve = func(l net.Listener) func() {
		inner, end := context.WithCancel(ctx)
		ended := make(chan struct{})
		g.Go(func() error {
			defer close(ended)
			err := w.server.Serve(inner, l)
			if inner.Err() != nil {
				return nil
			}
			cancel() // an agent that nobody can look at or ask is ended, and begun anew by systemd
			return err
		})
		return func() { end(); <-ended }
	}
	g.Go(func() error { w.tellers.run(ctx); return nil })
	g.Go(func() error { w.lead(ctx); return nil })
	w.serve(w.local)
	shown := w.page.open(w.serve)
	w.log.Info("tend watches", slog.String("source", w.config.Agent.Source.Git+w.config.Agent.Source.Dir),
		slog.String("cluster", w.session.shown), slog.String("page", shown), slog.Bool("dryRun", w.config.Agent.DryRun))
	signals, release := w.signals()
	defer release()
	g.Go(func() error { w.heed(ctx, signals, cancel); return nil })
	notify(daemon.SdNotifyReady)
	err := w.agent.Run(ctx)
	w.resign(ctx)
	cancel()
	return errors.Join(err, g.Wait())
}

// heed does what signals ask for.
func (w *watcher) heed(ctx context.Context, signals <-chan os.Signal, leave func()) {
	ending := false
	for {
		select {
		case <-ctx.Done():
			return
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP && !ending:
				w.reload()
			case ending:
				w.log.Warn("leaving at once: what is under way goes on on the nodes, and is looked up by the next start")
				leave()
			default:
				ending = true
				w.log.Info("ending: the steps in flight are finished, nothing else is begun")
				notify(daemon.SdNotifyStopping)
				close(w.stop)
			}
		}
	}
}

// settingsOf are the settings of the loop.
func settingsOf(a config.Agent) agent.Settings {
	out := agent.Settings{
		Interval: time.Duration(a.Interval), Location: a.TimeZone.Location,
		Policy: plan.Policy{
			Adopt: a.Adopt, Prune: a.Prune.On, PruneMax: a.Prune.Max, PrunePercent: a.Prune.Percent, PruneGrace: time.Duration(a.Prune.Grace),
			Recover: a.Recovery == config.RecoveryAuto,
		},
		Rules: permit.Rules{DryRun: a.DryRun, Mode: a.Mode, Modes: a.Modes, Outside: a.Outside, Budget: a.Budget.Permit()},
	}
	for _, w := range a.Windows {
		out.Windows = append(out.Windows, agent.Window{Opens: w.Schedule.Event, For: time.Duration(w.Duration)})
	}
	return out
}

// loadFiles reads a spec; its faults are an error of several lines.
func loadFiles(files fs.FS) (*spec.State, error) { return load.Load(files, load.Options{}) }

// tokenUser is whom Proxmox calls the bearer of a token: the part before its secret.
func tokenUser(token proxmox.Secret) string {
	user, _, _ := strings.Cut(token.Reveal(), "=")
	return user
}

func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
