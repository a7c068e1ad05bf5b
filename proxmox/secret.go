package proxmox

import (
	"crypto/subtle"
	"fmt"
)

const mask = "•••"

// A Secret is a text that must never be shown: every way to print or encode it gives a mask, or the address of
// a function where it lies in a field that package fmt reads without asking. [Secret.Reveal] is the only way to
// its value. The zero value is no secret; there is no == for secrets, see [Secret.Equal].
type Secret struct {
	// A function and not a text: fmt, loggers and dumpers walk over unexported fields with package reflect, which
	// calls no method of what it finds there, but cannot look into a closure either.
	reveal func() string
}

// NewSecret makes a secret of a text. The empty text gives the zero value.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{func() string { return text }}
}

// Reveal returns the value. Call it only where the value leaves for its destination.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether there is no secret.
func (s Secret) IsZero() bool { return s.reveal == nil }

// Equal compares the values of two secrets, in a time that tells nothing about them but their lengths.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns a mask.
func (Secret) String() string { return mask }

// GoString returns a mask.
func (Secret) GoString() string { return mask }

// Format prints a mask for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) }

// MarshalText encodes a mask.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }
