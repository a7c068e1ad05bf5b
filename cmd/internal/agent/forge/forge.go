// Package forge tells the forge of a repository (GitHub, Gitea, Forgejo, GitLab) of each commit whether the cluster is as
// it says, so that it stands beside the commit: pending, success or failure, with a line.
//
// It decides from reports alone what to tell ([Of]), tells it on change only, and never holds up whoever calls it. It
// reads nothing from the forge, and shows no token.
package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
)

// A State is what a forge shows of a commit.
type State string

// The states.
const (
	Pending State = "pending"
	Success State = "success"
	Failure State = "failure"
)

// A Status is what is told of a commit.
type Status struct {
	Commit  string // hash, whole
	State   State
	Summary string // a line
}

// maxSummary is what GitHub takes of a description, in characters; the others take more.
const maxSummary = 140

// Of says what a report tells of commits: of the one in force how the last pass with it ended, and of one that is
// refused why. Of a commit about which the report knows nothing new it says nothing: the node does not answer.
func Of(r *report.Report) []Status {
	if r.Source.Kind != "git" {
		return nil
	}
	var out []Status
	add := func(commit string, s State, summary string) {
		out = append(out, Status{commit, s, outward.Brief(summary, maxSummary)})
	}
	s, last := r.Source, r.Loop.Last
	if s.Refused.ID != "" && s.Refused.ID != s.InForce.ID && s.Error != "" && s.Class != "unreachable" {
		add(s.Refused.ID, Failure, "refused: "+s.Error)
	}
	switch {
	case s.InForce.ID == "" || s.From != "": // a commit of another repository
	case last == nil || last.Revision.ID != s.InForce.ID:
		add(s.InForce.ID, Pending, "in force, and not carried out yet")
	default:
		switch last.Result {
		case report.Quiet, report.Converged:
			add(s.InForce.ID, Success, cmp.Or(last.Summary, "the cluster is as this says"))
		case report.Pending, report.Interrupted:
			add(s.InForce.ID, Pending, cmp.Or(last.Summary, string(last.Result)))
		case report.Blocked, report.Failed:
			add(s.InForce.ID, Failure, cmp.Or(last.Error, last.Summary, string(last.Result)))
		case report.Refused, report.Unreachable:
		}
	}
	return out
}

// A Poster tells a forge. Its methods are for any goroutine.
type Poster struct {
	client  *http.Client
	site    site
	token   proxmox.Secret
	context string
	target  string
	log     *slog.Logger
	wake    chan struct{} // holds one: there is something to tell

	mu      sync.Mutex        // guards what follows
	cluster string            // of the last report
	want    map[string]Status // by commit: what is to be shown
	told    map[string]State  // by commit: what was taken, or refused for good
	failing report.Channel    // without a name: nothing fails
}

// New makes a poster for the repository at an address, as git is told it. It reads the token and connects to nothing.
func New(c config.CommitStatus, repository string, secrets func(path string) (proxmox.Secret, error), log *slog.Logger) (*Poster, error) {
	s, err := newSite(c, repository)
	if err != nil {
		return nil, fmt.Errorf("commitStatus: %w", err)
	}
	token, err := secrets(c.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("commitStatus: read the token: %w", err)
	}
	return &Poster{
		client: outward.NewClient(), site: s, token: token, context: c.Context, target: c.Target, log: log,
		wake: make(chan struct{}, 1), want: map[string]Status{}, told: map[string]State{},
	}, nil
}

// Tell hands a report over. It never waits.
func (p *Poster) Tell(r *report.Report) {
	statuses := Of(r)
	if len(statuses) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cluster = r.Agent.Cluster
	for _, s := range statuses {
		p.want[s.Commit] = s
	}
	p.forget(r)
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Take takes over from a poster whose Run has ended, before that of this one begins: what it was to tell the same
// repository, all of which is told anew.
func (p *Poster) Take(old *Poster) {
	old.mu.Lock()
	defer old.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if old.site == p.site && old.context == p.context {
		p.cluster = cmp.Or(p.cluster, old.cluster)
		for commit, s := range old.want {
			if _, newer := p.want[commit]; !newer {
				p.want[commit] = s
			}
		}
	}
}

// forget leaves out commits that are told and no longer of interest, so that a year of commits takes no room. The caller
// holds the mutex.
func (p *Poster) forget(r *report.Report) {
	old := func(commit string) bool { return commit != r.Source.InForce.ID && commit != r.Source.Refused.ID }
	maps.DeleteFunc(p.want, func(commit string, s Status) bool { return old(commit) && p.told[commit] == s.State })
	maps.DeleteFunc(p.told, func(commit string, _ State) bool { return old(commit) && p.want[commit] == Status{} })
}

// The time between two attempts, and how many there are for a status.
const (
	firstPause = 5 * time.Second
	maxPause   = 15 * time.Minute
	maxTries   = 24
)

// Run tells until the context ends, and returns its error. It is called once.
func (p *Poster) Run(ctx context.Context) error {
	tries := 0
	for {
		s, ok := p.next()
		if !ok {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-p.wake:
				continue
			}
		}
		err := p.post(ctx, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		again := err != nil && !final(err) && tries < maxTries
		p.outcome(s, err, again)
		if !again {
			tries = 0
			continue
		}
		if !outward.Pause(ctx, tries, firstPause, maxPause) {
			return ctx.Err()
		}
		tries++
	}
}

// next is a status that is not shown as it is to be.
func (p *Poster) next() (Status, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, commit := range slices.Sorted(maps.Keys(p.want)) {
		if s := p.want[commit]; p.told[commit] != s.State {
			return s, true
		}
	}
	return Status{}, false
}

// final reports whether it is of no use to try again: the forge has answered, and will say the same.
func final(err error) bool {
	e, ok := errors.AsType[*outward.StatusError](err)
	return ok && e.Code/100 == 4 && e.Code != http.StatusRequestTimeout && e.Code != http.StatusTooManyRequests
}

// outcome notes how an attempt ended.
func (p *Poster) outcome(s Status, err error, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !again {
		p.told[s.Commit] = s.State
	}
	if err == nil {
		p.failing = report.Channel{}
		p.log.Info("told the forge", "commit", s.Commit, "state", s.State)
		return
	}
	if p.failing.Name == "" {
		p.failing = report.Channel{Name: "commit statuses", Since: time.Now()}
	}
	p.failing.Error = p.explain(err)
	p.log.Warn("telling the forge fails", "commit", s.Commit, "state", s.State, "again", again, "error", p.failing.Error)
}

// Failing is the poster as a channel that fails, for the report; none: it does not.
func (p *Poster) Failing() []report.Channel {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failing.Name == "" {
		return nil
	}
	return []report.Channel{p.failing}
}
