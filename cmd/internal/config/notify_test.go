package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/config"
)

func loadText(t *testing.T, text string) (*config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tend.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(config.Sources{File: path, Env: func(string) string { return "" }})
}

// TestNotify reads what docs/notifications.md shows, and says of each mistake where it is; a secret is never repeated.
func TestNotify(t *testing.T) {
	c, err := loadText(t, `notify:
  settle: 5m
  remind: 7d
  channels:
    - name: phone
      url: ntfy://:hunter2@ntfy.sh/topic
      level: danger
      events: [degraded, source]
    - name: mail
      mail: {host: smtp.example.com, from: tend@example.com, to: [anna@example.com], user: tend, passwordFile: /etc/tend/smtp}
    - name: hook
      webhook: {urlFile: /etc/tend/hook, secretFile: "credential:hook"}
  deadMansPing: {urlFile: /etc/tend/ping}
`)
	if err != nil {
		t.Fatal(err)
	}
	n := c.Agent.Notify
	if len(n.Channels) != 3 || time.Duration(n.Remind) != 7*24*time.Hour || n.Channels[0].URL.Reveal() != "ntfy://:hunter2@ntfy.sh/topic" {
		t.Errorf("read as %+v", n)
	}
	if text := fmt.Sprintf("%v %+v %#v", n, n, n); strings.Contains(text, "hunter2") {
		t.Errorf("printed with its secret: %s", text)
	}
	for _, tt := range []struct{ text, want string }{
		{"notify: {chanels: []}", `notify.chanels: unknown field: did you mean "channels"?`},
		{"notify: {remind: 5m}", "remind: less than an hour"},
		{"notify: {channels: [{name: a}]}", "channel 1 a: has none, or more than one, of url"},
		{"notify: {channels: [{name: a, url: 'ntfy://hunter2', urlFile: /x}]}", "channel 1 a: has none, or more than one, of url"},
		{"notify: {channels: [{name: a, urlFile: /x}, {name: a, urlFile: /y}]}", "channel 2 a: has no name of its own"},
		{"notify: {channels: [{name: a, url: [hunter2]}]}", "is no single value"},
		{"notify: {channels: [{name: a, urlFile: /x, level: loud}]}", `"loud" is none of note, warning, danger`},
		{"notify: {channels: [{name: a, webhook: {secretFile: /x}}]}", "webhook: has none, or both, of url and urlFile"},
		{"notify: {channels: [{name: a, webhook: {urlFle: /x}}]}", `did you mean "urlFile"?`},
		{"notify: {channels: [{name: a, mail: {host: 'h:25', from: a@b, to: [c@d]}}]}", `host: "h:25" is no name of a server`},
		{"notify: {channels: [{name: a, mail: {host: h, from: nobody, to: [c@d]}}]}", `"nobody" is no mail address`},
		{"notify: {channels: [{name: a, mail: {host: h, from: a@b, to: [c@d], tls: maybe}}]}", `tls: "maybe" is none of starttls, tls, none`},
		{"notify: {channels: [{name: a, mail: {host: h, from: a@b, to: [c@d], user: u, passwordFile: /x, tls: none}}]}", "for everyone to read"},
		{"notify: {channels: [{name: a, mail: {host: h, from: a@b, to: [c@d], user: u}}]}", "user and passwordFile go together"},
		{"notify: {deadMansPing: {every: 5m}}", "deadMansPing: has none, or both, of url and urlFile"},
		{"commitStatus: {forge: github, tokenFile: /x}", "the source is no git repository"},
		{"source: {git: a@b:c}\ncommitStatus: {forge: gitbub, tokenFile: /x}", `"gitbub" is none of github, gitea, forgejo, gitlab: did you mean "github"?`},
		{"source: {git: a@b:c}\ncommitStatus: {forge: gitea}", "no file holds the token"},
		{"source: {git: a@b:c}\ncommitStatus: {token: hunter2}", `commitStatus.token: unknown field`},
	} {
		_, err := loadText(t, tt.text+"\n")
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", tt.text, err, tt.want)
		}
	}
}

// TestNotifyDocs reads every configuration that docs/notifications.md shows.
func TestNotifyDocs(t *testing.T) {
	page, err := os.ReadFile("../../../docs/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```yaml\n")[1:]
	for _, b := range blocks {
		text, _, _ := strings.Cut(b, "```")
		if _, err := loadText(t, text); err != nil {
			t.Errorf("%v, in:\n%s", err, text)
		}
	}
	if len(blocks) < 3 {
		t.Errorf("%d blocks", len(blocks))
	}
}
