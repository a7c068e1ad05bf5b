// Package report says what an agent publishes of itself and of the node that it keeps: one [Report], which never
// changes once it is published. The page, the metrics, the local socket and tend status all show this one, so that
// they never disagree.
//
// It holds no secrets, reads nothing and decides nothing but what deserves a person's attention ([Report.Attention]).
package report

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// Version is that of the JSON form. It is raised when a field goes or changes its meaning, never when one is added.
const Version = 1

// A Report is all that is known at one moment. Lists are in the order in which they are shown, and times that are
// not known are zero.
type Report struct {
	Version int       `json:"version"`
	Kind    string    `json:"kind"` // "report"
	Time    time.Time `json:"time"` // when it was made

	Agent      Agent          `json:"agent"`
	Source     Source         `json:"source"`
	Loop       Loop           `json:"loop"`
	Containers []Container    `json:"containers"` // by VMID: what the spec declares, and what carries the owner's tag
	Others     []Other        `json:"others"`     // templates and backup jobs that are not as they shall be
	Plan       *Plan          `json:"plan,omitempty"`
	Runs       []Run          `json:"runs"`        // the last few, newest first; the history has the others
	Suspended  []Suspension   `json:"suspended"`   // what is left alone for now
	Approvals  []Approval     `json:"approvals"`   // what waits for somebody to say yes
	Due        []Due          `json:"due"`         // what is to happen next, soonest first
	Disks      []Disk         `json:"disks"`       // of the nodes; empty where nothing is known
	Sensors    []Sensor       `json:"sensors"`     // as disks
	Requests   []Requests     `json:"requests"`    // to Proxmox, since the agent started
	Queue      Queue          `json:"queue"`       // what waits to be done
	Journal    []JournalEntry `json:"journalOpen"` // calls whose end is not known
	Channels   []Channel      `json:"channels"`    // by which the agent tells others, and which fail
}

// An Agent is the program that tells all this.
type Agent struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Host    string    `json:"host"` // on which it runs
	Cluster string    `json:"cluster"`
	Owner   string    `json:"owner"`            // the tag that marks what is its own
	DryRun  bool      `json:"dryRun,omitempty"` // it plans and changes nothing
	Lead    *Lead     `json:"lead,omitempty"`   // what it does where several may run; nil: not known yet

	Configuration Configuration `json:"configuration,omitzero"`
}

// A Configuration is how the agent last read its configuration anew, if it did.
type Configuration struct {
	File  string    `json:"file,omitempty"`
	Read  time.Time `json:"read"`            // when
	Error string    `json:"error,omitempty"` // why it is not in force, each fault a line, and the one before is; empty: it is
	Held  []string  `json:"held,omitempty"`  // what was changed in it and holds from the next start on: "endpoint", "stateDir"
}

// A Revision is one state of a source.
type Revision struct {
	ID      string    `json:"id"`               // hash of the commit, or of the files; hexadecimal, whole
	Ref     string    `json:"ref,omitempty"`    // the branch or tag that it was found by; empty for a folder
	Time    time.Time `json:"time,omitzero"`    // of the commit
	Author  string    `json:"author,omitempty"` // "Name <mail>"
	Message string    `json:"message,omitempty"`
	Signer  string    `json:"signer,omitempty"` // who signed it, and with which key; empty: signatures are not asked for
}

// A Source is where specs come from, and why what stands there is not in force, if it is not.
type Source struct {
	Kind    string    `json:"kind"`                  // "git" or "folder"
	Place   string    `json:"place"`                 // in a line: "https://git.example.com/home.git, branch main, path lxc"
	InForce Revision  `json:"inForce"`               // the last good one; zero: nothing yet
	From    string    `json:"inForceFrom,omitempty"` // the source that it is of, where that is not this one: nothing good came of this one yet
	Since   time.Time `json:"since"`                 // when it came into force
	Looked  time.Time `json:"looked"`                // when it was last known what stands at the source
	Refused Revision  `json:"refused"`               // what stands there and was refused; zero: nothing was
	Error   string    `json:"error"`                 // why the source is not followed; empty: it is
	Class   string    `json:"class"`                 // of the error, in a word or two: "unreachable", "not signed"
	Hint    string    `json:"hint"`                  // what to do about it
	Failing time.Time `json:"failing"`               // since when, without a break
	Signed  bool      `json:"mustBeSigned"`          // only signed revisions come into force
	Next    time.Time `json:"next,omitzero"`         // when it is looked at again
}

// A Loop is how the agent's passes go.
type Loop struct {
	Doing    string            `json:"doing"`             // "waiting", "looking", "changing 101 web"
	Last     *Run              `json:"last,omitempty"`    // the last one that ended; nil: none did
	Good     time.Time         `json:"good,omitzero"`     // when the last one that left everything in sync ended
	Ended    map[Result]uint64 `json:"ended"`             // how many ended how, since the agent started
	Seconds  float64           `json:"seconds"`           // how long they took together
	Next     time.Time         `json:"next,omitzero"`     // when the next one begins at the latest
	Interval Duration          `json:"interval"`          // between two when nothing happens
	Failures int               `json:"failures"`          // how many failed one after the other
	Error    string            `json:"error,omitempty"`   // why passes fail: the node does not answer
	Hint     string            `json:"hint,omitempty"`    // what to do about it
	Failing  time.Time         `json:"failing,omitzero"`  // since when
	Observed time.Time         `json:"observed,omitzero"` // when the node was last read
}

// A Plan is what is to be done.
type Plan struct {
	Hash     string     `json:"hash"` // by which it is approved
	Made     time.Time  `json:"made"`
	Revision Revision   `json:"revision"`
	Sheet    view.Sheet `json:"sheet"`
	Held     string     `json:"held,omitempty"` // why it is not carried out: "dry run", "waits for approval"; empty: it is
}

// A Result is how a run ended.
type Result string

// The results, from the best to the worst.
const (
	Quiet       Result = "nothing to do"
	Converged   Result = "converged"     // something was done, and everything is in sync
	Pending     Result = "pending"       // the rest waits for a restart, a window or a yes
	Blocked     Result = "blocked"       // the rest cannot or may not be done
	Interrupted Result = "interrupted"   // the agent was stopped
	Failed      Result = "failed"        // something failed or did not take
	Refused     Result = "spec refused"  // the spec could not be read, verified or understood
	Unreachable Result = "not reachable" // the node could not be asked
)

// Results are all of them, from the best to the worst.
func Results() []Result {
	return []Result{Quiet, Converged, Pending, Blocked, Interrupted, Failed, Refused, Unreachable}
}

// Bad reports whether a person should look at it.
func (r Result) Bad() bool { return r == Failed || r == Refused || r == Unreachable }

// A Run is one pass of the loop, in a line; its plan and what became of it stand in the history.
type Run struct {
	ID       uint64         `json:"id"`      // counted up over the life of the history; 0: it is not kept there
	Trigger  string         `json:"trigger"` // why it began: "interval", "webhook", "asked for by root"
	Began    time.Time      `json:"began"`
	Ended    time.Time      `json:"ended"`
	Revision Revision       `json:"revision"`
	Plan     string         `json:"plan,omitempty"` // hash; empty where none was made
	Result   Result         `json:"result"`
	Summary  string         `json:"summary"` // in a sentence
	Error    string         `json:"error,omitempty"`
	Changed  []plan.Subject `json:"changed,omitempty"` // what was made, changed or destroyed
	// Times says how many runs in a row were like this one and stand here as one, and Since when the first of them
	// began; 0 and zero where it is one.
	Times int       `json:"times,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// Like reports whether a run says nothing that the one before it did not say: nothing was changed by either, for
// the same reason.
func (r Run) Like(before Run) bool {
	return len(r.Changed)+len(before.Changed) == 0 && r.Result == before.Result && r.Trigger == before.Trigger &&
		r.Revision.ID == before.Revision.ID && r.Plan == before.Plan && r.Error == before.Error
}

// Took is how long it took.
func (r Run) Took() time.Duration { return max(0, r.Ended.Sub(r.Began)) }

// An Other is a template or backup job.
type Other struct {
	Subject plan.Subject `json:"subject"`
	Sync    view.Sync    `json:"sync"`
	Why     string       `json:"why,omitempty"`
}

// A Suspension is something that is left alone for now.
type Suspension struct {
	ID     proxmox.VMID `json:"id,omitempty"` // 0: the agent changes nothing at all
	Since  time.Time    `json:"since"`
	Until  time.Time    `json:"until,omitzero"` // zero: until somebody resumes it
	Reason string       `json:"reason"`
	By     string       `json:"by"`
}

// An Approval is a plan, or a part of one, that waits for somebody to say yes.
type Approval struct {
	Hash    string    `json:"hash"`
	Since   time.Time `json:"since"`
	Why     string    `json:"why"`     // "2 destroys, the budget is 1 a day"
	Summary string    `json:"summary"` // of what would be done
}

// A Due is something that will happen.
type Due struct {
	Time time.Time `json:"time"`
	What string    `json:"what"` // "snapshots of nightly", "window for restarts", "next look"
}

// A Disk is one of a node's disks.
type Disk struct {
	Node        string `json:"node"`
	Device      string `json:"device"` // "/dev/sda"
	Model       string `json:"model"`
	Serial      string `json:"serial,omitempty"`
	Health      Health `json:"health"`
	Problem     string `json:"problem,omitempty"` // "12 pending sectors"; of a healthy one, what is warned of
	Celsius     int    `json:"celsius,omitempty"` // 0: not known
	WearPercent int    `json:"wearPercent,omitempty"`

	Storages []string  `json:"storages,omitempty"` // that are known to lie on it
	Read     time.Time `json:"read,omitzero"`      // when it was asked
}

// A Sensor is something measured on a node.
type Sensor struct {
	Node  string  `json:"node"`
	Name  string  `json:"name"` // "CPU package"
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`            // "°C", "rpm"
	Limit float64 `json:"limit,omitempty"` // at which it is too much; 0: none is known
}

// Over reports whether the limit is reached.
func (s Sensor) Over() bool { return s.Limit > 0 && s.Value >= s.Limit }

// Requests are how many requests to Proxmox got one answer.
type Requests struct {
	Method string `json:"method"`
	Code   int    `json:"code"` // HTTP status; 0: no answer
	Count  uint64 `json:"count"`
}

// A Queue is what waits to be done.
type Queue struct {
	Depth    int       `json:"depth"`              // how many have called for a run that has not begun, each kind once
	Triggers []string  `json:"triggers,omitempty"` // who they are: "webhook", "manual"
	Backoff  time.Time `json:"backoff,omitzero"`   // nothing is begun before, since the last runs failed
}

// A JournalEntry is a call that was sent and whose end is not known.
type JournalEntry struct {
	Subject string    `json:"subject"` // "101", "template debian-13 on pve1"
	Verb    string    `json:"verb"`    // "set cores, memory"
	Time    time.Time `json:"time"`
	Task    string    `json:"task,omitempty"` // UPID
}

// A Duration is a time that is written as "26h0m0s".
type Duration time.Duration

// String is as people write it: "26h", "5m", "7d".
func (d Duration) String() string {
	if day := 24 * time.Hour; time.Duration(d) > 3*day && time.Duration(d)%day == 0 {
		return fmt.Sprintf("%dd", time.Duration(d)/day)
	}
	text := strings.TrimSuffix(time.Duration(d).String(), "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return cmp.Or(text, "0s")
}

// MarshalText encodes the time as [time.Duration] writes it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText decodes what [time.ParseDuration] reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}
