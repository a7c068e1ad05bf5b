package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// A Change says what is new about something.
type Change string

// The changes.
const (
	Begun   Change = "new"     // it was well, as far as was told
	Worse   Change = "worse"   // it matters more than what was told
	Changed Change = "changed" // it stands, for another reason
	Still   Change = "still"   // a reminder
	Over    Change = "over"    // it is no longer so
	Done    Change = "done"    // something was applied
	Test    Change = "test"    // somebody wants to know whether messages arrive
)

// An Event is one thing in a message.
type Event struct {
	Change Change       `json:"change"`
	Kind   report.Kind  `json:"kind"`
	Level  report.Level `json:"level"` // of what is over: which it had
	What   string       `json:"what"`  // "101 web is degraded"
	Why    string       `json:"why,omitempty"`
	Do     string       `json:"do,omitempty"` // what a person can do
	ID     proxmox.VMID `json:"id,omitempty"` // of the container that it is about
	Since  time.Time    `json:"since"`        // when it was first seen; of what was applied: when that ended
}

// Line is the event in a line: "danger: 101 web is degraded (not running)".
func (e Event) Line() string {
	head := e.Level.String()
	switch e.Change {
	case Over:
		return "over: " + e.What
	case Done, Test:
		head = string(e.Change)
	case Still:
		head = "still, since " + e.Since.Format("2006-01-02 15:04")
	case Begun, Worse, Changed:
	}
	text := head + ": " + e.What
	if e.Why != "" {
		text += " (" + e.Why + ")"
	}
	return text
}

// A Message is what one look at a report found to tell by one channel. Templates see it, and webhooks send it.
type Message struct {
	Version int          `json:"version"`
	Kind    string       `json:"kind"` // "notification"
	ID      string       `json:"id"`   // the same whenever it is sent again, of no other message
	Cluster string       `json:"cluster"`
	Host    string       `json:"host"` // on which the agent runs
	Time    time.Time    `json:"time"`
	Level   report.Level `json:"level"`             // the highest of what is new
	Verdict string       `json:"verdict"`           // what is so now, in a sentence: "2 things need you"
	Events  []Event      `json:"events"`            // what matters most first
	Page    string       `json:"page,omitempty"`    // address of the agent's page
	Dropped int          `json:"dropped,omitempty"` // messages before this one that could not be delivered
}

// Version is that of the JSON form of a message. It is raised when a field goes or changes its meaning.
const Version = 1

// Title is the message in a line: "home: 101 web is degraded", "home: 2 new, 1 over".
func (m Message) Title() string {
	head := ""
	if m.Cluster != "" {
		head = m.Cluster + ": "
	}
	if len(m.Events) == 1 {
		e := m.Events[0]
		switch e.Change {
		case Over:
			return head + "over: " + e.What
		case Still:
			return head + "still: " + e.What
		case Begun, Worse, Changed, Done, Test:
		}
		return head + e.What
	}
	var parts []string
	for _, c := range []Change{Begun, Worse, Changed, Still, Over, Done} {
		n := 0
		for _, e := range m.Events {
			if e.Change == c {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c))
		}
	}
	return head + strings.Join(parts, ", ")
}

// newMessage makes a message of events, which must not be none.
func newMessage(r *report.Report, events []Event, now time.Time) Message {
	slices.SortStableFunc(events, func(a, b Event) int { return rank(b) - rank(a) })
	m := Message{
		Version: Version, Kind: "notification", Time: now,
		Cluster: r.Agent.Cluster, Host: r.Agent.Host, Verdict: r.Verdict(now).Text, Events: events,
	}
	for _, e := range events {
		if e.Change != Over {
			m.Level = max(m.Level, e.Level)
		}
	}
	return m
}

// rank puts what is bad before what is over, and that before what was done.
func rank(e Event) int {
	switch e.Change {
	case Done, Test:
		return 0
	case Over:
		return 1
	case Begun, Worse, Changed, Still:
	}
	return 2 + int(e.Level)
}

// maxWhy bounds a reason, such as the error of a library, in characters.
const maxWhy = 300

func brief(text string) string { return outward.Brief(text, maxWhy) }

// ofItem is an event about an item.
func ofItem(c Change, i report.Item, since time.Time) Event {
	return Event{Change: c, Kind: i.Kind, Level: i.Level, What: brief(i.What), Why: brief(i.Why), Do: brief(i.Do), ID: i.ID, Since: since}
}

// ofRun is an event about what a run changed.
func ofRun(run report.Run, name func(plan.Subject) string) Event {
	names := make([]string, 0, len(run.Changed))
	for _, s := range run.Changed {
		names = append(names, name(s))
	}
	why := run.Summary
	if id := run.Revision.ID; id != "" {
		why += ", " + id[:min(7, len(id))]
	}
	if run.Revision.Author != "" {
		why += " by " + run.Revision.Author
	}
	return Event{
		Change: Done, Kind: report.KindApplied, Level: report.Note, Since: run.Ended,
		What: brief("changed " + strings.Join(names, ", ")), Why: brief(strings.TrimPrefix(why, ", ")),
	}
}

// nameIn names a subject as the report does: "101 web".
func nameIn(r *report.Report) func(plan.Subject) string {
	return func(s plan.Subject) string {
		if s.ID != 0 {
			if c := r.Container(s.ID); c != nil && c.Name != "" {
				return s.String() + " " + c.Name
			}
		}
		return s.String()
	}
}
