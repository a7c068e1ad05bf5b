package config

import (
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/proxmox"
)

// A Notify says whom the agent tells what. The zero value tells nobody anything.
type Notify struct {
	Settle   Duration  `yaml:"settle"` // for which what may right itself must stand before it is told; 2 minutes where absent
	Remind   Duration  `yaml:"remind"` // after which what still stands is told again; absent: never
	Page     string    `yaml:"page"`   // address of the agent's page, to which messages lead
	Channels []Channel `yaml:"channels"`
	DeadMan  DeadMan   `yaml:"deadMansPing"`
}

// A Channel is one way to tell. It has one of URL, URLFile, Webhook and Mail.
type Channel struct {
	Name string `yaml:"name"`
	// URL is that of a service, as shoutrrr writes them: ntfy://, telegram://, gotify:// …
	URL      Hidden        `yaml:"url"`
	URLFile  string        `yaml:"urlFile"` // whose content is such a URL
	Webhook  NotifyWebhook `yaml:"webhook"`
	Mail     Mail          `yaml:"mail"`
	Level    Level         `yaml:"level"`    // the least of what is told; where absent: warning, or with Events note
	Events   []string      `yaml:"events"`   // the kinds of what is told; none: all
	Title    string        `yaml:"title"`    // a template
	Template string        `yaml:"template"` // of the text
}

// A NotifyWebhook takes messages as JSON by POST, signed as https://www.standardwebhooks.com says.
type NotifyWebhook struct {
	URL        Hidden `yaml:"url"`
	URLFile    string `yaml:"urlFile"`
	SecretFile string `yaml:"secretFile"` // the key of the signature, "whsec_" and base64; absent: nothing is signed
}

// A Mail is a list of mailboxes, and the server that takes mail for them.
type Mail struct {
	Host         string   `yaml:"host"`
	Port         int      `yaml:"port"` // 587, or by TLS 465 or 25, where absent
	TLS          string   `yaml:"tls"`  // "starttls" (where absent), "tls", "none"
	From         string   `yaml:"from"`
	To           []string `yaml:"to"`
	User         string   `yaml:"user"`
	PasswordFile string   `yaml:"passwordFile"` // never sent without TLS
}

// A DeadMan is a dead man's switch, such as one of healthchecks.io: told after each pass, it raises the alarm when it hears
// nothing.
type DeadMan struct {
	URL      Hidden   `yaml:"url"`
	URLFile  string   `yaml:"urlFile"`
	Every    Duration `yaml:"every"`    // at most so often; a minute where absent
	OnlyGood bool     `yaml:"onlyGood"` // after a bad pass nothing is sent, in place of URL/fail
}

// Given reports whether there is one.
func (d DeadMan) Given() bool {
	return !d.URL.IsZero() || d.URLFile != "" || d.Every != 0 || d.OnlyGood
}

// A Hidden is a secret in the file itself.
type Hidden struct{ proxmox.Secret }

// UnmarshalYAML reads it. The error does not repeat it.
func (h *Hidden) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return at(n, "is no single value")
	}
	h.Secret = proxmox.NewSecret(strings.TrimSpace(n.Value))
	return nil
}

// A Level says how much something matters.
type Level string

// UnmarshalYAML reads it.
func (l *Level) UnmarshalYAML(n *yaml.Node) error { return enum(n, l, "note", "warning", "danger") }

// check finds what is wrong, as far as can be told without reading files and templates.
func (s Notify) check(fault func(field, format string, args ...any)) {
	if s.Remind > 0 && s.Remind < Duration(time.Hour) {
		fault("notify", "remind: less than an hour is no reminder")
	}
	var names []string
	for i, c := range s.Channels {
		add := func(format string, args ...any) {
			fault("notify", "channel %d %s: "+format, append([]any{i + 1, c.Name}, args...)...)
		}
		if c.Name == "" || slices.Contains(names, c.Name) {
			add("has no name of its own")
		}
		names = append(names, c.Name)
		c.check(add)
	}
	if d := s.DeadMan; d.Given() {
		one(func(format string, args ...any) { fault("notify", "deadMansPing: "+format, args...) }, d.URL, d.URLFile)
	}
}

func (c Channel) check(fault func(format string, args ...any)) {
	ways := 0
	for _, has := range []bool{!c.URL.IsZero(), c.URLFile != "", c.HasWebhook(), c.HasMail()} {
		if has {
			ways++
		}
	}
	if ways != 1 {
		fault("has none, or more than one, of url, urlFile, webhook, mail")
	}
	if c.HasWebhook() {
		one(func(format string, args ...any) { fault("webhook: "+format, args...) }, c.Webhook.URL, c.Webhook.URLFile)
	}
	if c.HasMail() {
		c.Mail.check(func(format string, args ...any) { fault("mail: "+format, args...) })
	}
}

// HasWebhook reports whether the channel is a webhook.
func (c Channel) HasWebhook() bool {
	return !c.Webhook.URL.IsZero() || c.Webhook.URLFile != "" || c.Webhook.SecretFile != ""
}

// HasMail reports whether the channel is mail.
func (c Channel) HasMail() bool {
	return c.Mail.Host != "" || c.Mail.From != "" || len(c.Mail.To) > 0
}

// one holds a URL and a file with one against what is wanted: one of them.
func one(fault func(format string, args ...any), u Hidden, file string) {
	if u.IsZero() == (file == "") {
		fault("has none, or both, of url and urlFile")
	}
}

func (m Mail) check(fault func(format string, args ...any)) {
	if u, err := url.Parse("//" + m.Host); m.Host == "" || err != nil || u.Host != m.Host || u.Port() != "" {
		fault("host: %q is no name of a server without its port", m.Host)
	}
	if m.Port < 0 || m.Port > 65535 {
		fault("port: %d is no port", m.Port)
	}
	if modes := []string{"", "starttls", "tls", "none"}; !slices.Contains(modes, m.TLS) {
		fault("tls: %q is none of %s", m.TLS, strings.Join(modes[1:], ", "))
	}
	if len(m.To) == 0 {
		fault("to: names nobody")
	}
	for _, a := range append([]string{m.From}, m.To...) {
		if _, err := mail.ParseAddress(a); err != nil {
			fault("%q is no mail address", a)
		}
	}
	if (m.User == "") != (m.PasswordFile == "") {
		fault("user and passwordFile go together")
	}
	if m.PasswordFile != "" && m.TLS == "none" {
		fault("tls: none would send the password for everyone to read")
	}
}
