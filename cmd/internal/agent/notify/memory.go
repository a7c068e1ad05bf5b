package notify

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox"
)

// A memory is what was told, and what was seen and may pass before it is told.
type memory struct {
	told  map[string]told  // by key of the item
	until time.Time        // runs that ended until then were told; zero: nothing was looked at yet
	came  map[string]sight // what stands and was not told
	gone  map[string]sight // what was told and no longer stands
}

// A told is something that was told, as it is written down.
type told struct {
	Kind    report.Kind  `json:"kind"`
	Level   report.Level `json:"level"` // the highest that was told
	What    string       `json:"what"`
	ID      proxmox.VMID `json:"id,omitempty"`
	Variant string       `json:"variant,omitempty"`
	Since   time.Time    `json:"since"`          // when it was first seen
	At      time.Time    `json:"at"`             // when it was last told
	Over    time.Time    `json:"over,omitzero"`  // when it was told to be over; zero: it stands
	Times   int          `json:"times,omitzero"` // how often it came back soon after it was over
}

// A sight is when something was first seen, and in which pass.
type sight struct{ since, pass time.Time }

// Something that comes back within calm after it was over is over only once it was gone for twice as long as the
// last time, up to maxHold.
const (
	calm    = time.Hour
	maxHold = time.Hour
)

// A policy says how patient a memory is.
type policy struct {
	settle time.Duration // for which what may right itself must stand, or be gone
	remind time.Duration // after which what stands is told again; 0: never
}

func newMemory() *memory {
	return &memory{told: map[string]told{}, came: map[string]sight{}, gone: map[string]sight{}}
}

// look remembers a report, and returns what is to be told of it at a time. The same report again, or another that
// says the same, gives nothing.
func (m *memory) look(r *report.Report, now time.Time, p policy) []Event {
	items := map[string]report.Item{}
	for _, i := range r.Attention(now) {
		if _, higher := items[i.Key()]; !higher && tells(r, i.Kind, i.Key()) {
			items[i.Key()] = i
		}
	}
	out := m.arrivals(r, items, now, p)
	out = append(out, m.departures(r, items, now, p)...)
	out = append(out, m.runs(r, now)...)
	maps.DeleteFunc(m.told, func(_ string, t told) bool { return !t.Over.IsZero() && now.Sub(t.Over) > calm })
	return out
}

// tells reports whether an agent tells of something at all. The one that leads tells what all see; one that follows tells
// of itself, and of what on its own node only root there may see. What it leaves out is no recovery.
func tells(r *report.Report, k report.Kind, key string) bool {
	if !r.Follows() {
		return true
	}
	switch k {
	case report.KindDisk, report.KindSensor:
		node, _, _ := strings.Cut(r.Agent.Host, ".")
		return strings.HasPrefix(key, string(k)+" "+node+" ")
	case report.KindSource, report.KindNode, report.KindStale, report.KindRun, report.KindJournal, report.KindDryRun, report.KindLead,
		report.KindChannel, report.KindConfig:
		return true
	}
	return false
}

// arrivals tells what stands and was not told so.
func (m *memory) arrivals(r *report.Report, items map[string]report.Item, now time.Time, p policy) []Event {
	var out []Event
	maps.DeleteFunc(m.came, func(k string, _ sight) bool { _, stands := items[k]; return !stands })
	for _, key := range slices.Sorted(maps.Keys(items)) {
		i := items[key]
		delete(m.gone, key)
		t, known := m.told[key]
		change := t.change(known, i, now, p)
		if change == "" {
			delete(m.came, key)
			continue
		}
		first, passed := settled(m.came, key, r, now, patience(i.Kind, i.Variant, p.settle), seenByPass(i.Kind))
		if !passed && change != Still {
			continue
		}
		delete(m.came, key)
		if change != Begun {
			first = t.Since
		}
		out = append(out, ofItem(change, i, first))
		m.told[key] = t.again(i, first, now)
	}
	return out
}

// change is what is new about an item that was told, or not known; empty: nothing.
func (t told) change(known bool, i report.Item, now time.Time, p policy) Change {
	switch {
	case !known || !t.Over.IsZero():
		return Begun
	case i.Level > t.Level:
		return Worse
	case i.Variant != "" && i.Variant != t.Variant:
		return Changed
	case p.remind > 0 && i.Level >= report.Warn && now.Sub(t.At) >= p.remind:
		return Still
	}
	return ""
}

// again is what is remembered once an item is told.
func (t told) again(i report.Item, since, now time.Time) told {
	times := t.Times
	if !t.Over.IsZero() {
		times++
	}
	level, variant := i.Level, i.Variant
	if t.Over.IsZero() {
		level, variant = max(level, t.Level), cmp.Or(variant, t.Variant)
	}
	return told{Kind: i.Kind, Level: level, What: brief(i.What), ID: i.ID, Variant: variant, Since: since, At: now, Times: times}
}

// departures tells what was told and no longer stands.
func (m *memory) departures(r *report.Report, items map[string]report.Item, now time.Time, p policy) []Event {
	var out []Event
	for _, key := range slices.Sorted(maps.Keys(m.told)) {
		t := m.told[key]
		if _, stands := items[key]; stands || !t.Over.IsZero() {
			continue
		}
		if !tells(r, t.Kind, key) || unknown(t, r, items) {
			delete(m.gone, key)
			continue
		}
		if _, passed := settled(m.gone, key, r, now, t.hold(p.settle), seenByPass(t.Kind) || t.Times > 0); !passed {
			continue
		}
		delete(m.gone, key)
		out = append(out, Event{Change: Over, Kind: t.Kind, Level: t.Level, What: t.What, ID: t.ID, Since: t.Since})
		t.Over = now
		m.told[key] = t
	}
	return out
}

// runs tells what runs changed since the last look. The first look of all tells of none: they are history.
func (m *memory) runs(r *report.Report, now time.Time) []Event {
	if m.until.IsZero() {
		m.until = r.Agent.Started
		if m.until.IsZero() {
			m.until = now
		}
	}
	var out []Event
	last := m.until
	for _, run := range slices.Backward(r.Runs) {
		if len(run.Changed) == 0 || !run.Ended.After(m.until) {
			continue
		}
		if run.Ended.After(last) {
			last = run.Ended
		}
		out = append(out, ofRun(run, nameIn(r)))
	}
	m.until = last
	return out
}

// settled reports whether what was first seen some time ago has been so for long enough and, if a pass saw it,
// whether another has seen it since; and when it was first seen.
func settled(seen map[string]sight, key string, r *report.Report, now time.Time, hold time.Duration, byPass bool) (time.Time, bool) {
	s, ok := seen[key]
	if !ok {
		s = sight{now, pass(r)}
		seen[key] = s
	}
	if hold == 0 {
		return s.since, true
	}
	return s.since, now.Sub(s.since) >= hold && (!byPass || pass(r).After(s.pass))
}

// pass is when the last pass ended, good or bad.
func pass(r *report.Report) time.Time {
	at := r.Loop.Observed
	if l := r.Loop.Last; l != nil && l.Ended.After(at) {
		at = l.Ended
	}
	return at
}

// patience is how long something must stand before it is told: what does not right itself within minutes is told at
// once. A source has a variant where a person must do something about it.
func patience(k report.Kind, variant string, settle time.Duration) time.Duration {
	switch {
	case k == report.KindSource && variant != "":
		return 0
	case seenByPass(k), k == report.KindSource, k == report.KindNode, k == report.KindRun, k == report.KindChannel:
		return settle
	}
	return 0
}

// seenByPass reports whether only a pass can find out that something is otherwise now.
func seenByPass(k report.Kind) bool {
	switch k {
	case report.KindDegraded, report.KindUnseen, report.KindBlocked, report.KindSensor, report.KindRestart, report.KindUnclaimed:
		return true
	}
	return false
}

// hold is how long something must be gone before it is over: longer each time that it comes back soon.
func (t told) hold(settle time.Duration) time.Duration {
	d := patience(t.Kind, t.Variant, settle)
	for range t.Times {
		d = min(maxHold, 2*max(d, settle))
	}
	return d
}

// unknown reports whether a report that does not have something only has it not because nothing is known of it: the
// agent has just started, or what there is to ask does not answer.
func unknown(t told, r *report.Report, items map[string]report.Item) bool {
	switch t.Kind {
	case report.KindSource:
		return r.Source.Looked.Before(r.Agent.Started) || r.Source.Looked.IsZero()
	case report.KindRun:
		return r.Loop.Last == nil
	case report.KindChannel, report.KindStale, report.KindDryRun, report.KindLead, report.KindConfig:
		return false
	case report.KindNode:
		return pass(r).Before(r.Agent.Started) || pass(r).IsZero()
	case report.KindDegraded:
		_, unseen := items[report.Item{Kind: report.KindUnseen, ID: t.ID}.Key()]
		if unseen {
			return true
		}
	case report.KindDisk:
		if len(r.Disks) == 0 {
			return true
		}
	case report.KindSensor:
		if len(r.Sensors) == 0 {
			return true
		}
	}
	return r.Loop.Unreached() || r.Loop.Observed.IsZero() || r.Loop.Observed.Before(r.Agent.Started)
}

// file is a memory as it is written down: what may pass is forgotten with the process.
type file struct {
	Version int                  `json:"version"`
	Told    map[string]told      `json:"told"`
	Until   time.Time            `json:"until"`
	Queues  map[string][]Message `json:"queues,omitempty"` // by channel: what is not delivered yet
}
