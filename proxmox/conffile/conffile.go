// Package conffile reads the file in which Proxmox VE keeps the configuration of a container,
// /etc/pve/nodes/NODE/lxc/ID.conf, as it was saved or copied.
//
// A [File] is the lines of the text, each with what Proxmox takes it for, and loses no byte: the texts of all
// lines, joined, are the file. Views of the lines, such as [File.Config], are made from them. The package
// does no I/O, and what Proxmox would only warn of is a [Problem], never an error.
package conffile

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A Kind says what Proxmox takes a line for.
type Kind int

// The kinds of lines.
const (
	Blank   Kind = iota
	Comment      // of the description, which stands in comment lines
	Setting      // "key: value"
	Raw          // "lxc.key: value", for LXC itself
	Delete       // "delete: keys", in the pending section only
	Head         // "[name]", the beginning of a section
	Unknown      // Proxmox warns of it and leaves it out when it next writes the file
)

// A Line is one line of the file.
type Line struct {
	Kind       Kind
	Key, Value string // decoded; Key is the section's name for a head, Value the text for a comment
	Text       string // as it stands, with its line end
}

// A Section is the lines from one head to the next; the head belongs to it.
type Section struct {
	Name  string // "" of the first one; Pending; or a snapshot's
	Lines []Line
}

// Pending is the name of the section that holds what waits until the container stops.
const Pending = "pve:pending"

// A File is a parsed file; the first section is the configuration in force.
type File struct {
	Sections []Section
	digest   string
}

// A Problem is a line that Proxmox would warn of and leave out.
type Problem struct {
	Line int // from 1
	Text string
	Why  string
}

// String is "line 3: why: text".
func (p Problem) String() string { return fmt.Sprintf("line %d: %s: %q", p.Line, p.Why, p.Text) }

// The forms of lines, in the order in which they are tried (pve-container LXC/Config.pm, parse_pct_config).
var (
	pendingHead  = regexp.MustCompile(`(?i)^\[pve:pending\]\s*$`)
	snapshotHead = regexp.MustCompile(`(?i)^\[([a-z][a-z0-9_\-]+)\]\s*$`)
	rawLine      = regexp.MustCompile(`^(lxc\.[a-z0-9_\-.]+)(?::|\s*=)\s*(.*?)\s*$`)
	descLine     = regexp.MustCompile(`^description:\s*(.*\S)\s*$`)
	deleteLine   = regexp.MustCompile(`^delete:\s*(.*\S)\s*$`)
	keyLine      = regexp.MustCompile(`^([a-z][a-z_]*[0-9]*):\s*(.+?)\s*$`)
)

// envKey is the raw key in whose lines Proxmox keeps the setting env, one variable each.
const envKey = "lxc.environment.runtime"

// Parse reads a file. Line ends may be those of other systems, since saved files pass through many hands.
func Parse(data []byte) *File {
	sum := sha1.Sum(data)
	f := &File{Sections: []Section{{}}, digest: hex.EncodeToString(sum[:])}
	for text := range strings.Lines(string(data)) {
		line := parseLine(text)
		if line.Kind == Head {
			f.Sections = append(f.Sections, Section{Name: line.Key})
		}
		at := &f.Sections[len(f.Sections)-1]
		at.Lines = append(at.Lines, line)
	}
	return f
}

func parseLine(text string) Line {
	s := strings.TrimRight(text, "\r\n")
	line := Line{Text: text, Kind: Unknown}
	set := func(k Kind, key, value string) Line {
		line.Kind, line.Key, line.Value = k, key, value
		return line
	}
	if strings.TrimSpace(s) == "" {
		return set(Blank, "", "")
	}
	if rest, ok := strings.CutPrefix(s, "#"); ok {
		return set(Comment, "", decode(rest))
	}
	if pendingHead.MatchString(s) {
		return set(Head, Pending, "")
	}
	if m := snapshotHead.FindStringSubmatch(s); m != nil {
		return set(Head, m[1], "")
	}
	if m := rawLine.FindStringSubmatch(s); m != nil {
		return set(Raw, m[1], m[2])
	}
	if m := descLine.FindStringSubmatch(s); m != nil { // of old files
		return set(Setting, "description", decode(m[1]))
	}
	if m := deleteLine.FindStringSubmatch(s); m != nil {
		return set(Delete, "delete", m[1])
	}
	if m := keyLine.FindStringSubmatch(s); m != nil {
		return set(Setting, m[1], m[2])
	}
	return line
}

// decode resolves %XX, in which Proxmox writes control characters, "%", ":" and all beyond ASCII; what is no
// escape stays as it is (pve-guest-common, decode_text of ParseUtils). The bytes need not be UTF-8.
func decode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.Write(v)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Bytes is the file as it was read.
func (f *File) Bytes() []byte {
	var b strings.Builder
	for _, s := range f.Sections {
		for _, l := range s.Lines {
			b.WriteString(l.Text)
		}
	}
	return []byte(b.String())
}

// Values are the settings of a section as the API shows them. Of a key that stands twice the last one
// counts.
func (s Section) Values() proxmox.Values {
	out := proxmox.Values{}
	var description strings.Builder
	var env []string
	for _, l := range s.Lines {
		switch {
		case l.Kind == Comment:
			description.WriteString(l.Value + "\n")
		case l.Kind == Setting && l.Key == "description":
			description.WriteString(l.Value)
		case l.Kind == Setting && l.Key != "snapstate":
			out[l.Key] = l.Value
		case l.Kind == Raw && l.Key == envKey:
			env = append(env, l.Value)
		}
	}
	if description.Len() > 0 {
		out["description"] = description.String()
	}
	if len(env) > 0 {
		out["env"] = strings.Join(env, "\x00")
	}
	return out
}

// Raw are the section's lines for LXC itself, in their order, but for those that hold the setting env.
func (s Section) Raw() []proxmox.RawLine {
	var out []proxmox.RawLine
	for _, l := range s.Lines {
		if l.Kind == Raw && l.Key != envKey {
			out = append(out, proxmox.RawLine{Key: l.Key, Value: l.Value})
		}
	}
	return out
}

// Current is the configuration in force.
func (f *File) Current() Section { return f.Sections[0] }

// Config is the configuration in its two views, as [proxmox.Client.Config] reads it from a node.
func (f *File) Config() proxmox.Config {
	c := proxmox.Config{
		Current: f.Current().Values(), Pending: proxmox.Values{}, Deleted: map[string]bool{}, Digest: f.digest,
	}
	for _, s := range f.Sections[1:] {
		if s.Name != Pending {
			continue
		}
		c.Pending, c.Deleted = s.Values(), map[string]bool{} // a later section replaces an earlier one
		for _, l := range s.Lines {
			if l.Kind == Delete {
				for _, key := range splitDelete(l.Value) {
					c.Deleted[key] = true
				}
			}
		}
	}
	for key := range c.Pending {
		delete(c.Deleted, key)
	}
	return c
}

// splitDelete splits a list of keys; a forced one is marked with an exclamation mark.
func splitDelete(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(",; \t!", r) })
}

// Snapshots are the names of the snapshots, in the order of the file.
func (f *File) Snapshots() []string {
	var out []string
	for _, s := range f.Sections[1:] {
		if s.Name != Pending {
			out = append(out, s.Name)
		}
	}
	return out
}

// Problems are the lines that Proxmox would leave out.
func (f *File) Problems() []Problem {
	var out []Problem
	n := 0
	for _, s := range f.Sections {
		for _, l := range s.Lines {
			n++
			text := strings.TrimRight(l.Text, "\r\n")
			switch {
			case l.Kind == Unknown:
				out = append(out, Problem{n, text, "is not a line of such a file"})
			case l.Kind == Delete && s.Name != Pending:
				out = append(out, Problem{n, text, "delete is only allowed in the pending section"})
			}
		}
	}
	return out
}
