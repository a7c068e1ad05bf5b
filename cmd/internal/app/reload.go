package app

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/agent"
	"github.com/felhom/tend/cmd/internal/agent/forge"
	tell "github.com/felhom/tend/cmd/internal/agent/notify"
	"github.com/felhom/tend/cmd/internal/agent/origin"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/cmd/internal/server"
	"github.com/felhom/tend/reconcile/schedule"
)

// An arrangement is all that a configuration asks for and that can go wrong: made, and not in force.
type arrangement struct {
	config *config.Config
	from   *origin.Origin
	access server.Access
	voices *voices
	page   door
	opened bool // the page, for this arrangement
}

// arrange makes what a configuration asks for. It reads the files that this names, and connects to nothing.
func (w *watcher) arrange(c *config.Config) (_ *arrangement, err error) {
	a := &arrangement{config: c}
	if a.from, err = origin.Open(c.Agent.Source, c.Secret); err != nil {
		return nil, err
	}
	if a.access, err = w.accessOf(c, a.from); err != nil {
		return nil, err
	}
	if a.voices, err = w.voicesOf(c); err != nil {
		return nil, err
	}
	if a.page, err = openDoor(c.Agent.Web, a.access, w.page); err != nil {
		return nil, err
	}
	a.opened = !a.page.is(w.page)
	return a, nil
}

// abandon closes what was opened.
func (a *arrangement) abandon() error {
	if a.opened && a.page.listener != nil {
		return a.page.listener.Close()
	}
	return nil
}

// accessOf is who may do what over the page and by webhooks.
func (w *watcher) accessOf(c *config.Config, from *origin.Origin) (a server.Access, err error) {
	web := c.Agent.Web
	a = server.Access{Hosts: web.Hosts, Cert: web.CertFile, Key: web.KeyFile}
	if web.TokenFile != "" {
		if a.Token, err = c.Secret(web.TokenFile); err != nil {
			return a, fmt.Errorf("read the token of the page: %w", err)
		}
	}
	if path := c.Agent.Webhook.SecretFile; path != "" {
		secret, err := c.Secret(path)
		if err != nil {
			return a, fmt.Errorf("read the secret of webhooks: %w", err)
		}
		a.Hooks = from.Hooks(secret, func() { w.agent.Call(schedule.Webhook) }, w.log)
	}
	return a, nil
}

// voicesOf is what tells others.
func (w *watcher) voicesOf(c *config.Config) (_ *voices, err error) {
	v := &voices{}
	if v.notifier, err = tell.New(c.Agent.Notify, c.Secret, filepath.Join(w.config.StateDir, toldFile), w.log); err != nil {
		return nil, err
	}
	if c.Agent.CommitStatus.Given() {
		if v.poster, err = forge.New(c.Agent.CommitStatus, c.Agent.Source.Git, c.Secret, w.log); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// reload reads the configuration again, and puts it in force as a whole. Where anything of it is faulty, all that was in
// force stays.
func (w *watcher) reload() {
	reloading()
	c, err := w.options.settings(w.cmd, w.Streams, w.args)
	var next *arrangement
	if err == nil {
		next, err = w.arrange(c)
	}
	if err != nil {
		w.log.Error("the configuration is faulty, and what was in force stays", slog.Any("err", err))
		w.agent.Note(report.Configuration{File: w.config.File, Read: time.Now(), Error: err.Error()})
		first, _, _ := strings.Cut(err.Error(), "\n")
		reloaded("the configuration is faulty, and the one before in force: " + first)
		return
	}
	w.adopt(next)
	reloaded("")
}

// adopt puts an arrangement in force. Nothing can go wrong any more.
func (w *watcher) adopt(next *arrangement) {
	c := next.config
	w.logs.set(c)
	w.history.Limit(limitsOf(c))
	w.server.Set(next.access)
	before := w.page
	w.page = next.page
	shown := w.page.open(w.serve)
	if !w.page.is(before) && before.end != nil {
		before.end()
	}
	w.tellers.change(next.voices)
	s := settingsOf(c.Agent)
	s.Follow = &agent.Following{Source: next.from.Source, Watch: next.from.Watch, Origin: next.from.Report}
	s.Enter = func() { w.enter(c) }
	w.agent.Set(s)
	held := config.Bound(w.config, c)
	w.log.Info("the configuration was read again", slog.String("source", next.from.Report.Place), slog.String("page", shown), slog.Bool("dryRun", c.Agent.DryRun))
	if len(held) > 0 {
		w.log.Warn("what changed of this holds from the next start on", slog.String("settings", strings.Join(held, ", ")))
	}
	w.agent.Note(report.Configuration{File: c.File, Read: time.Now(), Held: held})
	w.agent.Call(schedule.Signal)
}

// enter exchanges what passes use, when the first with a configuration begins.
func (w *watcher) enter(c *config.Config) {
	ses := w.session
	disks := ses.config.Disks != c.Disks
	ses.config, w.parallel, w.keeper.AllowDisks = c, c.Agent.Parallel, c.AllowFailingDisks
	if disks { // what was read was judged by other limits
		ses.shared = nil
		w.disks = ses.shareDisks()
		w.keeper.Disks = ses.disks()
	}
}

func limitsOf(c *config.Config) history.Limits {
	h := c.Agent.History
	return history.Limits{Runs: h.Runs, Bytes: int64(h.Megabytes) << 20}
}
