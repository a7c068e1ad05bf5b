// Package sign tells who signed a commit or tag, and whether they may: against SSH keys as ssh-keygen's file of
// allowed signers names them, and against a key ring of OpenPGP. It reads no files, and trusts nobody else.
package sign

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Signers are who may sign. The zero value is nobody.
type Signers struct {
	ssh  []allowed
	ring ring
}

// A Signer is who signed something.
type Signer struct {
	Name string // the principals of an SSH key, the first identity of an OpenPGP key
	Key  string // "SHA256:…", or the fingerprint of an OpenPGP key in hexadecimal digits
}

// String is both: "alice@example.com (SHA256:…)".
func (s Signer) String() string { return s.Name + " (" + s.Key + ")" }

// ErrNone says that there is no signature.
var ErrNone = errors.New("it is not signed")

// A RefusedError is a signature that is there and does not count.
type RefusedError struct {
	Key    string // as in [Signer]; empty where it cannot be told
	Reason string
}

// Error names the key and the reason.
func (e *RefusedError) Error() string {
	if e.Key == "" {
		return e.Reason
	}
	return fmt.Sprintf("it is signed with key %s: %s", e.Key, e.Reason)
}

// Empty reports whether nobody may sign.
func (s *Signers) Empty() bool { return len(s.ssh) == 0 && len(s.ring) == 0 }

// Verify says who signed a payload at a time, as the payload itself says it: that time counts for SSH keys that are
// allowed for a while only, as it does for git. OpenPGP keys must not have expired by now. The error is ErrNone or a
// *RefusedError.
func (s *Signers) Verify(payload, signature []byte, at, now time.Time) (Signer, error) {
	switch text := bytes.TrimSpace(signature); {
	case len(text) == 0:
		return Signer{}, ErrNone
	case bytes.HasPrefix(text, []byte("-----BEGIN SSH SIGNATURE-----")):
		return s.verifySSH(payload, text, at)
	case bytes.HasPrefix(text, []byte("-----BEGIN PGP ")):
		return s.ring.verify(payload, text, now)
	}
	return Signer{}, &RefusedError{Reason: "it is signed in a way that is not supported (SSH and OpenPGP are)"}
}
