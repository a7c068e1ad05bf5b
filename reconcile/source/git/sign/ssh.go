package sign

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// namespace is the one that git signs in.
const namespace = "git"

// An allowed is one line of a file of allowed signers.
type allowed struct {
	principals    string
	key           ssh.PublicKey
	namespaces    string // patterns between commas; empty: any
	after, before time.Time
}

// AddAllowedSigners adds the SSH keys of a file of allowed signers (ssh-keygen(1), ALLOWED SIGNERS): on each line
// principals, options, the key. Principals name the signer and are not compared with anything, as in git. Times
// without a zone are in loc. All faults are reported, with the line.
func (s *Signers) AddAllowedSigners(text []byte, loc *time.Location) error {
	var faults []error
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		a, err := parseAllowed(string(line), loc)
		if err != nil {
			faults = append(faults, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		s.ssh = append(s.ssh, a)
	}
	return errors.Join(faults...)
}

func parseAllowed(line string, loc *time.Location) (allowed, error) {
	var a allowed
	rest := ""
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		a.principals, rest, ok = strings.Cut(quoted, `"`)
		if !ok {
			return a, errors.New("a quote is not closed")
		}
	} else if i := strings.IndexAny(line, " \t"); i >= 0 {
		a.principals, rest = line[:i], line[i:]
	}
	if a.principals == "" || strings.TrimSpace(rest) == "" {
		return a, errors.New("write principals, options, the type of the key and the key")
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(rest)))
	if err != nil {
		return a, fmt.Errorf("no key after %q, or one of an unknown type: %w", a.principals, err)
	}
	if _, isCert := key.(*ssh.Certificate); isCert {
		return a, errors.New("a certificate stands where a key must")
	}
	a.key = key
	for _, o := range options {
		if err := a.option(o, loc); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (a *allowed) option(text string, loc *time.Location) error {
	name, value, _ := strings.Cut(text, "=")
	value = strings.Trim(value, `"`)
	var err error
	switch strings.ToLower(name) {
	case "namespaces":
		if a.namespaces = value; value == "" {
			err = errors.New("namespaces names none")
		}
	case "valid-after":
		a.after, err = parseTime(value, loc)
	case "valid-before":
		a.before, err = parseTime(value, loc)
	case "cert-authority":
		err = errors.New("cert-authority is not supported: name the keys that may sign")
	default:
		err = fmt.Errorf("unknown option %q", name)
	}
	return err
}

// parseTime reads YYYYMMDD[HHMM[SS]][Z] (ssh-keygen(1); misc.c, parse_absolute_time).
func parseTime(text string, loc *time.Location) (time.Time, error) {
	digits, utc := strings.CutSuffix(text, "Z")
	if utc || loc == nil {
		loc = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if len(layout) == len(digits) {
			if t, err := time.ParseInLocation(layout, digits, loc); err == nil {
				return t, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, and Z for UTC", text)
}

// refuses is why a line does not allow a signature that its key made at a time; empty: it does.
func (a allowed) refuses(at time.Time) string {
	switch {
	case a.namespaces != "" && !matchList(a.namespaces, namespace):
		return "its namespaces are " + a.namespaces + ", without " + namespace
	case !a.after.IsZero() && at.Before(a.after):
		return "it may sign from " + a.after.Format(time.DateTime) + " on, and this is of " + at.In(a.after.Location()).Format(time.DateTime)
	case !a.before.IsZero() && at.After(a.before):
		return "it may sign until " + a.before.Format(time.DateTime) + ", and this is of " + at.In(a.before.Location()).Format(time.DateTime)
	}
	return ""
}

// matchList holds a text against patterns between commas: one must match, and none with "!" before it (match.c,
// match_pattern_list).
func matchList(list, text string) bool {
	found := false
	for p := range strings.SplitSeq(list, ",") {
		pattern, negated := strings.CutPrefix(strings.TrimSpace(p), "!")
		// Of what package path knows beyond * and ?, brackets and backslashes, no namespace has any.
		if ok, err := path.Match(pattern, text); ok && err == nil {
			if negated {
				return false
			}
			found = true
		}
	}
	return found
}

func (s *Signers) verifySSH(payload, armored []byte, at time.Time) (Signer, error) {
	sig, err := sshsig.Unarmor(armored)
	if err != nil {
		return Signer{}, &RefusedError{Reason: "its signature cannot be read: " + err.Error()}
	}
	key := ssh.FingerprintSHA256(sig.PublicKey)
	refuse := func(reason string) (Signer, error) { return Signer{}, &RefusedError{key, reason} }
	if sig.Signature.Format == ssh.KeyAlgoRSA {
		return refuse("it is made with SHA-1 (sign with a newer ssh-keygen, or an Ed25519 key)")
	}
	reason := ""
	for _, a := range s.ssh {
		if !bytes.Equal(a.key.Marshal(), sig.PublicKey.Marshal()) {
			continue
		}
		// The key and the namespace are ours and not those that the signature names.
		if err := sshsig.Verify(bytes.NewReader(payload), sig, a.key, sig.HashAlgorithm, namespace); err != nil {
			return refuse("the signature is not one of this content (" + err.Error() + ")")
		}
		if why := a.refuses(at); why != "" {
			reason = cmp.Or(reason, why)
			continue
		}
		return Signer{a.principals, key}, nil
	}
	return refuse(cmp.Or(reason, "nobody who may sign has this key"))
}
