package helper

import (
	"errors"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/lane"
)

// A Code says why a server refuses.
type Code string

// The codes. Nothing was done for what is refused.
const (
	WrongUser  Code = "wrong-user" // the caller is another user than the one that may
	TooMany    Code = "too-many"   // connections at once
	Malformed  Code = "malformed"  // it is no message, or no request
	Oversized  Code = "oversized"  // it is longer than a message may be
	Unknown    Code = "unknown"    // a kind or version of request that is not known
	Replayed   Code = "replayed"   // it was sent before, or for another connection
	Invalid    Code = "invalid"    // the request is against the rules of its kind
	WrongNode  Code = "wrong-node" // it is for another node
	Unrecorded Code = "unrecorded" // the audit log cannot be written
	Closing    Code = "closing"    // the server ends
)

// classes are what refusals are to a caller that only knows the errors of the API.
var classes = map[Code]error{
	WrongUser: proxmox.ErrForbidden,
	TooMany:   proxmox.ErrBusy,
	Malformed: privileged.ErrMalformed,
	Oversized: privileged.ErrMalformed,
	Unknown:   privileged.ErrUnknown,
	Invalid:   proxmox.ErrInvalid,
	WrongNode: lane.ErrWrongNode,
	Closing:   proxmox.ErrUnreachable,
}

// A Refusal is the error of what a server does not even try. It unwraps to a class of errors where one fits.
type Refusal struct {
	Code Code   `json:"code"`
	Text string `json:"text"`
}

// Error says that it was the helper, and why.
func (r *Refusal) Error() string { return "tend helper refuses (" + string(r.Code) + "): " + r.Text }

// Unwrap returns the class of the error, or nil.
func (r *Refusal) Unwrap() error { return classes[r.Code] }

// ends reports whether nothing more is read after a refusal: what follows cannot be told from what was refused, or is
// of somebody who should not be talked to.
func (r *Refusal) ends() bool {
	switch r.Code {
	case Invalid, WrongNode, Unknown, Unrecorded:
		return false
	}
	return true
}

// codeOf is the code for a request that could not be read.
func codeOf(err error) Code {
	if errors.Is(err, privileged.ErrUnknown) {
		return Unknown
	}
	return Malformed
}
