package source

import (
	"errors"
	"strings"
)

// A Class says what kind of trouble there is with a source.
type Class int

// The classes. What a person has to do differs between them; all but the first are of no use to try again soon.
const (
	Unreachable Class = iota // nobody answers, or not in time
	Denied                   // the credentials are missing, wrong or not enough
	Untrusted                // the server shows a key or certificate that is not known, or another than the known one
	NotFound                 // no such repository, branch, tag, version or path
	TooLarge                 // more bytes, files or objects than the limits allow
	Unsigned                 // not signed, or by nobody who may
	Rewritten                // history does not lead from the revision in force to this one
	Unsettled                // the files keep changing
	Damaged                  // the answer is not that of a git server, or objects are not what they must be
	Invalid                  // refused by the caller: the files are no good spec
)

// String is the class in a word or two: "unreachable", "untrusted".
func (c Class) String() string {
	names := []string{
		"unreachable", "denied", "untrusted", "not found", "too large", "unsigned", "rewritten", "unsettled",
		"damaged", "invalid",
	}
	if c < 0 || int(c) >= len(names) {
		return "unknown"
	}
	return names[c]
}

// An Error is trouble with a source. Nothing in it is secret.
type Error struct {
	Class  Class
	Source string // as its String; may be empty
	Commit string // the one that is refused; whole, or empty
	Key    string // fingerprint of the key that is not known or may not sign; or empty
	Err    error  // what is wrong
	Hint   string // what to do; may be empty
}

// Error is one line: what is wrong, where, and what to do.
func (e *Error) Error() string {
	text := e.Class.String()
	if e.Err != nil {
		text = strings.ReplaceAll(e.Err.Error(), "\n", " ")
	}
	if e.Source != "" {
		text = "fetch " + e.Source + ": " + text
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns what is wrong.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf is the class of an error; false where it has none, such as that of a context.
func ClassOf(err error) (Class, bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return 0, false
	}
	return e.Class, true
}
