package repo

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// A Commit is one as it is written, taken apart.
type Commit struct {
	Tree      plumbing.Hash
	Parents   []plumbing.Hash
	Author    Person
	Committer Person
	Message   string
	Signed
}

// A Tag is an object of a tag as it is written, taken apart.
type Tag struct {
	Target     plumbing.Hash
	TargetType plumbing.ObjectType
	Name       string // without refs/tags/
	Tagger     Person
	Message    string
	Signed
}

// A Person is who wrote something, and when.
type Person struct {
	Name, Mail string
	When       time.Time
}

// String is the name with the mail address: "Alice <alice@example.com>".
func (p Person) String() string { return strings.TrimSpace(p.Name + " <" + p.Mail + ">") }

// Signed is what was signed, byte by byte, and the signature; both empty where there is none.
type Signed struct{ Payload, Signature []byte }

// signatures begin with these lines. The ones that git puts into the headers of a commit are told by their name.
var armor = [][]byte{[]byte("-----BEGIN SSH SIGNATURE-----"), []byte("-----BEGIN PGP SIGNATURE-----"), []byte("-----BEGIN PGP MESSAGE-----"), []byte("-----BEGIN SIGNED MESSAGE-----")}

// A header is one line of an object's head, with its continuation lines.
type header struct {
	key   string
	value []byte // continuation lines without the blank that they begin with
	raw   []byte // as it is written
}

// split takes an object into its headers and its message. Nothing is interpreted, and the pieces put together are the
// object again: what is verified and what is used must be the same bytes.
func split(raw []byte) ([]header, []byte, error) {
	var out []header
	for len(raw) > 0 {
		line, rest, ok := bytes.Cut(raw, []byte("\n"))
		if !ok {
			return nil, nil, errors.New("its head is cut off")
		}
		if len(line) == 0 {
			return out, rest, nil
		}
		size := len(line) + 1
		if line[0] == ' ' {
			if len(out) == 0 {
				return nil, nil, errors.New("its head begins with a continuation")
			}
			last := &out[len(out)-1]
			last.value = append(append(last.value, '\n'), line[1:]...)
			last.raw = append(last.raw, raw[:size]...)
		} else {
			key, value, _ := bytes.Cut(line, []byte(" "))
			out = append(out, header{string(key), bytes.Clone(value), bytes.Clone(raw[:size])})
		}
		raw = rest
	}
	return out, nil, nil // without a message
}

// only returns the one value of a key; false where there is none. Two of what may come once are an error: different
// readers would take different ones.
func only(headers []header, key string) ([]byte, bool, error) {
	var found []byte
	n := 0
	for _, h := range headers {
		if h.key == key {
			found = h.value
			n++
		}
	}
	if n > 1 {
		return nil, false, fmt.Errorf("it has %d headers %s", n, key)
	}
	return found, n == 1, nil
}

// ParseCommit takes a commit apart. What is signed is all of it but the header gpgsig, as git does it
// (commit.c, parse_signed_commit).
func ParseCommit(raw []byte) (Commit, error) {
	var c Commit
	headers, message, err := split(raw)
	if err != nil {
		return c, fmt.Errorf("read commit: %w", err)
	}
	c.Message = string(message)
	for _, h := range headers {
		if h.key == "parent" {
			p, err := parseHash(h.value)
			if err != nil {
				return c, fmt.Errorf("read commit: parent: %w", err)
			}
			c.Parents = append(c.Parents, p)
		}
	}
	tree, _, e1 := only(headers, "tree")
	author, _, e2 := only(headers, "author")
	committer, _, e3 := only(headers, "committer")
	signature, signed, e4 := only(headers, "gpgsig")
	var e5, e6, e7 error
	c.Tree, e5 = parseHash(tree)
	c.Author, e6 = parsePerson(author)
	c.Committer, e7 = parsePerson(committer)
	if err := errors.Join(e1, e2, e3, e4, e5, e6, e7); err != nil {
		return c, fmt.Errorf("read commit: %w", err)
	}
	if signed {
		c.Signed = Signed{withoutSignature(headers, raw), signature}
	}
	return c, nil
}

// withoutSignature is an object without the headers that sign it, for either hash.
func withoutSignature(headers []header, raw []byte) []byte {
	var out []byte
	size := 0
	for _, h := range headers {
		size += len(h.raw)
		if h.key != "gpgsig" && h.key != "gpgsig-sha256" {
			out = append(out, h.raw...)
		}
	}
	return append(out, raw[size:]...)
}

// ParseTag takes the object of a tag apart. What is signed is all before the signature, which ends the message, as git
// does it (gpg-interface.c, parse_signed_buffer).
func ParseTag(raw []byte) (Tag, error) {
	var t Tag
	headers, message, err := split(raw)
	if err != nil {
		return t, fmt.Errorf("read tag: %w", err)
	}
	object, _, e1 := only(headers, "object")
	kind, _, e2 := only(headers, "type")
	name, _, e3 := only(headers, "tag")
	tagger, hasTagger, e4 := only(headers, "tagger")
	var e5, e6, e7 error
	t.Target, e5 = parseHash(object)
	t.TargetType, e6 = plumbing.ParseObjectType(string(kind))
	if hasTagger {
		t.Tagger, e7 = parsePerson(tagger)
	}
	if err := errors.Join(e1, e2, e3, e4, e5, e6, e7); err != nil {
		return t, fmt.Errorf("read tag: %w", err)
	}
	t.Name = string(name)
	at := signatureAt(message)
	t.Message = string(message[:at])
	if at < len(message) {
		cut := len(raw) - len(message) + at
		t.Signed = Signed{raw[:cut], raw[cut:]}
	}
	return t, nil
}

// signatureAt is where the last signature of a message begins; its end where there is none.
func signatureAt(message []byte) int {
	at := len(message)
	for i := 0; i < len(message); {
		for _, a := range armor {
			if bytes.HasPrefix(message[i:], a) {
				at = i
			}
		}
		next := bytes.IndexByte(message[i:], '\n')
		if next < 0 {
			break
		}
		i += next + 1
	}
	return at
}

func parseHash(text []byte) (plumbing.Hash, error) {
	if !plumbing.IsHash(string(text)) {
		return plumbing.ZeroHash, fmt.Errorf("%q is no hash", text)
	}
	return plumbing.NewHash(string(text)), nil
}

// parsePerson reads "Name <mail> seconds zone".
func parsePerson(text []byte) (Person, error) {
	s := string(text)
	open, end := strings.IndexByte(s, '<'), strings.LastIndexByte(s, '>')
	if open < 0 || end < open {
		return Person{}, fmt.Errorf("%q names nobody", s)
	}
	p := Person{Name: strings.TrimSpace(s[:open]), Mail: s[open+1 : end]}
	fields := strings.Fields(s[end+1:])
	if len(fields) == 0 {
		return p, nil
	}
	seconds, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return p, fmt.Errorf("%q is no time", fields[0])
	}
	p.When = time.Unix(seconds, 0).UTC()
	if len(fields) > 1 {
		if zone, err := time.Parse("-0700", fields[1]); err == nil {
			_, offset := zone.Zone()
			p.When = p.When.In(time.FixedZone("", offset))
		}
	}
	return p, nil
}
