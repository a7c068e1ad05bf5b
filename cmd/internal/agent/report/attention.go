package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
)

// A Level says how much something matters.
type Level int

// The levels.
const (
	Well   Level = iota // nothing to do
	Note                // worth knowing; it will pass, or somebody wanted it so
	Warn                // a person must do something, and not at once
	Danger              // a person must do something now
)

// String is the word for a level.
func (l Level) String() string { return [...]string{"well", "note", "warning", "danger"}[l] }

// MarshalText encodes the word of String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the word of String.
func (l *Level) UnmarshalText(text []byte) error {
	for at := Well; at <= Danger; at++ {
		if at.String() == string(text) {
			*l = at
			return nil
		}
	}
	return fmt.Errorf("%q is none of well, note, warning, danger", text)
}

// A Place is where more is told about something.
type Place string

// The places beside those of containers.
const (
	AtSource Place = "source"
	AtPlan   Place = "plan"
	AtRuns   Place = "runs"
	AtNode   Place = "node"
)

// An Item is something that a person should know.
type Item struct {
	Kind  Kind         `json:"kind"`
	Level Level        `json:"level"`
	What  string       `json:"what"` // "101 web is degraded"
	Why   string       `json:"why,omitempty"`
	Do    string       `json:"do,omitempty"` // what a person can do
	ID    proxmox.VMID `json:"id,omitempty"` // of the container that it is about
	At    Place        `json:"at,omitempty"` // of anything else

	// Subject tells items of a kind apart that are about no container: the hash of a plan, "pve1 /dev/sda".
	Subject string `json:"subject,omitempty"`
	// Variant is what makes an item that stood before news all the same: another commit is refused. Empty: nothing
	// does.
	Variant string `json:"-"`
}

// Key is the same for two items of two reports that are about the same thing, whatever their words are.
func (i Item) Key() string {
	if i.ID != 0 {
		return fmt.Sprintf("%s %d", i.Kind, i.ID)
	}
	return strings.TrimSpace(string(i.Kind) + " " + i.Subject)
}

// A Verdict is the report in a sentence, and what needs a person.
type Verdict struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
	Items []Item `json:"items"` // what matters most first
}

// patience is how long a source may be out of reach before that is dangerous.
const patience = 15 * time.Minute

// Verdict sums the report up at a time.
func (r *Report) Verdict(now time.Time) Verdict {
	v := Verdict{Items: r.Attention(now)}
	need := 0
	for _, i := range v.Items {
		v.Level = max(v.Level, i.Level)
		if i.Level >= Warn {
			need++
		}
	}
	differ := 0
	for _, c := range r.Containers {
		if c.Sync == view.OutOfSync {
			differ++
		}
	}
	switch {
	case need == 1:
		v.Text = "1 thing needs you"
	case need > 1:
		v.Text = fmt.Sprintf("%d things need you", need)
	case r.Loop.Last == nil && len(r.Containers) == 0:
		v.Level, v.Text = Note, "Starting: nothing has been looked at yet"
	case differ == 1:
		v.Level, v.Text = Note, "1 container is not yet as the spec says"
	case differ > 1:
		v.Level, v.Text = Note, fmt.Sprintf("%d containers are not yet as the spec says", differ)
	default:
		v.Text = "All is well"
	}
	return v
}

// Attention lists what a person should know at a time, what matters most first.
func (r *Report) Attention(now time.Time) []Item {
	out := slices.Concat(r.sourceItems(now), r.loopItems(now), r.planItems(), r.nodeItems(now), r.channelItems(), r.Agent.Configuration.items())
	for _, c := range r.Containers {
		out = append(out, c.Items(now)...)
	}
	slices.SortStableFunc(out, func(a, b Item) int { return cmp.Compare(b.Level, a.Level) })
	return out
}

func (r *Report) sourceItems(now time.Time) []Item {
	s := r.Source
	if s.Error == "" {
		return nil
	}
	i := Item{
		Kind: KindSource, Level: Danger, What: "The source is not followed", Why: s.Error, Do: s.Hint, At: AtSource,
		Variant: strings.TrimSpace(s.Class + " " + s.Refused.ID),
	}
	if s.Class == "unreachable" {
		i.Variant = "" // what is refused, if anything, was said before, and it rights itself
	}
	if !s.Failing.IsZero() && s.Class == "unreachable" && now.Sub(s.Failing) < patience {
		i.Level = Warn
	}
	if s.Class != "" {
		i.What += ": " + s.Class
	}
	if s.From != "" {
		i.Why += "; what is in force is still that of " + s.From
	}
	return []Item{i}
}

func (c Configuration) items() []Item {
	switch {
	case c.Error != "":
		return []Item{{
			Kind: KindConfig, Level: Warn, What: "The configuration is faulty, and the one before stays in force", At: AtRuns,
			Why: strings.ReplaceAll(c.Error, "\n", "; "), Do: "mend it, and reload the agent: systemctl reload tend", Subject: "faulty", Variant: c.Error,
		}}
	case len(c.Held) > 0:
		return []Item{{
			Kind: KindConfig, Level: Note, What: "Not all of the configuration is in force", At: AtRuns,
			Why: "from the next start on: " + strings.Join(c.Held, ", "), Do: "systemctl restart tend", Subject: "held",
		}}
	}
	return nil
}

// Unreached reports whether the last pass could not ask the node at all.
func (l Loop) Unreached() bool {
	return l.Error != "" && (l.Last == nil || l.Last.Result != Failed)
}

func (r *Report) loopItems(now time.Time) []Item {
	var out []Item
	l := r.Loop
	stale := 3*time.Duration(l.Interval) + time.Minute
	switch {
	case l.Unreached():
		out = append(out, Item{Kind: KindNode, Level: Danger, What: "Proxmox cannot be asked", Why: l.Error, Do: l.Hint, At: AtRuns})
	case l.Interval > 0 && !l.Observed.IsZero() && now.Sub(l.Observed) > stale:
		out = append(out, Item{
			Kind: KindStale, Level: Danger, What: "Nothing was looked at for " + short(now.Sub(l.Observed)), At: AtRuns,
			Why: "a look is due every " + l.Interval.String(), Do: "look at the log: journalctl -u tend",
		})
	case l.Last != nil && l.Last.Result == Failed:
		out = append(out, Item{
			Kind: KindRun, Level: Danger, What: "The last run failed", Why: cmp.Or(l.Last.Error, l.Last.Summary), At: AtRuns,
			Variant: l.Last.Revision.ID,
		})
	}
	if r.Agent.DryRun {
		out = append(out, Item{Kind: KindDryRun, Level: Note, What: "Dry run: nothing is changed", At: AtPlan})
	}
	if r.Agent.Lead != nil {
		if i, ok := r.Agent.Lead.item(); ok {
			out = append(out, i)
		}
	}
	for _, s := range r.Suspended {
		if s.ID == 0 {
			out = append(out, Item{Kind: KindSuspended, Level: Note, What: "Everything is suspended" + s.until(), Why: s.reason(), At: AtRuns})
		}
	}
	return out
}

func (r *Report) planItems() []Item {
	var out []Item
	for _, a := range r.Approvals {
		out = append(out, Item{
			Kind: KindApproval, Level: Warn, What: "A plan waits for your yes", Why: a.Why + ": " + a.Summary,
			Do: "tend approve " + a.Hash, At: AtPlan, Subject: a.Hash,
		})
	}
	for _, o := range r.Others {
		if o.Sync == view.SyncBlocked {
			out = append(out, Item{Kind: KindBlocked, Level: Warn, What: o.Subject.String() + " is blocked", Why: o.Why, At: AtPlan, Subject: o.Subject.String()})
		}
	}
	return out
}

func (r *Report) nodeItems(now time.Time) []Item {
	var out []Item
	for _, d := range r.Disks {
		subject := d.Node + " " + cmp.Or(d.Serial, d.Device)
		switch {
		case d.Health == Degraded:
			why := d.Problem
			if len(d.Storages) > 0 {
				why += "; nothing new is put on " + strings.Join(d.Storages, ", ")
			}
			out = append(out, Item{
				Kind: KindDisk, Level: Danger, What: fmt.Sprintf("Disk %s on %s is failing", d.Device, d.Node), Why: why,
				Do: "replace it: " + strings.TrimSpace(d.Model+" "+d.Serial), At: AtNode, Subject: subject,
			})
		case d.Problem != "":
			out = append(out, Item{
				Kind: KindDisk, Level: Warn, What: fmt.Sprintf("Disk %s on %s is not quite well", d.Device, d.Node), Why: d.Problem,
				At: AtNode, Subject: subject + " (warning)",
			})
		}
	}
	for _, s := range r.Sensors {
		if s.Over() {
			out = append(out, Item{
				Kind: KindSensor, Level: Warn, What: fmt.Sprintf("%s on %s: %g %s", s.Name, s.Node, s.Value, s.Unit),
				Why: fmt.Sprintf("the limit is %g %s", s.Limit, s.Unit), At: AtNode, Subject: s.Node + " " + s.Name,
			})
		}
	}
	for _, j := range r.Journal {
		if now.Sub(j.Time) > time.Hour {
			out = append(out, Item{
				Kind: KindJournal, Level: Warn, What: "It is not known how a call for " + j.Subject + " ended", Why: j.Verb, At: AtRuns,
				Subject: j.Subject + " " + j.Verb,
			})
		}
	}
	return out
}

// Items are what a person should know of the container at a time.
func (c *Container) Items(now time.Time) []Item {
	var out []Item
	name := fmt.Sprintf("%d %s", c.ID, view.Clean(c.Name))
	add := func(k Kind, l Level, what, why string) {
		out = append(out, Item{Kind: k, Level: l, What: name + " " + what, Why: why, ID: c.ID})
	}
	switch c.Health() {
	case Degraded:
		add(KindDegraded, Danger, "is degraded", strings.Join(c.Problems, "; "))
	case UnknownHealth:
		add(KindUnseen, Warn, "cannot be seen", c.Unknown)
	case Healthy:
	}
	switch c.Sync {
	case view.SyncBlocked:
		add(KindBlocked, Warn, "is blocked", c.why())
	case view.Suspended:
		if c.Suspended != nil {
			add(KindSuspended, Note, "is suspended"+c.Suspended.until(), c.Suspended.reason())
		}
	case view.Unclaimed:
		add(KindUnclaimed, Note, "is in no spec", "it carries the owner's tag, and is left alone")
	case view.Synced, view.OutOfSync:
	}
	if len(c.Restart) > 0 {
		add(KindRestart, Note, "waits for a restart", strings.TrimSpace(strings.Join(c.Restart, ", ")+" "+c.RestartWhen))
	}
	for _, x := range []struct {
		noun Kind
		*Copies
	}{{KindSnapshot, c.Snapshots}, {KindBackup, c.Backups}} {
		switch {
		case x.Copies == nil:
		case x.TooOld(now) && x.Last.IsZero():
			add(x.noun, Warn, "has no "+string(x.noun), x.Error)
		case x.TooOld(now):
			add(x.noun, Warn, fmt.Sprintf("has no %s of the last %s", x.noun, x.MaxAge), cmp.Or(x.Error, "the last one is "+short(x.Age(now))+" old"))
		case x.Error != "":
			add(x.noun, Warn, "got no "+string(x.noun), x.Error)
		}
	}
	if c.Drill != nil && c.Drill.Failed != "" {
		add(KindDrill, Warn, "could not be restored from a backup", c.Drill.Archive+": "+c.Drill.Failed)
	}
	return out
}

// why is the first reason for which something is blocked.
func (c *Container) why() string {
	if len(c.Reasons) > 0 {
		return strings.TrimPrefix(c.Reasons[0], "blocked: ")
	}
	for _, d := range c.Differences {
		if isBlocked(d.Row) && len(d.More) > 0 {
			return d.Label + ": " + d.More[0]
		}
	}
	return ""
}

func (s Suspension) until() string {
	if s.Until.IsZero() {
		return ""
	}
	return " until " + s.Until.Format("2006-01-02 15:04")
}

func (s Suspension) reason() string {
	return strings.TrimSpace(s.Reason + " (" + s.By + ")")
}

// short is a time in its two largest units: "2d 3h", "5m".
func short(d time.Duration) string {
	text := ""
	for _, u := range []struct {
		name string
		of   time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}} {
		n := d / u.of
		d -= n * u.of
		switch {
		case n > 0 && text != "":
			return fmt.Sprintf("%s %d%s", text, n, u.name)
		case n > 0:
			text = fmt.Sprintf("%d%s", n, u.name)
		case text != "":
			return text
		}
	}
	return cmp.Or(text, "0s")
}
