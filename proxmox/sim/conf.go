package sim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A section is one part of a container's config file: what is in force, what is pending, or a snapshot.
type section struct {
	values map[string]string // by key; description and env as one text; pending also has "delete"
	lxc    [][2]string       // raw lxc.* lines
}

func newSection() section { return section{values: map[string]string{}} }

func (s section) clone() section {
	return section{values: maps.Clone(s.values), lxc: slices.Clone(s.lxc)}
}

// A conf is a parsed config file (LXC/Config.pm, parse_pct_config).
type conf struct {
	section
	pending section
	snaps   map[string]section
	digest  string // SHA-1 of the file as it was read
}

func newConf() *conf {
	return &conf{section: newSection(), pending: newSection(), snaps: map[string]section{}}
}

func (c *conf) clone() *conf {
	out := &conf{
		section: c.section.clone(), pending: c.pending.clone(), digest: c.digest,
		snaps: make(map[string]section, len(c.snaps)),
	}
	for n, s := range c.snaps {
		out.snaps[n] = s.clone()
	}
	return out
}

var (
	pendingHead  = regexp.MustCompile(`(?i)^\[pve:pending\]\s*$`)
	snapshotHead = regexp.MustCompile(`(?i)^\[([a-z][a-z0-9_\-]+)\]\s*$`)
	rawLine      = regexp.MustCompile(`^(lxc\.[a-z0-9_\-.]+)(?::|\s*=)\s*(.*?)\s*$`)
	descLine     = regexp.MustCompile(`^description:\s*(.*\S)\s*$`)
	snapLine     = regexp.MustCompile(`snapstate:\s*(prepare|delete)\s*$`)
	deleteLine   = regexp.MustCompile(`^delete:\s*(.*\S)\s*$`)
	keyLine      = regexp.MustCompile(`^([a-z][a-z_]*[0-9]*):\s*(.+?)\s*$`)
)

// parseConf reads a config file. Lines that Proxmox would only warn of are given to warn.
func parseConf(raw string, warn func(string)) *conf {
	res := newConf()
	sum := sha1.Sum([]byte(raw))
	res.digest = hex.EncodeToString(sum[:])
	p := confParser{cur: &res.section, warn: warn}
	var names []string
	sections := map[string]*section{}
	for line := range strings.SplitSeq(raw, "\n") {
		switch {
		case strings.TrimSpace(line) == "":
		case pendingHead.MatchString(line):
			p.endSection()
			res.pending = newSection()
			p.cur, p.inPending = &res.pending, true
		case snapshotHead.MatchString(line):
			p.endSection()
			name := snapshotHead.FindStringSubmatch(line)[1]
			s := newSection()
			sections[name], p.cur, p.inPending = &s, &s, false
			names = append(names, name)
		default:
			p.line(line)
		}
	}
	p.endSection()
	for _, n := range names {
		res.snaps[n] = *sections[n]
	}
	delete(res.values, "snapstate")
	return res
}

type confParser struct {
	cur       *section
	inPending bool
	descr     string
	warn      func(string)
}

func (p *confParser) endSection() {
	if truthy(p.descr) {
		p.cur.values["description"] = p.descr
	}
	p.descr = ""
}

func (p *confParser) line(line string) {
	if text, ok := strings.CutPrefix(line, "#"); ok {
		p.descr += decodeText(text) + "\n"
		return
	}
	if m := rawLine.FindStringSubmatch(line); m != nil {
		p.raw(m[1], m[2], line)
	} else if m := descLine.FindStringSubmatch(line); m != nil {
		p.descr += decodeText(m[1])
	} else if m := snapLine.FindStringSubmatch(line); m != nil {
		p.cur.values["snapstate"] = m[1]
	} else if m := deleteLine.FindStringSubmatch(line); m != nil {
		if p.inPending {
			p.cur.values["delete"] = m[1]
		} else {
			p.warn("property 'delete' is only allowed in [pve:pending]")
		}
	} else if m := keyLine.FindStringSubmatch(line); m != nil {
		text, err := storedType(m[1], m[2])
		if err != nil {
			p.warn(fmt.Sprintf("unable to parse value of '%s' - %s", m[1], err))
		}
		p.cur.values[m[1]] = text
	} else {
		p.warn("unable to parse config: " + line)
	}
}

func (p *confParser) raw(key, val, line string) {
	switch validity := rawKeyValidity(key); {
	case key == "lxc.environment.runtime":
		if old, ok := p.cur.values["env"]; ok {
			val = old + "\x00" + val
		}
		p.cur.values["env"] = val
	case validity == "":
		p.cur.lxc = append(p.cur.lxc, [2]string{key, val})
	case validity == unknownRawKey:
		p.warn("unable to parse config: " + line)
	default:
		p.warn(key + ": " + validity)
	}
}

// render writes the config file: the description as comments, keys in order, the environment, raw lines;
// then what is pending, then the snapshots in order (LXC/Config.pm, write_pct_config).
func (c *conf) render() (string, error) {
	delete(c.values, "snapstate")
	c.dropUsedUnused()
	var b strings.Builder
	if err := c.section.render(&b); err != nil {
		return "", err
	}
	if len(c.pending.values) > 0 || len(c.pending.lxc) > 0 {
		b.WriteString("\n[pve:pending]\n")
		if err := c.pending.render(&b); err != nil {
			return "", err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.snaps)) {
		b.WriteString("\n[" + name + "]\n")
		if err := c.snaps[name].render(&b); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// dropUsedUnused removes unusedN of volumes that are in use again.
func (c *conf) dropUsedUnused() {
	used := map[string]bool{}
	for m := range c.mounts() {
		if m.kind == volumeMount {
			used[m.volume] = true
		}
	}
	for k, v := range c.values {
		if isFamily(k, "unused") && used[v] {
			delete(c.values, k)
		}
	}
}

func (s section) render(b *strings.Builder) error {
	if descr := s.values["description"]; truthy(descr) {
		for _, line := range dropTrailingEmpty(strings.Split(descr, "\n")) {
			b.WriteString("#" + encodeText(line) + "\n")
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		if k == "description" || k == "env" {
			continue
		}
		v := s.values[k]
		if strings.Contains(v, "\n") {
			return dief("detected invalid newline inside property '%s'", k)
		}
		b.WriteString(k + ": " + v + "\n")
	}
	if env := s.values["env"]; truthy(env) {
		for v := range strings.SplitSeq(env, "\x00") {
			if v != "" {
				b.WriteString("lxc.environment.runtime: " + v + "\n")
			}
		}
	}
	for _, e := range s.lxc {
		b.WriteString(e[0] + ": " + e[1] + "\n")
	}
	return nil
}

// mounts walks rootfs and the mount points in Proxmox's order; what does not parse is left out
// (AbstractConfig.pm, foreach_volume_full).
func (s section) mounts() func(yield func(*mount) bool) {
	return func(yield func(*mount) bool) {
		for _, k := range s.mountKeys() {
			if m, err := parseMount(k, s.values[k]); err == nil && !yield(m) {
				return
			}
		}
	}
}

// mountKeys are the keys of mounts that are set, in order of their index.
func (s section) mountKeys() []string {
	var keys []string
	for k := range s.values {
		if isMountKey(k) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return mountRank(a) - mountRank(b) })
	return keys
}

func mountRank(key string) int {
	if key == "rootfs" {
		return -1
	}
	_, i, _ := indexed(key)
	return i
}

// on reports whether a boolean key is set.
func (s section) on(key string) bool { return truthy(s.values[key]) }
