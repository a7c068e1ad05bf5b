package config_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/reconcile/permit"
)

func agentOf(t *testing.T, text string) (config.Agent, error) {
	t.Helper()
	c, err := config.Load(config.Sources{Env: env("HOME", "/home/me"), File: write(t, "tend.yaml", text)})
	if err != nil {
		return config.Agent{}, err
	}
	return c.Agent, nil
}

func TestAgent(t *testing.T) {
	a, err := agentOf(t, `
endpoint: pve1
source:
  git: https://git.example.com/anna/home.git
  branch: main
  path: lxc
  auth: {user: tend, passwordFile: /etc/tend/git}
  signers: {allowedSignersFile: /etc/tend/allowed_signers, signed: commit}
  timeout: 90s
interval: 2m
mode: watch
modes: {101: reconcile, 102: "off", 103: off}
prune: {enabled: true, max: 2, grace: 7d12h}
recovery: auto
windows:
  - {schedule: "sun 03:00", duration: 2h}
outsideWindows: online
timeZone: Europe/Vienna
budget: {restartsPerDay: 3, destroysPerRun: 0}
web: {listen: "[::1]:8099", hosts: [tend.lan]}
`)
	if err != nil {
		t.Fatal(err)
	}
	if a.Source.Branch != "main" || a.Source.Timeout != config.Duration(90*time.Second) || a.Interval != config.Duration(2*time.Minute) {
		t.Errorf("source %+v, interval %v", a.Source, a.Interval)
	}
	if a.Mode != permit.Watch || a.Modes[101] != permit.Reconcile || a.Modes[102] != permit.Off || a.Modes[103] != permit.Off {
		t.Errorf("mode %q, modes %v", a.Mode, a.Modes)
	}
	if want := (permit.Budget{RestartsPerRun: -1, RestartsPerDay: 3, DestroysPerRun: 0, DestroysPerDay: -1}); a.Budget.Permit() != want {
		t.Errorf("budget %+v", a.Budget.Permit())
	}
	if a.Prune.Grace != config.Duration(180*time.Hour) || a.TimeZone.String() != "Europe/Vienna" || a.Windows[0].Schedule.String() != "sun 03:00" {
		t.Errorf("prune %+v, zone %v, windows %v", a.Prune, a.TimeZone, a.Windows)
	}
}

// A file's faults are told with their places, each with what to write.
func TestAgentFaults(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown", "sorce: {dir: /srv}\n", `tend.yaml:1:1: sorce: unknown field: did you mean "source"?`},
		{"unknown below", "source:\n  dir: /srv\n  brnch: main\n", `tend.yaml:3:3: source.brnch: unknown field: did you mean "branch"?`},
		{"unknown in a list", "windows:\n- {schedule: daily, lasts: 2h}\n", "tend.yaml:2:21: windows[0].lasts: unknown field: the fields are schedule, duration"},
		{"twice", "web: {listen: off, listen: off}\n", "tend.yaml:1:20: web.listen: is written twice"},
		{"no mapping", "source: /srv\n", "tend.yaml:1:9: source is not a mapping of fields: they are dir, git"},
		{"null", "interval:\n", "tend.yaml:1:1: interval: has no value"},
		{"time", "interval: soon\n", `tend.yaml:1:11: "soon" is no time: write 90s, 5m, 26h or 7d`},
		{"short", "interval: 1s\n", "tend.yaml:1:1: interval: is less than 5s"},
		{"schedule", "windows:\n- {schedule: sun at three, duration: 2h}\n", "tend.yaml:2:14: "},
		{"no duration", "windows:\n- {schedule: sun 03:00}\n", "tend.yaml:1:1: windows: window 1 has no duration"},
		{"zone", "timeZone: Vienna\n", `"Vienna" is no time zone: write it as Europe/Vienna`},
		{"mode", "mode: wathc\n", `mode: "wathc" is none of reconcile, watch, ensure, off`},
		{"VMID", "modes: {12: off}\n", "modes: 12 is no VMID"},
		{"no number as a VMID", "modes:\n  101: watch\n  abc: watch\n", `tend.yaml:3:3: modes: "abc" is no VMID: they are numbers, and begin at 100`},
		{"the second of three modes", "modes:\n  web: watch\n  101: wathc\n  99: watch\n", "tend.yaml:3:8: modes: 101: \"wathc\" is none of reconcile, watch, ensure, off\n"},
		{"the third of three modes", "modes:\n  web: watch\n  101: wathc\n  99: watch\n", "tend.yaml:4:3: modes: 99 is no VMID: they are numbers, and begin at 100"},
		{"a mode twice", "modes: {101: watch, 101: ensure}\n", "tend.yaml:1:21: modes: 101: is written twice"},
		{"a mode of several", "modes: {101: {dir: watch}}\n", "tend.yaml:1:14: modes: 101: a mapping is none of reconcile"},
		{"a VMID of several", "modes: {[a]: watch}\n", "tend.yaml:1:9: modes: a list is no VMID"},
		{"modes as one", "modes: watch\n", "tend.yaml:1:8: modes: is no mapping: write a mode by VMID, as in {101: watch}"},
		{"number", "parallel: many\n", `tend.yaml:1:1: "many" is no number`},
		{"truth", "dryRun: perhaps\n", `"perhaps" is no true or false`},
		{"two sources", "source: {dir: /srv, git: /srv/a.git}\n", "source: is a folder (dir) or a repository (git), not both"},
		{"no source", "source: {branch: main}\n", "source: names neither dir nor git"},
		{"refs", "source: {git: /srv/a.git, branch: main, tag: v1}\n", "branch, tag and semver say the same thing"},
		{"dir alone", "source: {dir: /srv, branch: main}\n", "dir stands alone"},
		{"prune", "prune: {max: 3}\n", "prune: is off: write enabled: true"},
		{"budget", "budget: {restartsPerDay: -1}\n", "budget: -1 is less than 0"},
		{"recovery", "recovery: automatic\n", `"automatic" is none of ask, auto`},
		{"outside", "outsideWindows: online\n", "there are no windows"},
		{"listen", "web: {listen: everywhere}\n", `"everywhere" is no address: write it as 127.0.0.1:8099, or off`},
		{"TLS", "web: {certFile: a.pem}\n", "certFile and keyFile go together"},
		{"all at once", "interval: soon\nparallel: 77\nrecovery: no\n", "tend.yaml:1:11: \"soon\" is no time: write 90s, 5m, 26h or 7d\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := agentOf(t, tc.text)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v\nwant …%s…", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), "config.") {
				t.Errorf("speaks of Go's types: %v", err)
			}
		})
	}
}

// Every field is told of in the agent's page of the documentation.
func TestDocumented(t *testing.T) {
	var text string
	for _, page := range []string{"agent", "notifications"} {
		data, err := os.ReadFile("../../../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		text += string(data)
	}
	for _, name := range config.AgentFields() {
		if !strings.Contains(text, name) {
			t.Errorf("docs/agent.md does not tell of %s", name)
		}
	}
}
