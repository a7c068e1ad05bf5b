// Package notify tells people what became worse, what is over and what was changed: once for each change of state,
// never each pass. What was told is kept in a file, so that a restart neither repeats nor loses anything.
//
// It looks at reports and decides from them alone, in a batch of one message for each look; [Notifier.Run] delivers
// them by the channels of the configuration, with retries, and pings a dead man's switch after each pass. It never holds
// up whoever calls it, changes nothing on a node, and shows no address of a channel, since those hold secrets.
package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
)

// A Notifier tells. Its methods are for any goroutine.
type Notifier struct {
	policy policy
	page   string
	log    *slog.Logger
	path   string
	pinger *pinger // nil: none
	lines  []*line

	leaving chan struct{} // closed by Leave
	once    sync.Once
	latest  atomic.Pointer[report.Report]
	wake    chan struct{} // holds one: there is another report
	beats   chan beat     // holds one: the newest

	mu      sync.Mutex // guards what is below, and the queues of lines
	memory  *memory
	saved   []byte
	failing map[string]report.Channel
}

// Secrets reads a file that holds a secret.
type Secrets func(path string) (proxmox.Secret, error)

// either is the secret of the configuration or, where a path is given, that of the file.
func (s Secrets) either(h config.Hidden, path string) (proxmox.Secret, error) {
	if path == "" {
		return h.Secret, nil
	}
	return s(path)
}

// New makes a notifier. It reads the secrets that the settings name, and connects to nothing; the error names all
// faults. What was told is kept in the file at path; with the path "" it is forgotten with the process.
func New(s config.Notify, secrets Secrets, path string, log *slog.Logger) (*Notifier, error) {
	n := &Notifier{
		policy: policy{cmp.Or(time.Duration(s.Settle), 2*time.Minute), time.Duration(s.Remind)}, page: s.Page, log: log, path: path,
		leaving: make(chan struct{}), wake: make(chan struct{}, 1), beats: make(chan beat, 1), memory: newMemory(), failing: map[string]report.Channel{},
	}
	var faults []error
	fault := func(place string, err error) {
		if err != nil {
			faults = append(faults, fmt.Errorf("notify: %s: %w", place, err))
		}
	}
	if s.Page != "" {
		fault("page", outward.CheckURL(s.Page))
	}
	for _, c := range s.Channels {
		l, err := newLine(c, secrets)
		fault("channel "+c.Name, err)
		n.lines = append(n.lines, l)
	}
	if s.DeadMan.Given() {
		var err error
		n.pinger, err = newPinger(s.DeadMan, secrets)
		fault("deadMansPing", err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	n.load()
	return n, nil
}

// Tell hands a report over, which must not be changed afterwards. It never waits: of reports that come close together
// only the last is looked at.
func (n *Notifier) Tell(r *report.Report) {
	n.latest.Store(r)
	signal(n.wake)
}

// signal fills a channel that holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tick is how often the last report is looked at again, since some of what it says comes with time alone: a backup
// grows too old, and trouble stands for long enough to be told.
const tick = time.Minute

// Run looks at reports and delivers until the context ends or Leave is called; the error is that of the context or
// [context.Canceled]. It is called once.
func (n *Notifier) Run(hard context.Context) error {
	ctx, cancel := context.WithCancel(hard)
	defer cancel()
	var group errgroup.Group
	for _, l := range n.lines {
		group.Go(func() error { return n.deliver(ctx, hard, l) })
	}
	group.Go(func() error { return n.ping(ctx, hard) })
	group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-n.leaving:
			cancel()
		}
		return ctx.Err()
	})
	group.Go(func() error {
		t := time.NewTicker(tick)
		defer t.Stop()
		for {
			if r := n.latest.Load(); r != nil {
				n.look(r, time.Now())
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-n.wake:
			case <-t.C:
			}
		}
	})
	return group.Wait()
}

// look puts what a report has to tell into the queues, and writes both down before anything is sent.
func (n *Notifier) look(r *report.Report, now time.Time) {
	if n.pinger != nil {
		if b, ok := n.pinger.due(r, now); ok {
			select {
			case <-n.beats: // not sent yet, and old
			default:
			}
			n.beats <- b
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	events := n.memory.look(r, now, n.policy)
	for _, l := range n.lines {
		if wanted := l.of(events); len(wanted) > 0 && !l.gone {
			m := newMessage(r, wanted, now)
			m.ID, m.Page = "tend_"+rand.Text(), n.page
			l.add(m)
			signal(l.wake)
		}
	}
	n.save()
}

// ping sends what look found due, until a context ends; what is under way then, until the hard one does.
func (n *Notifier) ping(ctx, hard context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b := <-n.beats:
			n.outcome(hard, pingTitle, n.pinger.send(hard, b))
		}
	}
}

// Failing lists the channels whose last attempt failed, and since when, for the report. The errors hold no secrets.
func (n *Notifier) Failing() []report.Channel {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := []report.Channel{}
	for _, l := range n.lines {
		if c, ok := n.failing[l.title()]; ok {
			out = append(out, c)
		}
	}
	if c, ok := n.failing[pingTitle]; ok {
		out = append(out, c)
	}
	return out
}

// outcome notes how an attempt ended, in the log and for [Notifier.Failing].
func (n *Notifier) outcome(ctx context.Context, channel string, err error) {
	if err != nil && ctx.Err() != nil {
		return // the agent stops: nothing is wrong with the channel
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	c, failed := n.failing[channel]
	switch {
	case err != nil:
		if !failed {
			c = report.Channel{Name: channel, Since: time.Now()}
		}
		c.Error = err.Error()
		n.failing[channel] = c
		n.log.Warn("telling others fails", "channel", channel, "since", c.Since, "error", c.Error)
	case failed:
		delete(n.failing, channel)
		n.log.Info("telling others works again", "channel", channel)
	}
}

// An Outcome is what became of a test message.
type Outcome struct {
	Channel string
	Err     error // nil: it was taken; holds no secret
}

// Test sends a message by every channel at once, past the queues, and says of each whether it was taken.
func (n *Notifier) Test(ctx context.Context, r *report.Report) []Outcome {
	now := time.Now()
	e := Event{Change: Test, Kind: report.KindChannel, Level: report.Note, What: "this is a test", Why: "somebody ran tend notify test", Since: now}
	out := make([]Outcome, len(n.lines))
	var group sync.WaitGroup
	for i, l := range n.lines {
		m := newMessage(r, []Event{e}, now)
		m.ID, m.Page = "tend_"+rand.Text(), n.page
		group.Go(func() { out[i] = Outcome{l.channel.Name, l.try(ctx, m)} })
	}
	group.Wait()
	return out
}
