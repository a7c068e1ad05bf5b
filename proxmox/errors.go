package proxmox

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox/secret"
)

// The classes of errors on which a caller may decide; match them with [errors.Is]. An [*APIError] and a
// [*TaskError] unwrap to at most one of them, an error that fits none to nothing.
//
// Three of them are refinements: what matches [ErrNoGuest] or [ErrNoVolumeSnapshot] matches [ErrNotFound] too, and what
// matches [ErrOutcomeUnknown] matches [ErrUnreachable].
var (
	// ErrNotFound: something that the request names, in its path or its parameters, does not exist: a
	// guest, a snapshot, a storage, a volume, a pool, a bridge, a task or a node.
	ErrNotFound = errors.New("not found")
	// ErrNoGuest: the configuration file of the guest does not exist on the node that was asked.
	ErrNoGuest error = &refinement{"no such guest", ErrNotFound}
	// ErrNoVolumeSnapshot: a volume does not have the snapshot that was to be deleted. The configuration names it
	// still, and only a delete with force takes it out.
	ErrNoVolumeSnapshot error = &refinement{"a volume has no such snapshot", ErrNotFound}
	// ErrUnauthorized: the token or ticket is missing, wrong or expired. Nothing was done.
	ErrUnauthorized = errors.New("not authenticated")
	// ErrForbidden: a privilege is missing (see [Privileges]), or only root@pam itself may do this.
	ErrForbidden = errors.New("not permitted")
	// ErrLocked: the guest's configuration carries a lock ([APIError.Lock]). It goes away with the operation
	// that set it; where that was killed, only "pct unlock" on the node removes it.
	ErrLocked = errors.New("guest is locked")
	// ErrModified: the configuration is not the one of the digest that was sent. Read it and plan again.
	ErrModified = errors.New("configuration was modified meanwhile")
	// ErrExists: the thing to create is already there.
	ErrExists = errors.New("already exists")
	// ErrProtected: the protection flag of the guest or volume forbids it.
	ErrProtected = errors.New("protected")
	// ErrBusy: a file lock that another operation holds was not released in time. Try again later.
	ErrBusy = errors.New("busy with another operation")
	// ErrNoQuorum: the cluster has lost its quorum; it takes no changes until it is back.
	ErrNoQuorum = errors.New("cluster has no quorum")
	// ErrAlready: a repeat met what it had done before: the guest runs already or, for what ends a run, does
	// not; the disk has this size; the guest is in the pool, or out of it.
	ErrAlready = errors.New("already so")
	// ErrNothing: the call was accepted and there was nothing that it could be done to.
	ErrNothing = errors.New("nothing was done")
	// ErrInvalid: a parameter is missing, unknown or malformed ([APIError.Params]). Nothing was done.
	ErrInvalid = errors.New("invalid parameter")
	// ErrNoSpace: a storage has no room for what was to be made on it.
	ErrNoSpace = errors.New("no space left on the storage")
	// ErrUnreachable: the node, or a hop before it, did not answer.
	ErrUnreachable = errors.New("unreachable")
	// ErrOutcomeUnknown: the connection broke after a mutation may have been sent, so that it may or may not
	// have been carried out. Look before it is sent again.
	ErrOutcomeUnknown error = &refinement{"outcome unknown", ErrUnreachable}
)

// A refinement is a class of errors within another.
type refinement struct {
	text  string
	class error
}

func (r *refinement) Error() string { return r.text }
func (r *refinement) Unwrap() error { return r.class }

// Privileges are what a caller lacks.
type Privileges struct {
	Path  string   // the ACL path on which they are missing, as "/vms/101"
	AnyOf []string // the privileges, as "VM.Audit"; one of them is enough
	// RootOnly: no privilege helps, since only a login of root@pam itself may do this, and no API token.
	RootOnly bool
}

// IsZero reports whether nothing is known to be missing.
func (p Privileges) IsZero() bool { return p.Path == "" && len(p.AnyOf) == 0 && !p.RootOnly }

// String is "VM.Config.Disk or VM.Config.CPU on /vms/101", "root@pam" or empty.
func (p Privileges) String() string {
	switch {
	case p.RootOnly:
		return "root@pam"
	case p.IsZero():
		return ""
	}
	return strings.Join(p.AnyOf, " or ") + " on " + p.Path
}

// An APIError is an answer of the API other than success.
type APIError struct {
	Method string
	Path   string
	Status int               // HTTP status; Proxmox answers 500 for nearly everything
	Text   string            // the full message, without trailing white space
	Params map[string]string // what is wrong with single parameters, by parameter
	Lock   string            // name of the lock, where the error is [ErrLocked]: "backup"
	// Missing is what the caller lacks, where the error is [ErrForbidden] and Proxmox says it.
	Missing Privileges

	class error
}

// NewAPIError makes an error of an answer: its status, the reason phrase of its status line and its body.
// It alone decides what the texts of Proxmox mean; the texts that fail tasks take the same way.
//
// Proxmox answers 500 to every plain Perl "die", so that status alone tells little. The full text stands in
// the body's "message" and its first line in the reason phrase (pve-http-server AnyEvent.pm, response, and
// Formatter/Standard.pm). A body that is not JSON counts as absent.
func NewAPIError(r Request, status int, reason string, body []byte) *APIError {
	var answer struct {
		Message any `pve:"message"`
		Errors  any `pve:"errors"`
	}
	_ = decode(body, &answer) // a body that cannot be read leaves the reason phrase
	e := &APIError{Method: r.Method, Path: r.Path, Status: status}
	if text, ok := scalar(answer.Message); ok {
		e.Text = strings.TrimSpace(text)
	}
	if e.Text == "" {
		e.Text = strings.TrimSpace(reason)
	}
	params, _ := answer.Errors.(map[string]any)
	for key, v := range params {
		if text, ok := scalar(v); ok {
			e.setParam(key, text)
		}
	}
	if len(e.Params) == 0 {
		e.paramsOfText()
	}
	e.mask(r)
	e.classify(r)
	return e
}

// Error is the request, the status and the text, with what is wrong with single parameters.
func (e *APIError) Error() string {
	var b strings.Builder
	b.WriteString(e.Method + " " + e.Path + ": ")
	if !strings.HasPrefix(e.Text, strconv.Itoa(e.Status)) {
		b.WriteString(strconv.Itoa(e.Status) + " ")
	}
	if strings.Contains(e.Text, "\n") || len(e.Params) == 0 { // in many lines, the parameters are among them
		b.WriteString(oneLine(e.Text))
		return b.String()
	}
	b.WriteString(strings.TrimSuffix(oneLine(e.Text), "."))
	sep := ": "
	for _, k := range slices.Sorted(maps.Keys(e.Params)) {
		b.WriteString(sep + oneLine(k) + ": " + oneLine(e.Params[k]))
		sep = "; "
	}
	return b.String()
}

// Unwrap returns the class of the error, or nil.
func (e *APIError) Unwrap() error { return e.class }

func (e *APIError) setParam(key, text string) {
	if e.Params == nil {
		e.Params = map[string]string{}
	}
	e.Params[key] = strings.TrimSpace(text)
}

// paramsOfText reads the parameters out of the text of an exception that was re-thrown as a plain error:
// a first line, then "key: message" lines (pve-common Exception.pm, stringify).
func (e *APIError) paramsOfText() {
	head, rest, ok := strings.Cut(e.Text, "\n")
	if !ok || !strings.HasSuffix(head, invalidText) {
		return
	}
	for line := range strings.SplitSeq(rest, "\n") {
		if key, text, ok := strings.Cut(line, ": "); ok && !strings.ContainsAny(key, " \t") {
			e.setParam(key, text)
		}
	}
}

// mask hides the secrets of the request, should the answer repeat one.
func (e *APIError) mask(r Request) {
	for _, key := range secretParams {
		for _, v := range r.Params[key] {
			if v == "" {
				continue
			}
			if p, ok := e.Params[key]; ok {
				e.Params[key] = strings.ReplaceAll(p, v, secret.Mask)
			}
			if len(v) >= minPassword {
				e.Text = strings.ReplaceAll(e.Text, v, secret.Mask)
			}
		}
	}
}

// secretParams are the parameters that nobody may read.
var secretParams = []string{"password", "otp", "tfa-challenge"}

// minPassword is the length below which Proxmox takes no password for a container
// (pve-container API2/LXC.pm, create_vm); a shorter one would mask half of an unrelated text.
const minPassword = 5

func (e *APIError) classify(r Request) {
	v := classifyText(e.Text)
	switch {
	case e.Status == 401:
		v = verdict{class: ErrUnauthorized}
	case e.Status == 403:
		v = verdict{class: ErrForbidden, missing: v.missing}
	case e.Status == 595: // AnyEvent::HTTP: no connection to the next hop, so nothing was sent
		v = verdict{class: ErrUnreachable}
	case isHopStatus(e.Status):
		v = verdict{class: ErrUnreachable}
		if !r.IsRead() {
			v = verdict{class: ErrOutcomeUnknown}
		}
	case len(e.Params) > 0:
		v = classifyParams(e.Params)
	}
	e.class, e.Lock, e.Missing = v.class, v.lock, v.missing
}

// isHopStatus reports whether a status comes from a hop in between: pveproxy, which passes on what
// AnyEvent::HTTP calls a failed connection, time-out or broken body (596 to 599), or a reverse proxy.
// The request may be carried out all the same.
func isHopStatus(status int) bool {
	return status >= 596 && status <= 599 || status >= 502 && status <= 504
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
