// Package secret holds texts that must never be shown, such as passwords and keys, and knows nothing of what they
// open. It reads, keeps and compares them, and never prints or encodes one.
package secret

import (
	"crypto/subtle"
	"fmt"
)

// Mask is what is shown in place of a secret.
const Mask = "•••"

// A Text is a text that must never be shown: every way to print or encode it gives a mask, or the address of
// a function where it lies in a field that package fmt reads without asking. [Text.Reveal] is the only way to
// its value. The zero value is no secret; there is no == for secrets, see [Text.Equal].
type Text struct {
	// A function and not a text: fmt, loggers and dumpers walk over unexported fields with package reflect, which
	// calls no method of what it finds there, but cannot look into a closure either.
	reveal func() string
}

// New makes a secret of a text. The empty text gives the zero value.
func New(text string) Text {
	if text == "" {
		return Text{}
	}
	return Text{func() string { return text }}
}

// Reveal returns the value. Call it only where the value leaves for its destination.
func (s Text) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether there is no secret.
func (s Text) IsZero() bool { return s.reveal == nil }

// Equal compares the values of two secrets, in a time that tells nothing about them but their lengths.
func (s Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns a mask.
func (Text) String() string { return Mask }

// GoString returns a mask.
func (Text) GoString() string { return Mask }

// Format prints a mask for every verb.
func (Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Mask)) }

// MarshalText encodes a mask.
func (Text) MarshalText() ([]byte, error) { return []byte(Mask), nil }
