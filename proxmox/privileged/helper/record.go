package helper

import (
	"log/slog"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// An Outcome says what became of a request, in the audit log.
type Outcome string

// The outcomes.
const (
	Done      Outcome = "done"
	Unchanged Outcome = "unchanged" // it was so already, or it only read
	Failed    Outcome = "failed"    // something may have been changed
	Refused   Outcome = "refused"   // nothing was done
	Lost      Outcome = "lost"      // the helper ended before the request did: what was done is not known
)

// A Record is a line of the audit log. It holds no secret: of a request it has what its String tells, and texts in
// which whatever the request keeps secret is hidden.
type Record struct {
	Time    time.Time      `json:"time"`
	Outcome Outcome        `json:"outcome"`
	Peer                   // as the kernel tells
	User    string         `json:"user,omitempty"` // name of the uid, as the machine tells
	ID      string         `json:"id,omitempty"`
	Row     privileged.Row `json:"row,omitempty"`
	What    string         `json:"what,omitempty"`
	Node    string         `json:"node,omitempty"`
	Guest   proxmox.VMID   `json:"vmid,omitempty"`
	Claim   Claim          `json:"callerSays,omitzero"` // unproven
	Code    Code           `json:"code,omitempty"`      // of a refusal
	Classes []string       `json:"classes,omitempty"`   // of an error
	Error   string         `json:"error,omitempty"`
	Task    proxmox.UPID   `json:"task,omitzero"`
	Millis  int64          `json:"ms"`
	// Dropped is how many refusals before this one were not written, because there were too many.
	Dropped int `json:"dropped,omitempty"`
}

// maxText bounds the texts of a record, in bytes.
const maxText = 500

// describe takes down what is asked for.
func (rec *Record) describe(r privileged.Request) {
	t := r.Target()
	rec.Row, rec.What, rec.Node, rec.Guest = r.Row(), cut(r.String()), cut(t.Node), t.ID
}

// conclude takes down what came of it.
func (rec *Record) conclude(r privileged.Request, result privileged.Result, err error, took time.Duration) {
	rec.Task, rec.Millis = result.Task, took.Milliseconds()
	switch {
	case err != nil:
		rec.Outcome, rec.Classes, rec.Error = Failed, classesOf(err), scrub(err.Error(), r)
	case result.Changed:
		rec.Outcome = Done
	default:
		rec.Outcome = Unchanged
	}
}

// attr is the record in the program's log.
func (rec *Record) attr() slog.Attr {
	return slog.Group("request", slog.String("what", rec.What), slog.String("row", string(rec.Row)), slog.Any("uid", rec.UID),
		slog.Any("pid", rec.PID), slog.String("id", rec.ID), slog.String("outcome", string(rec.Outcome)),
		slog.String("code", string(rec.Code)), slog.String("error", rec.Error), slog.Int64("ms", rec.Millis))
}

// minSecret is the length in bytes below which a text is not taken for a secret: what is shorter would hide half of an
// unrelated sentence.
const minSecret = 4

// scrub hides what a request keeps secret in a text about it, which is cut off where it is long. There is no request for
// what could not be read; such texts quote nothing.
func scrub(text string, r privileged.Request) string {
	for _, s := range secrets(r) {
		if len(s) >= minSecret {
			text = strings.ReplaceAll(text, s, "•••")
		}
	}
	return cut(text)
}

// secrets are the texts of a request that the log must not hold.
func secrets(r privileged.Request) []string {
	var out []string
	switch r := r.(type) {
	case privileged.Create:
		out = append(out, r.Params.Password.Reveal())
	case privileged.SetRaw: // variables of the environment are set by such lines, too
		for _, l := range r.Lines {
			out = append(out, l.Value)
			if _, value, ok := strings.Cut(l.Value, "="); ok {
				out = append(out, value)
			}
		}
	case privileged.Exec:
		if len(r.Argv) > 0 {
			out = append(out, r.Argv[1:]...)
		}
	}
	return out
}

// cut shortens a text to what a record holds.
func cut(text string) string { return shorten(text, maxText) }

// shorten cuts a text off after so many bytes, between two characters.
func shorten(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}
