// Package config gathers what tend needs to know of its surroundings: where Proxmox is, who asks, whom to trust,
// and how to log. It comes from flags, the environment and a file, in this order of strength, and each value
// remembers where it was found. The package connects to nothing.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/spec/setting"
)

// DefaultFile is read where no other file is named and it exists.
const DefaultFile = "/etc/tend/tend.yaml"

// DefaultLockDir is Debian's folder of locks that anybody may make.
const DefaultLockDir = "/run/lock"

// A Name identifies a setting of the program, as written in the file.
type Name string

// The settings.
const (
	Endpoint    Name = "endpoint"
	Token       Name = "token" // in the environment only
	TokenFile   Name = "tokenFile"
	Fingerprint Name = "fingerprint"
	CAFile      Name = "caFile"
	Insecure    Name = "insecure"
	StateDir    Name = "stateDir"
	LockDir     Name = "lockDir"
	Lane        Name = "lane"
	Helper      Name = "helperSocket"
	LogLevel    Name = "logLevel"
	LogFormat   Name = "logFormat"

	DiskWearWarning        Name = "diskWearWarning"
	DiskWearFailing        Name = "diskWearFailing"
	DiskCelsius            Name = "diskCelsius"
	DiskErrorsWarning      Name = "diskErrorsWarning"
	DiskErrorsFailing      Name = "diskErrorsFailing"
	DiskReallocatedWarning Name = "diskReallocatedWarning"
	AllowFailingDisks      Name = "allowFailingDisks"
)

// A Setting is one row of what can be set.
type Setting struct {
	Name Name
	Flag string // without dashes; empty: no flag
	Env  string
	Doc  string // in help texts; what stands between backquotes names the value
}

// Settings lists everything that can be set.
func Settings() []Setting {
	return []Setting{
		{Endpoint, "endpoint", "TEND_ENDPOINT", "`host`, host:port or URL of a node: pve1, https://pve1:8006"},
		{Token, "", "TEND_TOKEN", "API token, user@realm!id=secret"},
		{TokenFile, "token-file", "TEND_TOKEN_FILE", "`file` that holds the API token, user@realm!id=secret"},
		{Fingerprint, "fingerprint", "TEND_FINGERPRINT", "SHA-256 `fingerprint` of the node's certificate; no other is accepted"},
		{CAFile, "ca-file", "TEND_CA_FILE", "`file` with the certificates of the authorities to trust, in PEM"},
		{Insecure, "insecure", "TEND_INSECURE", "accept any certificate, so that whoever is in between can read the token"},
		{StateDir, "state-dir", "TEND_STATE_DIR", "`folder` of the journal of running operations"},
		{LockDir, "", "TEND_LOCK_DIR", "`folder` of the lock files by which agents of one machine notice each other; /run/lock"},
		{Lane, "lane", "TEND_LANE", "who does what only root@pam may: `off`, direct (tend itself, as root on the node), helper (tend helper, through its socket)"},
		{Helper, "helper-socket", "TEND_HELPER_SOCKET", "`socket` of tend helper"},
		{LogLevel, "log-level", "TEND_LOG_LEVEL", "least level that is logged: debug, info, warn, error"},
		{LogFormat, "log-format", "TEND_LOG_FORMAT", "form of the log: text, json"},
		{DiskWearWarning, "", "TEND_DISK_WEAR_WARNING", "percent of its endurance that a disk has used, from which is warned; 80"},
		{DiskWearFailing, "", "TEND_DISK_WEAR_FAILING", "the same, from which it counts as failing; never"},
		{DiskCelsius, "", "TEND_DISK_CELSIUS", "°C of a disk from which is warned; what it stands itself, or 60 and without moving parts 70"},
		{DiskErrorsWarning, "", "TEND_DISK_ERRORS_WARNING", "sectors that a disk lost or cannot read, from which is warned; 1"},
		{DiskErrorsFailing, "", "TEND_DISK_ERRORS_FAILING", "the same, from which it counts as failing; never"},
		{DiskReallocatedWarning, "", "TEND_DISK_REALLOCATED_WARNING", "sectors that a disk has replaced, from which is warned; 10"},
		{AllowFailingDisks, "", "TEND_ALLOW_FAILING_DISKS", "failing disks on which is allocated all the same: pve1:sda, serial numbers, separated by commas"},
	}
}

// A Value is a value and where it was found.
type Value struct {
	Text   string
	Source string // "--endpoint", "TEND_ENDPOINT", "/etc/tend/tend.yaml:3"; empty where it is a default
	Column int    // in the line of a file, from 1; 0: it stands in none
}

// place is the source, of a file with the column, too: where a fault is.
func (v Value) place() string {
	if v.Column == 0 {
		return v.Source
	}
	return fmt.Sprintf("%s:%d", v.Source, v.Column)
}

// Origins are all values that were found of one setting, the one in force first.
type Origins struct {
	Setting Setting
	Found   []Value
}

// A Config is what was gathered.
type Config struct {
	Endpoint    string
	Token       proxmox.Secret
	Fingerprint string
	CAFile      string
	Insecure    bool
	StateDir    string
	LockDir     string
	Lane        RootLane
	Helper      string // socket of the helper
	LogLevel    slog.Level
	LogFormat   string

	Agent Agent // what tend watch needs beside all that

	Disks             health.Limits // from when a disk is not well
	AllowFailingDisks []string      // failing disks on which is allocated all the same

	File    string    // the file that was read, or empty
	Origins []Origins // in the order of [Settings]; a token is masked

	// Exposed is the token's file where everyone on the machine may read it; empty where that is not so.
	Exposed string

	inEnv       proxmox.Secret // the token in the environment
	credentials string         // folder of those that systemd hands over
}

// Sources are where values come from.
type Sources struct {
	Flags map[string]string // by flag; those that were given
	Env   func(string) string
	File  string // named by --config; empty: TEND_CONFIG, then DefaultFile if it exists
}

// Load gathers the settings. All faults are reported at once.
func Load(src Sources) (*Config, error) {
	c := &Config{}
	file, err := c.readFile(src)
	if err != nil {
		return nil, err
	}
	for _, s := range Settings() {
		o := Origins{Setting: s}
		if v, ok := src.Flags[s.Flag]; ok && s.Flag != "" {
			o.Found = append(o.Found, Value{Text: v, Source: "--" + s.Flag})
		}
		if v := src.Env(s.Env); v != "" {
			if s.Name == Token { // a secret is not kept among texts that are shown
				c.inEnv = proxmox.NewSecret(strings.TrimSpace(v))
				v = c.inEnv.String()
			}
			o.Found = append(o.Found, Value{Text: v, Source: s.Env})
		}
		if v := handedToken(src.Env); v != "" && s.Name == TokenFile {
			o.Found = append(o.Found, Value{Text: v, Source: "systemd credential"})
		}
		if v, ok := file[s.Name]; ok {
			o.Found = append(o.Found, v)
		}
		c.Origins = append(c.Origins, o)
	}
	c.credentials = src.Env("CREDENTIALS_DIRECTORY")
	return c, c.interpret(src.Env)
}

// handedToken is the token that systemd hands to a service (LoadCredential=token:…), or empty. It is a part of the
// environment, and so beats the file, in which the same token stands for a person who is root.
func handedToken(env func(string) string) string {
	dir := env("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return ""
	}
	path := filepath.Join(dir, "token")
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Trust says where to write the fingerprint of a certificate that was presented.
func Trust(fingerprint string) string {
	return "where the node itself shows this fingerprint (pvenode cert info), trust it by --fingerprint " + fingerprint +
		", or the same in TEND_FINGERPRINT or after fingerprint: in the configuration file"
}

// Get returns the value in force; zero where none was found.
func (c *Config) Get(n Name) Value {
	for _, o := range c.Origins {
		if o.Setting.Name == n && len(o.Found) > 0 {
			return o.Found[0]
		}
	}
	return Value{}
}

// Bound lists what differs between two configurations and holds for the life of a process, by the names of the settings:
// with whom it speaks, by which right, and where it keeps what it knows.
func Bound(a, b *Config) []string {
	var out []string
	for _, x := range []struct {
		name Name
		same bool
	}{
		{Endpoint, a.Endpoint == b.Endpoint},
		{Token, a.Token.Equal(b.Token)},
		{Fingerprint, a.Fingerprint == b.Fingerprint},
		{CAFile, a.CAFile == b.CAFile},
		{Insecure, a.Insecure == b.Insecure},
		{StateDir, a.StateDir == b.StateDir},
		{Lane, a.Lane == b.Lane},
		{Helper, a.Helper == b.Helper},
		{LockDir, a.LockDir == b.LockDir},
	} {
		if !x.same {
			out = append(out, string(x.name))
		}
	}
	return out
}

func (c *Config) interpret(env func(string) string) error {
	c.Endpoint, c.Fingerprint, c.CAFile = c.Get(Endpoint).Text, c.Get(Fingerprint).Text, c.Get(CAFile).Text
	var faults []error
	if v := c.Get(Insecure); v.Text != "" {
		b, err := strconv.ParseBool(v.Text)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %q is not true or false", v.place(), v.Text))
		}
		c.Insecure = b
	}
	c.LogLevel = slog.LevelWarn
	if v := c.Get(LogLevel); v.Text != "" {
		if err := c.LogLevel.UnmarshalText([]byte(v.Text)); err != nil {
			faults = append(faults, fmt.Errorf("%s: %q is none of debug, info, warn, error", v.place(), v.Text))
		}
	}
	lane, err := parseLane(c.Get(Lane))
	c.Lane, faults = lane, append(faults, err)
	c.Helper = cmp.Or(c.Get(Helper).Text, DefaultHelper)
	c.LogFormat = "text"
	if v := c.Get(LogFormat); v.Text != "" {
		if v.Text != "text" && v.Text != "json" {
			faults = append(faults, fmt.Errorf("%s: %q is none of text, json", v.place(), v.Text))
		}
		c.LogFormat = v.Text
	}
	faults = append(faults, c.interpretDisks())
	c.StateDir = c.Get(StateDir).Text
	if c.StateDir == "" {
		c.StateDir = defaultStateDir(env)
	}
	c.LockDir = cmp.Or(c.Get(LockDir).Text, DefaultLockDir)
	token, err := c.readToken()
	c.Token = token
	return errors.Join(append(faults, err)...)
}

// defaultStateDir is the service's folder under systemd, else the user's for state (XDG base directories).
func defaultStateDir(env func(string) string) string {
	for _, v := range []struct{ dir, below string }{
		{env("STATE_DIRECTORY"), ""}, {env("XDG_STATE_HOME"), "tend"}, {env("HOME"), ".local/state/tend"},
	} {
		if v.dir != "" {
			return filepath.Join(v.dir, v.below)
		}
	}
	return ".tend"
}

// TokenSource is where the token in force comes from: a file that a flag names beats the environment.
func (c *Config) TokenSource() Value {
	token, file := c.Get(Token), c.Get(TokenFile)
	if token.Text == "" || strings.HasPrefix(file.Source, "--") {
		return file
	}
	return token
}

func (c *Config) readToken() (proxmox.Secret, error) {
	v := c.TokenSource()
	if v.Source == c.Get(Token).Source {
		return c.inEnv, nil
	}
	token, exposed, err := readSecret(v.Text)
	if err != nil {
		return proxmox.Secret{}, fmt.Errorf("read the token (%s): %w", v.place(), err)
	}
	if exposed {
		c.Exposed = v.Text
	}
	return token, nil
}

// maxSecret bounds a file with a secret, should it be the wrong one. A private key takes some of it.
const maxSecret = 64 << 10

// credential begins the path of a file that systemd hands to a service (LoadCredential=NAME:PATH).
const credential = "credential:"

// Secret reads a file that holds a secret. "credential:NAME" is the one that systemd hands to the service under that name.
// One that everyone on the machine may read is an error: unlike the token of Proxmox, nothing else would tell of it.
func (c *Config) Secret(path string) (proxmox.Secret, error) {
	if name, ok := strings.CutPrefix(path, credential); ok {
		if c.credentials == "" || strings.ContainsAny(name, "/\\") {
			return proxmox.Secret{}, fmt.Errorf("%s: systemd hands over no such credential: write LoadCredential=%s:PATH into the unit", path, name)
		}
		path = filepath.Join(c.credentials, name)
	}
	s, exposed, err := readSecret(path)
	if err == nil && exposed {
		err = fmt.Errorf("everyone on this machine can read %s: chmod 600 it", path)
	}
	return s, err
}

// readSecret reads a file with a secret, and reports whether everyone on the machine may.
func readSecret(path string) (s proxmox.Secret, exposed bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return s, false, err
	}
	if !info.Mode().IsRegular() && info.Mode()&os.ModeNamedPipe == 0 || info.Size() > maxSecret {
		return s, false, fmt.Errorf("%s is not a small file with a secret", path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return s, false, err
	}
	text := strings.TrimSpace(string(raw))
	if text == "" {
		return s, false, fmt.Errorf("%s is empty", path)
	}
	return proxmox.NewSecret(text), info.Mode().Perm()&0o007 != 0, nil
}

// readFile reads the file, if there is one, into values by name.
func (c *Config) readFile(src Sources) (map[Name]Value, error) {
	path, named := src.File, true
	if path == "" {
		path = src.Env("TEND_CONFIG")
	}
	if path == "" {
		path, named = DefaultFile, false
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	c.File = path
	values, agent, err := parseFile(path, raw)
	c.Agent = agent
	return values, err
}

// parseFile reads the settings, which have single values, and what is for the agent, strictly.
func parseFile(path string, raw []byte) (map[Name]Value, Agent, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, Agent{}, fmt.Errorf("%s: %w", path, err)
	}
	if len(doc.Content) == 0 { // an empty file sets nothing
		return nil, Agent{}, nil
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, Agent{}, fmt.Errorf("%s:%d:%d: is not a mapping of settings, as in: endpoint: pve1", path, top.Line, top.Column)
	}
	out := map[Name]Value{}
	agent := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: top.Line, Column: top.Column}
	var faults []error
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if slices.Contains(agentFields(), key.Value) {
			agent.Content = append(agent.Content, key, value)
			continue
		}
		place := fmt.Sprintf("%s:%d", path, key.Line)
		name := Name(key.Value)
		if err := checkEntry(name, value, out); err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %s: %w", place, key.Column, key.Value, err))
			continue
		}
		out[name] = Value{value.Value, place, value.Column}
	}
	a, err := decodeAgent(path, agent)
	return out, a, errors.Join(append(faults, err)...)
}

func checkEntry(name Name, value *yaml.Node, seen map[Name]Value) error {
	if name == Token {
		return errors.New("a token does not belong into this file: write it into one of its own, with mode 0600, and tokenFile: PATH here")
	}
	var known []string
	for _, s := range Settings() {
		if s.Name != Token {
			known = append(known, string(s.Name))
		}
	}
	known = append(known, agentFields()...)
	_, twice := seen[name]
	switch {
	case !slices.Contains(known, string(name)):
		if n := setting.Nearest(string(name), known); n != "" {
			return fmt.Errorf("unknown field: did you mean %q?", n)
		}
		return fmt.Errorf("unknown field: the fields are %s", strings.Join(known, ", "))
	case twice:
		return errors.New("is written twice")
	case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
		return errors.New("has no single value")
	}
	return nil
}
