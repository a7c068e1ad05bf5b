package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/reconcile/permit"
	"github.com/felhom/tend/spec/setting"
)

// An Agent is what tend watch needs to know beside the connection. It comes from the file alone.
type Agent struct {
	Source   Source   `yaml:"source"`
	Interval Duration `yaml:"interval"` // between two looks when nothing happens; 5 minutes where absent
	Parallel int      `yaml:"parallel"` // containers of a node that are changed at once; 4 where absent

	DryRun bool        `yaml:"dryRun"`
	Mode   permit.Mode `yaml:"mode"`
	Modes  Modes       `yaml:"modes"`

	Adopt    bool     `yaml:"adopt"`
	Prune    Prune    `yaml:"prune"`
	Recovery Recovery `yaml:"recovery"`

	Windows  []Window       `yaml:"windows"`
	Outside  permit.Outside `yaml:"outsideWindows"`
	TimeZone Zone           `yaml:"timeZone"` // of windows; the machine's where absent
	Budget   Budget         `yaml:"budget"`

	Web     Web     `yaml:"web"`
	Webhook Webhook `yaml:"webhook"`
	History History `yaml:"history"`
	Notify  Notify  `yaml:"notify"`

	CommitStatus CommitStatus `yaml:"commitStatus"`
}

// A Source is where specs come from: a folder, or a git repository.
type Source struct {
	Dir string `yaml:"dir"`

	Git          string   `yaml:"git"` // https://…, ssh://…, host:path, file://…, or an absolute path
	Branch       string   `yaml:"branch"`
	Tag          string   `yaml:"tag"`
	Semver       string   `yaml:"semver"` // a range of versions: the highest tag is taken
	Path         string   `yaml:"path"`   // within the repository
	Auth         Auth     `yaml:"auth"`
	CAFile       string   `yaml:"caFile"`
	Signers      Signers  `yaml:"signers"`
	AllowRewrite bool     `yaml:"allowRewrite"` // take what does not follow the revision in force
	Timeout      Duration `yaml:"timeout"`      // of a fetch; two minutes where absent
}

// Auth says who asks for a repository. Secrets stand in files of their own.
type Auth struct {
	User           string   `yaml:"user"`
	PasswordFile   string   `yaml:"passwordFile"` // https: a password or a token
	BearerFile     string   `yaml:"bearerFile"`   // https: a token that is sent as such
	KeyFile        string   `yaml:"keyFile"`      // ssh
	PassphraseFile string   `yaml:"passphraseFile"`
	KnownHosts     []string `yaml:"knownHosts"`
}

// Signers are who may sign; none: signatures are not asked for.
type Signers struct {
	AllowedFile string `yaml:"allowedSignersFile"` // SSH keys (ssh-keygen(1), ALLOWED SIGNERS)
	KeyRing     string `yaml:"keyRing"`            // OpenPGP keys
	Signed      Signed `yaml:"signed"`
}

// Prune says whether containers are destroyed that the spec does not declare any more.
type Prune struct {
	On      bool     `yaml:"enabled"`
	Max     int      `yaml:"max"`
	Percent int      `yaml:"percent"`
	Grace   Duration `yaml:"grace"`
}

// A Window is when what interrupts may happen.
type Window struct {
	Schedule Schedule `yaml:"schedule"` // when it opens
	Duration Duration `yaml:"duration"` // for how long
}

// A Budget bounds what is done without a yes; absent: no bound.
type Budget struct {
	RestartsPerRun *int `yaml:"restartsPerRun"`
	RestartsPerDay *int `yaml:"restartsPerDay"`
	DestroysPerRun *int `yaml:"destroysPerRun"`
	DestroysPerDay *int `yaml:"destroysPerDay"`
}

// Permit is the budget as rules have it.
func (b Budget) Permit() permit.Budget {
	bound := func(n *int) int {
		if n == nil {
			return -1
		}
		return *n
	}
	return permit.Budget{
		RestartsPerRun: bound(b.RestartsPerRun), RestartsPerDay: bound(b.RestartsPerDay),
		DestroysPerRun: bound(b.DestroysPerRun), DestroysPerDay: bound(b.DestroysPerDay),
	}
}

// Web is where the page, metrics and webhooks are served.
type Web struct {
	Listen    Listen   `yaml:"listen"` // 127.0.0.1:8099 where absent, off: nowhere
	TokenFile string   `yaml:"tokenFile"`
	Hosts     []string `yaml:"hosts"`
	CertFile  string   `yaml:"certFile"`
	KeyFile   string   `yaml:"keyFile"`
}

// A Webhook is what forges send.
type Webhook struct {
	SecretFile string `yaml:"secretFile"`
}

// History bounds what is kept of past runs.
type History struct {
	Runs      int `yaml:"runs"`
	Megabytes int `yaml:"megabytes"`
}

// A Duration is written as 90s, 5m, 26h or 7d.
type Duration time.Duration

// UnmarshalYAML reads it.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	text := n.Value
	var days time.Duration
	if i := strings.IndexByte(text, 'd'); i > 0 {
		whole, err := strconv.ParseUint(text[:i], 10, 16)
		if err != nil {
			return at(n, "%q is no time: write 90s, 5m, 26h or 7d", n.Value)
		}
		days, text = time.Duration(whole)*24*time.Hour, text[i+1:]
	}
	if text == "" {
		*d = Duration(days)
		return nil
	}
	v, err := time.ParseDuration(text)
	if err != nil || v < 0 {
		return at(n, "%q is no time: write 90s, 5m, 26h or 7d", n.Value)
	}
	*d = Duration(days + v)
	return nil
}

// A Schedule is a calendar event, as Proxmox writes it.
type Schedule struct{ calendar.Event }

// UnmarshalYAML reads it.
func (s *Schedule) UnmarshalYAML(n *yaml.Node) error {
	e, err := calendar.Parse(n.Value)
	if err != nil {
		return at(n, "%w", err)
	}
	s.Event = e
	return nil
}

// A Zone is a time zone by its name, as in Europe/Vienna.
type Zone struct{ *time.Location }

// UnmarshalYAML looks it up.
func (z *Zone) UnmarshalYAML(n *yaml.Node) error {
	loc, err := time.LoadLocation(n.Value)
	if err != nil || n.Value == "" {
		return at(n, "%q is no time zone: write it as Europe/Vienna, or UTC", n.Value)
	}
	z.Location = loc
	return nil
}

// A Recovery says what becomes of stuck containers.
type Recovery string

// The recoveries.
const (
	RecoveryAsk  Recovery = "ask"  // they are told, and left
	RecoveryAuto Recovery = "auto" // they are recovered, but for what only a person can answer for
)

// UnmarshalYAML reads it.
func (r *Recovery) UnmarshalYAML(n *yaml.Node) error { return enum(n, r, RecoveryAsk, RecoveryAuto) }

// Signed says what of a repository must be signed.
type Signed string

// What must be signed.
const (
	SignedAuto   Signed = "auto" // tags where the source is a tag, else commits
	SignedCommit Signed = "commit"
	SignedTag    Signed = "tag"
	SignedBoth   Signed = "both"
)

// UnmarshalYAML reads it.
func (s *Signed) UnmarshalYAML(n *yaml.Node) error {
	return enum(n, s, SignedAuto, SignedCommit, SignedTag, SignedBoth)
}

// A Listen is an address with a port, or off.
type Listen string

// ListenOff says that nothing is served.
const ListenOff Listen = "off"

var listenExpr = regexp.MustCompile(`^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]*):([0-9]{1,5})$`)

// UnmarshalYAML reads it.
func (l *Listen) UnmarshalYAML(n *yaml.Node) error {
	m := listenExpr.FindStringSubmatch(n.Value)
	switch {
	case n.Value == string(ListenOff) || n.Tag == "!!bool" && n.Value == "false":
		*l = ListenOff
		return nil
	case m == nil:
		return at(n, "%q is no address: write it as 127.0.0.1:8099, or off", n.Value)
	}
	if _, err := strconv.ParseUint(m[2], 10, 16); err != nil {
		return at(n, "%q has no port from 0 to 65535", n.Value)
	}
	if ip := strings.Trim(m[1], "[]"); strings.Contains(ip, ":") {
		if _, err := netip.ParseAddr(ip); err != nil {
			return at(n, "%q is no address: %w", n.Value, err)
		}
	}
	*l = Listen(n.Value)
	return nil
}

func enum[T ~string](n *yaml.Node, to *T, values ...T) error {
	if slices.Contains(values, T(n.Value)) {
		*to = T(n.Value)
		return nil
	}
	var words []string
	for _, v := range values {
		words = append(words, string(v))
	}
	return at(n, "%q is none of %s%s", n.Value, strings.Join(words, ", "), meant(n.Value, words))
}

func meant(word string, known []string) string {
	if n := setting.Nearest(word, known); n != "" {
		return fmt.Sprintf(": did you mean %q?", n)
	}
	return ""
}

// A placed error is one with its line and column.
type placed struct {
	line, column int
	err          error
}

func (p placed) Error() string { return fmt.Sprintf("%d:%d: %v", p.line, p.column, p.err) }
func (p placed) Unwrap() error { return p.err }

func at(n *yaml.Node, format string, args ...any) error {
	return placed{n.Line, n.Column, fmt.Errorf(format, args...)}
}

// agentFields are the names of the fields of Agent.
func agentFields() []string { return fieldsOf(reflect.TypeFor[Agent]()) }

// AgentFields are the names of all fields that a file may hold for the agent, those within others too.
func AgentFields() []string {
	var out []string
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()) {
			return
		}
		out = append(out, fieldsOf(t)...)
		for i := range t.NumField() {
			walk(t.Field(i).Type)
		}
	}
	walk(reflect.TypeFor[Agent]())
	return out
}

func fieldsOf(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		out = append(out, name)
	}
	return out
}

// decodeAgent reads what a file says for the agent: a mapping of some of its fields. All faults are told, each with its
// place.
func decodeAgent(path string, n *yaml.Node) (Agent, error) {
	var a Agent
	faults := checkFields(n, reflect.TypeFor[Agent](), "")
	if len(faults) == 0 {
		for i := 0; i+1 < len(n.Content); i += 2 { // one field after the other, so that one fault does not hide the next
			one := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: n.Content[i : i+2], Line: n.Line, Column: n.Column}
			if err := one.Decode(&a); err != nil {
				faults = append(faults, readable(err, n.Content[i+1])...)
			}
		}
	}
	if len(faults) == 0 {
		faults = a.check(n)
	}
	for i, err := range faults {
		faults[i] = fmt.Errorf("%s:%w", path, err)
	}
	return a, errors.Join(faults...)
}

// checkFields finds names that no field has, and fields that are written twice.
func checkFields(n *yaml.Node, t reflect.Type, above string) (faults []error) {
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[yaml.Unmarshaler]()) {
		if t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode {
			for i, part := range n.Content {
				faults = append(faults, checkFields(part, t.Elem(), fmt.Sprintf("%s[%d]", above, i))...)
			}
		}
		return faults
	}
	if n.Kind != yaml.MappingNode {
		return []error{at(n, "%s is not a mapping of fields: they are %s", strings.TrimSuffix(above, "."), strings.Join(fieldsOf(t), ", "))}
	}
	known, seen := fieldsOf(t), map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := strings.TrimPrefix(above+"."+key.Value, ".")
		j := slices.Index(known, key.Value)
		switch {
		case j < 0 && setting.Nearest(key.Value, known) != "":
			faults = append(faults, at(key, "%s: unknown field%s", name, meant(key.Value, known)))
		case j < 0:
			faults = append(faults, at(key, "%s: unknown field: the fields are %s", name, strings.Join(known, ", ")))
		case seen[key.Value]:
			faults = append(faults, at(key, "%s: is written twice", name))
		case value.Tag == "!!null":
			faults = append(faults, at(key, "%s: has no value", name))
		default:
			faults = append(faults, checkFields(value, t.Field(j).Type, name)...)
		}
		seen[key.Value] = true
	}
	return faults
}

var yamlLine = regexp.MustCompile(`^line (\d+): cannot unmarshal !!(\w+) (.*)into (.*)$`)

// readable turns the errors of the YAML library, which speak of Go's types, into faults.
func readable(err error, n *yaml.Node) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	if p, ok := errors.AsType[placed](err); ok {
		return []error{p}
	}
	typed, ok := errors.AsType[*yaml.TypeError](err)
	if !ok {
		return []error{at(n, "%w", err)}
	}
	var out []error
	for _, text := range typed.Errors {
		m := yamlLine.FindStringSubmatch(text)
		if m == nil {
			out = append(out, at(n, "%s", text))
			continue
		}
		line, _ := strconv.Atoi(m[1]) // digits, by the expression
		value := strings.Trim(strings.TrimSpace(m[3]), "`")
		out = append(out, placed{line, 1, fmt.Errorf("%q is no %s", value, kindWord(m[4]))})
	}
	return out
}

func kindWord(goType string) string {
	switch {
	case strings.Contains(goType, "int"):
		return "number"
	case strings.HasPrefix(goType, "bool"):
		return "true or false"
	case strings.HasPrefix(goType, "[]"):
		return "list"
	case strings.HasPrefix(goType, "map"):
		return "mapping"
	}
	return "single value"
}
