package helper

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/lane"
)

// A failure is an error on its way over the socket: its text, and what a caller decides by.
type failure struct {
	Text    string       `json:"text"`
	Classes []string     `json:"classes,omitempty"`
	API     *apiFailure  `json:"api,omitempty"`
	Task    *taskFailure `json:"task,omitempty"`
}

type apiFailure struct {
	Method string            `json:"method"`
	Path   string            `json:"path"`
	Status int               `json:"status"`
	Text   string            `json:"text"`
	Params map[string]string `json:"params,omitempty"`
}

type taskFailure struct {
	UPID       proxmox.UPID `json:"upid"`
	ExitStatus string       `json:"exitStatus"`
	Log        []string     `json:"log,omitempty"`
}

// sentinels are the errors that callers match, by a name for the socket and the audit log; a refinement stands before
// what it refines, and says it all.
var sentinels = []struct {
	name string
	err  error
}{
	{"no-guest", proxmox.ErrNoGuest},
	{"not-found", proxmox.ErrNotFound},
	{"unauthorized", proxmox.ErrUnauthorized},
	{"forbidden", proxmox.ErrForbidden},
	{"locked", proxmox.ErrLocked},
	{"modified", proxmox.ErrModified},
	{"exists", proxmox.ErrExists},
	{"protected", proxmox.ErrProtected},
	{"busy", proxmox.ErrBusy},
	{"no-quorum", proxmox.ErrNoQuorum},
	{"already", proxmox.ErrAlready},
	{"nothing", proxmox.ErrNothing},
	{"invalid", proxmox.ErrInvalid},
	{"no-space", proxmox.ErrNoSpace},
	{"outcome-unknown", proxmox.ErrOutcomeUnknown},
	{"unreachable", proxmox.ErrUnreachable},
	{"not-needed", privileged.ErrNotNeeded},
	{"wrong-node", lane.ErrWrongNode},
	{"unproven", lane.ErrUnproven},
	{"canceled", context.Canceled},
	{"deadline", context.DeadlineExceeded},
}

// classesOf are the names of the sentinels that an error matches.
func classesOf(err error) (names []string) {
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			names = append(names, s.name)
		}
	}
	return names
}

// failureOf takes an error apart.
func failureOf(err error) *failure {
	f := &failure{Text: shorten(err.Error(), maxSaid), Classes: classesOf(err)}
	if e, ok := errors.AsType[*proxmox.APIError](err); ok {
		f.API = &apiFailure{e.Method, e.Path, e.Status, shorten(e.Text, maxSaid), e.Params}
	}
	if e, ok := errors.AsType[*proxmox.TaskError](err); ok {
		f.Task = &taskFailure{e.UPID, e.ExitStatus, e.Log}
	}
	return f
}

// err puts the error together again: its text is the same, and what it matched it matches. What Proxmox answered goes
// through the one classifier once more.
func (f *failure) err() error {
	e := &far{text: f.Text}
	if f.API != nil {
		e.causes = append(e.causes, f.API.err())
	}
	if f.Task != nil {
		s := proxmox.TaskStatus{UPID: f.Task.UPID, ExitStatus: f.Task.ExitStatus}
		e.causes = append(e.causes, proxmox.NewTaskError(s, f.Task.Log))
	}
	for _, s := range sentinels {
		if slices.Contains(f.Classes, s.name) && !errors.Is(e, s.err) {
			e.causes = append(e.causes, s.err)
		}
	}
	return e
}

func (f *apiFailure) err() error {
	body, err := json.Marshal(map[string]any{"message": f.Text, "errors": f.Params})
	if err != nil { // texts alone
		body = nil
	}
	return proxmox.NewAPIError(proxmox.Request{Method: f.Method, Path: f.Path}, f.Status, f.Text, body)
}

// far is an error of the other side.
type far struct {
	text   string
	causes []error
}

func (e *far) Error() string   { return e.text }
func (e *far) Unwrap() []error { return e.causes }
