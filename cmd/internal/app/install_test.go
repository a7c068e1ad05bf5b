package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/felhom/tend/cmd/internal/app"
	"github.com/felhom/tend/cmd/internal/install"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/sim"
)

// An accessNode has the access control of a node, as pveum shows and changes it, and systemd's list of units.
type accessNode struct {
	roles   map[string]string   // name → privileges, with commas
	tokens  map[string][]string // user → its tokens
	entries []map[string]string
	enabled []string
	ran     []string // what changed something
	fail    string   // a command that begins so ends badly
}

func (n *accessNode) Setup(_ context.Context, c privileged.Setup) (stdout, stderr []byte, exit int, err error) {
	line, argv := c.String(), c.Argv()
	if n.fail != "" && strings.HasPrefix(line, n.fail) {
		return nil, []byte("it does not want to\n"), 2, nil
	}
	if argv[0] == "/usr/bin/systemctl" {
		return n.systemctl(argv[1:])
	}
	rows := []map[string]string{}
	switch verb := strings.Join(argv[1:3], " "); verb {
	case "role list":
		for name, privs := range n.roles {
			rows = append(rows, map[string]string{"roleid": name, "privs": privs})
		}
	case "user list":
		for name := range n.tokens {
			rows = append(rows, map[string]string{"userid": name})
		}
	case "acl list":
		rows = n.entries
	default:
		if verb == "user token" && argv[3] == "list" {
			for _, id := range n.tokens[argv[4]] {
				rows = append(rows, map[string]string{"tokenid": id})
			}
			break
		}
		n.ran = append(n.ran, line)
		return n.change(verb, argv[3:]), nil, 0, nil
	}
	out, err := json.Marshal(rows)
	return out, nil, 0, err
}

func (n *accessNode) change(verb string, words []string) []byte {
	switch verb {
	case "role add", "role modify":
		n.roles[words[0]] = strings.ReplaceAll(words[2], " ", ",")
	case "user add":
		n.tokens[words[0]] = nil
	case "user token":
		if words[0] == "remove" {
			n.tokens[words[1]] = slices.DeleteFunc(n.tokens[words[1]], func(id string) bool { return id == words[2] })
			break
		}
		n.tokens[words[1]] = append(n.tokens[words[1]], words[2])
		return []byte(`{"full-tokenid":"tend@pve!apply","info":{"privsep":"1"},"value":"5a4db07e-0000-4000-8000-000000000001"}`)
	case "acl modify": // PATH --roles ROLE --users USER --tokens TOKEN
		for kind, who := range map[string]string{"user": words[4], "token": words[6]} {
			n.entries = append(n.entries, map[string]string{"path": words[0], "roleid": words[2], "type": kind, "ugid": who})
		}
	}
	return nil
}

func (n *accessNode) systemctl(words []string) (stdout, stderr []byte, exit int, err error) {
	unit := words[len(words)-1]
	if words[0] == "enable" {
		n.enabled, n.ran = append(n.enabled, unit), append(n.ran, "systemctl "+strings.Join(words, " "))
		return nil, nil, 0, nil
	}
	if slices.Contains(n.enabled, unit) {
		return []byte("enabled\n"), nil, 0, nil
	}
	return []byte("disabled\n"), nil, 1, nil
}

// An installing is a node on which tend is set up, with a simulated Proxmox behind it.
type installing struct {
	*site
	node *accessNode
	root string
}

func newInstalling(t *testing.T) installing {
	i := installing{newSite(t, sim.Options{}), &accessNode{roles: map[string]string{"Administrator": "Sys.Audit"}, tokens: map[string][]string{"root@pam": nil}}, t.TempDir()}
	if err := os.MkdirAll(filepath.Join(i.root, "etc/pve"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(i.root, "etc/pve/pve-root-ca.pem"), []byte("authority"), 0o600); err != nil {
		t.Fatal(err)
	}
	return i
}

// install runs the verb, at a terminal where there are answers.
func (i installing) install(answers string, args ...string) (code int, stdout, stderr string) {
	i.t.Helper()
	var out, errs bytes.Buffer
	code = app.Run(i.t.Context(), append([]string{"install"}, args...), app.Streams{
		In: strings.NewReader(answers), Out: &out, Err: &errs, InTerminal: answers != "", Width: 100,
		Env:     func(key string) string { return map[string]string{"HOME": i.root}[key] },
		Install: func() (install.Node, string) { return i.node, i.root },
	})
	return code, out.String(), errs.String()
}

func (i installing) files() []string {
	var out []string
	_ = filepath.WalkDir(filepath.Join(i.root, "etc/tend"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, e.Name())
		}
		return nil
	})
	return out
}

func (i installing) read(name string) string {
	i.t.Helper()
	text, err := os.ReadFile(filepath.Join(i.root, name))
	if err != nil {
		i.t.Fatal(err)
	}
	return string(text)
}

// connection are the flags that lead to the simulated node.
func (i installing) connection() []string {
	return []string{"--endpoint", i.env["TEND_ENDPOINT"], "--fingerprint", i.env["TEND_FINGERPRINT"]}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	i := newInstalling(t)
	spec := i.spec("cores: 4", "cores: 4")
	args := append([]string{"--source", spec, "--lane", "helper", "--enable"}, i.connection()...)

	code, out, errs := i.install("", append(args, "--dry-run")...)
	if code != 2 || len(i.node.ran) > 0 || len(i.files()) > 0 {
		t.Fatalf("a dry run ends with %d, ran %q and wrote %q\n%s%s", code, i.node.ran, i.files(), out, errs)
	}
	wants(t, out, "pveum role add TendGuests --privs", "pveum user add tend@pve", "pveum user token add tend@pve apply --privsep 1",
		"systemctl enable --now tend.service", "| tokenFile: /etc/tend/token", "| source:", "|   dir: ")
	if code, _, errs := i.install("", args...); code != 1 || len(i.node.ran) > 0 || !strings.Contains(errs, "give --yes") {
		t.Fatalf("without consent it ends with %d, ran %q\n%s", code, i.node.ran, errs)
	}

	code, out, errs = i.install("", append(args, "--yes")...)
	if code != 3 { // the simulated systemd starts no helper, and doctor says so
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	wants(t, out, "the API answers", "and knows the token", "tend helper is unreachable")
	if got := i.read("etc/tend/token"); got != "tend@pve!apply=5a4db07e-0000-4000-8000-000000000001\n" {
		t.Errorf("the token's file says %q", got)
	}
	if info, err := os.Stat(filepath.Join(i.root, "etc/tend/token")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info.Mode(), err)
	}
	if strings.Contains(out+errs, "5a4db07e") {
		t.Error("the secret is shown")
	}
	if want := []string{"tend-helper.socket", "tend.service"}; !slices.Equal(i.node.enabled, want) {
		t.Errorf("enabled: %q", i.node.enabled)
	}

	before := len(i.node.ran)
	code, out, errs = i.install("", append(args, "--yes")...)
	if code != 0 || len(i.node.ran) != before {
		t.Errorf("the second run ends with %d and ran %q\n%s%s", code, i.node.ran[before:], out, errs)
	}
	wants(t, out, "Nothing to do", "configuration /etc/tend/tend.yaml: is there")

	i.node.roles["TendGuests"] += ",Sys.Modify" // by hand
	code, out, _ = i.install("", append(args, "--yes", "--no-doctor")...)
	if code != 0 || len(i.node.ran) != before+1 || !strings.HasPrefix(i.node.ran[before], "pveum role modify TendGuests") {
		t.Errorf("a role that was widened: exit code %d, ran %q\n%s", code, i.node.ran[before:], out)
	}
}

func TestInstallAsks(t *testing.T) {
	t.Parallel()
	i := newInstalling(t)
	code, out, errs := i.install("https://git.example.com/anna/home.git\n\n\nhelper\nn\nn\n")
	if code != 2 || len(i.node.ran) > 0 || len(i.files()) > 0 {
		t.Fatalf("a no ends with %d, ran %q and wrote %q\n%s%s", code, i.node.ran, i.files(), out, errs)
	}
	code, out, errs = i.install("https://git.example.com/anna/home.git\n\n\nhelper\nn\ny\n", "--no-doctor")
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, out, errs)
	}
	wants(t, errs, "Where do specs come from", "Which branch? [main]", "Do this? [y/N]")
	want := `# Written by tend install. /usr/share/doc/tend/examples/config/tend.yaml shows what else there is.
endpoint: localhost
caFile: /etc/tend/pve-root-ca.pem
tokenFile: /etc/tend/token
lane: helper
logLevel: info
source:
  git: "https://git.example.com/anna/home.git"
  branch: main
`
	if got := i.read("etc/tend/tend.yaml"); got != want {
		t.Errorf("got\n%s", got)
	}
	if i.read("etc/tend/pve-root-ca.pem") != "authority" || len(i.node.enabled) > 0 {
		t.Errorf("the authority was not copied, or %q enabled without a yes", i.node.enabled)
	}
	wants(t, i.node.roles["Tend"], "VM.Snapshot.Rollback")
}

// TestInstallGoesOn holds that what went wrong half way is gone on with, and that a lost secret is told.
func TestInstallGoesOn(t *testing.T) {
	t.Parallel()
	i := newInstalling(t)
	args := []string{"--source", "/etc/tend/spec", "--yes", "--no-doctor"}
	i.node.fail = "pveum acl modify"
	code, _, errs := i.install("", args...)
	if code != 1 || !strings.Contains(errs, "it does not want to") {
		t.Fatalf("exit code %d\n%s", code, errs)
	}
	i.node.fail = ""
	before := len(i.node.ran)
	if code, out, errs := i.install("", args...); code != 0 || len(i.node.ran) != before+1 {
		t.Fatalf("exit code %d, ran %q\n%s%s", code, i.node.ran[before:], out, errs)
	}
	if err := os.Remove(filepath.Join(i.root, "etc/tend/token")); err != nil {
		t.Fatal(err)
	}
	code, _, errs = i.install("", args...)
	if code != 1 || !strings.Contains(errs, "--renew-token") {
		t.Errorf("a lost secret: exit code %d\n%s", code, errs)
	}
	if code, out, errs := i.install("", append(args, "--renew-token")...); code != 0 || !slices.Contains(i.node.ran, "pveum user token remove tend@pve apply") {
		t.Errorf("a new token: exit code %d, ran %q\n%s%s", code, i.node.ran, out, errs)
	}
	i.read("etc/tend/token")
}

func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no source", nil, "--source"},
		{"a folder that the agent does not see", []string{"--source", "/root/spec"}, "does not see /root"},
		{"lane direct", []string{"--source", "/x", "--lane", "direct"}, "none of off, helper"},
		{"root as the user", []string{"--source", "/x", "--user", "root@pam"}, "no user of the realm pve"},
		{"an option as the token", []string{"--source", "/x", "--token-name=-x"}, "no name of a token"},
		{"no spec there", []string{"--source", "/x", "--spec", "/nonexistent"}, "/nonexistent"},
	} {
		i := newInstalling(t)
		code, out, errs := i.install("", append(tt.args, "--yes")...)
		if code != 1 || !strings.Contains(errs, tt.want) || len(i.node.ran) > 0 || len(i.files()) > 0 {
			t.Errorf("%s: exit code %d, ran %q\n%s%s", tt.name, code, i.node.ran, out, errs)
		}
	}
}
