package retention

import (
	"strings"
	"time"
	"unicode"

	"github.com/felhom/tend/spec"
)

// A Name is the name of a snapshot that tend takes: "tend-nightly-20261121T013000Z".
type Name struct {
	Prefix, Policy string
	At             time.Time // when it was taken, in whole seconds, by the clock of who took it
}

// String is the name as Proxmox is told it.
func (n Name) String() string {
	return n.Prefix + "-" + n.Policy + "-" + n.At.UTC().Format(spec.SnapshotStamp)
}

// ParseName is the inverse of [Name.String]. Prefix and policy may hold hyphens themselves, so that they are needed
// to read a name; of any other form, or of any other policy, ok is false.
func ParseName(text, prefix, policy string) (n Name, ok bool) {
	if len(text) > spec.MaxSnapshotName || len(text) != len(prefix)+1+len(policy)+1+len(spec.SnapshotStamp) {
		return Name{}, false
	}
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok || rest[0] != '-' || rest[1:1+len(policy)] != policy || rest[1+len(policy)] != '-' || !spec.ValidSnapshotName(text) {
		return Name{}, false
	}
	at, ok := parseStamp(rest[2+len(policy):])
	return Name{prefix, policy, at}, ok
}

// parseStamp reads a time in the form of [spec.SnapshotStamp] that exists.
func parseStamp(s string) (time.Time, bool) {
	if len(s) != len(spec.SnapshotStamp) || s[8] != 'T' || s[15] != 'Z' {
		return time.Time{}, false
	}
	fields := [...]int{0, 4, 6, 8, 9, 11, 13, 15} // where each begins; 8 is the T
	var n [len(fields)]int
	for f := range len(fields) - 1 {
		for _, c := range []byte(s[fields[f]:fields[f+1]]) {
			if f == 3 {
				continue
			}
			if c < '0' || c > '9' {
				return time.Time{}, false
			}
			n[f] = n[f]*10 + int(c-'0')
		}
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[4], n[5], n[6], 0, time.UTC)
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	exists := year == n[0] && int(month) == n[1] && day == n[2] && hour == n[4] && minute == n[5] && second == n[6]
	return t, exists
}

// A Kind says why a snapshot was taken.
type Kind string

// The kinds.
const (
	Scheduled    Kind = ""
	ByHand       Kind = "by-hand"       // counts as if it had been taken by the schedule
	BeforeChange Kind = "before-change" // expires by its age and counts for nothing
)

// A Marker is the line in a snapshot's description that says whose it is: "[tend/nightly]", or with its kind
// "[tend/nightly before-change]".
type Marker struct {
	Owner, Policy string
	Kind          Kind
}

// String is the line, without a newline.
func (m Marker) String() string {
	text := "[" + m.Owner + "/" + m.Policy
	if m.Kind != Scheduled {
		text += " " + string(m.Kind)
	}
	return text + "]"
}

// ParseMarker finds the marker in a description, on a line of its own. Where there is none, or more than one, the
// snapshot is nobody's: ok is false.
func ParseMarker(description string) (m Marker, ok bool) {
	for line := range strings.SplitSeq(description, "\n") {
		if found, is := parseMarker(line); is {
			if ok {
				return Marker{}, false
			}
			m, ok = found, true
		}
	}
	return m, ok
}

func parseMarker(line string) (Marker, bool) {
	line = strings.TrimRight(line, " \t\r")
	if len(line) < 2 || line[0] != '[' || line[len(line)-1] != ']' {
		return Marker{}, false
	}
	owner, rest, found := strings.Cut(line[1:len(line)-1], "/")
	policy, kind, _ := strings.Cut(rest, " ")
	m := Marker{owner, policy, Kind(kind)}
	switch m.Kind {
	case Scheduled, ByHand, BeforeChange:
	default:
		return Marker{}, false
	}
	exact := len(line) == len("[/]")+len(owner)+len(policy)+len(kind) || m.Kind != Scheduled && m.String() == line
	return m, found && isWord(owner) && isWord(policy) && exact
}

// isWord reports whether a text is made of what owners and policies are made of.
func isWord(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return r >= 0x80 || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_+.-", r)
	}) < 0
}

// HeldBy reports whether a description holds its snapshot: it has the word hold, in any case, outside the marker.
func HeldBy(description string) bool {
	for line := range strings.SplitSeq(description, "\n") {
		if _, is := parseMarker(line); is {
			continue
		}
		for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			if strings.EqualFold(word, "hold") {
				return true
			}
		}
	}
	return false
}

// Description is what a snapshot of the policy is described by.
func (p Policy) Description(kind Kind) string {
	return Marker{Owner: p.Owner, Policy: p.Name, Kind: kind}.String()
}
