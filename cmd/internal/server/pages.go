package server

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
)

// data is what a page is made of.
type data struct {
	Title    string
	Here     string // of the navigation
	Path     string // of this page, to come back to
	Now      time.Time
	Report   *report.Report // nil: the agent has told nothing yet
	Verdict  report.Verdict
	May      bool   // whoever looks may ask for things
	CanLogin bool   // and could, with the token
	Session  bool   // and did
	Done     string // what was just asked for

	Overview  overviewData
	Container *report.Container
	Runs      Runs
	Run       history.Record
	Past      []report.Run // runs that touched a container
	Login     loginData
	Message   messageData
}

type (
	loginData struct {
		To, Wrong string
		Possible  bool
	}
	messageData struct {
		Code       int
		What, Hint string
	}
)

// data gathers what every page has.
func (s *Server) data(r *http.Request, title, here string) data {
	a := actorOf(r)
	d := data{
		Title: title, Here: here, Now: time.Now(), May: a.may && s.o.Actions != nil,
		CanLogin: !a.may && !s.access.Load().Token.IsZero() && s.o.Actions != nil, Session: s.sessions.has(r), Done: done[r.URL.Query().Get("done")],
	}
	q := r.URL.Query()
	q.Del("done")
	d.Path = r.URL.Path
	if len(q) > 0 {
		d.Path += "?" + q.Encode()
	}
	return d
}

// reported adds the report; whoever may not read gets none.
func (s *Server) reported(r *http.Request, title, here string) data {
	d := s.data(r, title, here)
	d.Report, _ = s.o.Board.Report()
	if d.Report != nil {
		d.Verdict = d.Report.Verdict(d.Now)
	} else {
		d.Verdict = report.Verdict{Level: report.Note, Text: "Starting: nothing has been looked at yet"}
	}
	return d
}

// page shows a page that needs a report, or that there is none yet.
func (s *Server) page(w http.ResponseWriter, name string, d data) {
	if d.Report == nil {
		name = "starting"
	}
	s.pages.write(w, http.StatusOK, name, d)
}

// overviewData is the list of containers as it is filtered, and what it is counted by.
type overviewData struct {
	Containers []*report.Container
	Show, Find string
	Filters    []filter
	Total      int
	Synced     int
	Healthy    int
	Needs      []report.Item // what needs a person
	Notes      []report.Item // and what does not
}

// A filter is a way to look at a part of the containers.
type filter struct {
	Name, Word string
	Count      int
	Class      string
	URL        string
	is         func(*report.Container) bool
}

func filters(now time.Time) []filter {
	sync := func(want view.Sync) func(*report.Container) bool {
		return func(c *report.Container) bool { return c.Sync == want }
	}
	needs := func(c *report.Container) bool {
		return slices.ContainsFunc(c.Items(now), func(i report.Item) bool { return i.Level >= report.Warn })
	}
	return []filter{
		{Name: "", Word: "all", is: func(*report.Container) bool { return true }},
		{Name: "needs", Word: "need you", Class: "warn", is: needs},
		{Name: "degraded", Word: "degraded", Class: "bad", is: func(c *report.Container) bool { return c.Health() == report.Degraded }},
		{Name: "differs", Word: "out of sync", Class: "note", is: sync(view.OutOfSync)},
		{Name: "blocked", Word: "blocked", Class: "warn", is: sync(view.SyncBlocked)},
		{Name: "restart", Word: "wait for a restart", Class: "note", is: func(c *report.Container) bool { return len(c.Restart) > 0 }},
		{Name: "suspended", Word: "suspended", Class: "off", is: sync(view.Suspended)},
		{Name: "synced", Word: "synced", Class: "ok", is: sync(view.Synced)},
	}
}

func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	d := s.reported(r, "Overview", "overview")
	if d.Report != nil {
		d.Overview = overviewOf(d.Report, r.URL.Query().Get("show"), r.URL.Query().Get("find"), d.Now)
		n := slices.IndexFunc(d.Verdict.Items, func(i report.Item) bool { return i.Level < report.Warn })
		if n < 0 {
			n = len(d.Verdict.Items)
		}
		d.Overview.Needs, d.Overview.Notes = d.Verdict.Items[:n], d.Verdict.Items[n:]
	}
	s.page(w, "overview", d)
}

func overviewOf(rep *report.Report, show, find string, now time.Time) overviewData {
	o := overviewData{Show: show, Find: find, Total: len(rep.Containers)}
	level := map[proxmox.VMID]report.Level{}
	chosen := func(*report.Container) bool { return true }
	for _, f := range filters(now) {
		for i := range rep.Containers {
			if f.is(&rep.Containers[i]) {
				f.Count++
			}
		}
		if f.Name == show {
			chosen = f.is
		}
		f.URL = overviewURL(f.Name, find)
		if f.Count > 0 || f.Name == show {
			o.Filters = append(o.Filters, f)
		}
	}
	for i := range rep.Containers {
		c := &rep.Containers[i]
		if c.Sync == view.Synced {
			o.Synced++
		}
		if c.Health() == report.Healthy {
			o.Healthy++
		}
		for _, item := range c.Items(now) {
			level[c.ID] = max(level[c.ID], item.Level)
		}
		if c.Sync == view.OutOfSync {
			level[c.ID] = max(level[c.ID], report.Note)
		}
		if chosen(c) && matches(c, find) {
			o.Containers = append(o.Containers, c)
		}
	}
	slices.SortStableFunc(o.Containers, func(a, b *report.Container) int { return cmp.Compare(level[b.ID], level[a.ID]) })
	return o
}

func overviewURL(show, find string) string {
	q := url.Values{}
	for name, value := range map[string]string{"show": show, "find": find} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return (&url.URL{Path: "/", RawQuery: q.Encode()}).String()
}

// matches looks for a text in what people know a container by.
func matches(c *report.Container, find string) bool {
	find = strings.ToLower(strings.TrimSpace(find))
	return strings.Contains(strings.ToLower(c.ID.String()+" "+c.Name+" "+c.Node), find)
}

// pastRuns is how many of the last runs are searched for those that touched a container.
const pastRuns = 500

func (s *Server) container(w http.ResponseWriter, r *http.Request) {
	d := s.reported(r, "", "overview")
	if d.Report == nil {
		s.page(w, "container", d)
		return
	}
	id, _ := strconv.Atoi(r.PathValue("id"))
	d.Container = d.Report.Container(proxmox.VMID(id))
	if d.Container == nil || id == 0 {
		s.fail(w, r, http.StatusNotFound, "There is no container "+r.PathValue("id")+" that this agent keeps.", "It may have been taken out of the spec, or destroyed.")
		return
	}
	d.Title = d.Container.ID.String() + " " + view.Clean(d.Container.Name)
	d.Past = s.past(d.Container.ID)
	s.page(w, "container", d)
}

// past are the last runs that changed a container.
func (s *Server) past(id proxmox.VMID) []report.Run {
	if s.o.History == nil {
		return nil
	}
	all, err := s.o.History.Runs(0, pastRuns)
	if err != nil {
		s.o.Log.Warn("the history cannot be read", "err", err)
		return nil
	}
	var out []report.Run
	for _, run := range all {
		for _, c := range run.Changed {
			if c.ID == id && c.Kind == 0 && len(out) < 10 {
				out = append(out, run)
			}
		}
	}
	return out
}

func (s *Server) plan(w http.ResponseWriter, r *http.Request) {
	s.page(w, "plan", s.reported(r, "Plan", "plan"))
}

// pageOfRuns is how many runs a page has.
const pageOfRuns = 50

func (s *Server) runs(w http.ResponseWriter, r *http.Request) {
	d := s.reported(r, "Runs", "runs")
	var err error
	if d.Runs, err = s.pageOf(r, pageOfRuns); err != nil {
		s.failRead(w, r, err)
		return
	}
	s.page(w, "runs", d)
}

func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	d := s.reported(r, "", "runs")
	var err error
	if d.Run, err = s.recordOf(r); err != nil {
		s.failRead(w, r, err)
		return
	}
	d.Title = "Run " + strconv.FormatUint(d.Run.ID, 10)
	s.page(w, "run", d)
}

func (s *Server) source(w http.ResponseWriter, r *http.Request) {
	s.page(w, "source", s.reported(r, "Source", "source"))
}

func (s *Server) node(w http.ResponseWriter, r *http.Request) {
	s.page(w, "node", s.reported(r, "Node", "node"))
}
