package proxmox

import "fmt"

const mask = "•••"

// A Secret is a text that must never be shown: every way to print or encode it gives a mask.
// [Secret.Reveal] is the only way to its value.
type Secret string

// Reveal returns the value. Call it only where the value leaves for its destination.
func (s Secret) Reveal() string { return string(s) }

// String returns a mask.
func (Secret) String() string { return mask }

// GoString returns a mask.
func (Secret) GoString() string { return mask }

// Format prints a mask for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) }

// MarshalText encodes a mask.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }
