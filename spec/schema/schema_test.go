package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/schema"
	"github.com/felhom/tend/spec/setting"
)

var update = flag.Bool("update", false, "write the generated files anew")

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := schema.JSON()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("tend.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("tend.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validate holds a YAML text against the schema.
func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	j, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(j))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestSchemaAcceptsGood(t *testing.T) {
	s := compile(t)
	names, err := filepath.Glob("../../testdata/spec/good/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSchemaOnBad holds the schema to what each archive says that it can see.
func TestSchemaOnBad(t *testing.T) {
	s := compile(t)
	names, err := filepath.Glob("../../testdata/spec/bad/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, verdict, found := strings.Cut(string(a.Comment), "schema: ")
		switch verdict = strings.TrimSpace(verdict); {
		case !found:
			t.Errorf("%s does not say what the schema makes of it", name)
		case verdict == "rejects":
			if validate(t, s, a.Files[0].Data) == nil {
				t.Errorf("%s: the schema accepts it", name)
			}
		case verdict == "accepts":
			if err := validate(t, s, a.Files[0].Data); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case verdict != "skip":
			t.Errorf("%s: unknown verdict %q", name, verdict)
		}
	}
}

// TestSchemaRejects breaks one thing at a time, so that each rule is seen to work alone.
func TestSchemaRejects(t *testing.T) {
	s := compile(t)
	for _, text := range []string{
		"x: 1",
		"containers: []",
		"containers: {web: {node: a}}",
		"containers: {web: }",
		"containers: {a_b: {id: 100}}",
		"containers: {web: {id: 99}}",
		"containers: {web: {id: '100'}}",
		"containers: {web: {id: 100, memory: 4}}",
		"containers: {web: {id: 100, memory: 4GB}}",
		"containers: {web: {id: 100, cores: 0}}",
		"containers: {web: {id: 100, corse: 1}}",
		"containers: {web: {id: 100, network: {eth0: {vlan: 5000}}}}",
		"containers: {web: {id: 100, network: {eth0: {x: 1}}}}",
		"containers: {web: {id: 100, mounts: {/a: {hostMount: '-usb'}}}}",
		"containers: {web: {id: 100, mounts: {/a: {hostPath: /a, keepSnapshots: 1}}}}",
		"hostMounts: {usb: {node: pve1, device: UUID=1}}",
		"hostMounts: {'-': {node: pve1, device: UUID=1, path: /mnt/a}}",
		"snippets: {a: {file: a}}",
		"snippets: {a: {storage: local, file: a, as: .hidden}}",
		"containers: {web: {id: 100, state: up}}",
		"containers: {web: {id: 100, console: {mode: x}}}",
		"containers: {web: {id: 100, features: {nesting: 1}}}",
		"containers: {web: {id: 100, from: {image: 'x:y'}}}",
		"containers: {web: {id: 100, pool: 'a b'}}",
		"containers: {web: {id: 100, lifecycle: {recreate: perhaps}}}",
		"defaults: {id: 100}",
		"profiles: {x: {hostname: y}}",
		"cluster: {owner: -x}",
		"templates: []",
		"templates: {a: {appliance: debian-13-standard}}",
		"templates: {a: {storage: local, url: 'ftp://x'}}",
		"templates: {'a:b': {storage: local}}",
		"backupJobs: {a: {storage: local}}",
		"backupJobs: {a: {storage: local, schedule: daily, keep: {dayly: 1}}}",
		"backupJobs: {a: {storage: local, schedule: daily, select: {ids: [99]}}}",
		"snapshotPolicies: []",
		"snapshotPolicies: {a: {schedule: 5}}",
		"snapshotPolicies: {a: {keep: {all: true}}}",
		"snapshotPolicies: {a: {policy: b}}",
		"snapshotPolicies: {a: {dst: summer}}",
		"containers: {web: {id: 100, snapshots: 'a b'}}",
		"containers: {web: {id: 100, snapshots: {keep: {dayly: 7}}}}",
		"containers: {web: {id: 100, snapshots: {whenUnused: drop}}}",
		"defaults: {snapshotHolds: [ab]}",
	} {
		if validate(t, s, []byte(text)) == nil {
			t.Errorf("accepts %s", text)
		}
	}
}

// TestSchemaPatterns keeps to what editors understand too: regular expressions of ECMAScript have no flags
// within.
func TestSchemaPatterns(t *testing.T) {
	text, err := schema.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if p, ok := v["pattern"].(string); ok && (strings.Contains(p, "(?") && !strings.Contains(p, "(?:") || strings.Contains(p, `\z`) || strings.Contains(p, "[[:")) {
				t.Errorf("pattern %s is Go's own", p)
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	walk(v)
}

// TestExamples shows that the example of each field loads and is accepted by the schema.
func TestExamples(t *testing.T) {
	s := compile(t)
	for _, f := range schema.Root().All() {
		if f.Example == "" {
			if len(f.Children) == 0 {
				t.Errorf("%s has no example", f.Path)
			}
			continue
		}
		text := document(f)
		if err := validate(t, s, []byte(text)); err != nil {
			t.Errorf("%s: schema: %v", f.Path, err)
		}
		if _, err := load.Load(os.DirFS(write(t, text)), load.Options{}); err != nil && !allowed(err) {
			t.Errorf("%s: %v\n%s", f.Path, err, text)
		}
	}
}

// document is a spec with a field and the little else that it needs.
func document(f *schema.Field) string {
	text, rest := f.Name+": "+f.Example, strings.Split(f.Path, ".")
	rest = rest[:len(rest)-1]
	for len(rest) > 0 {
		name := rest[len(rest)-1]
		rest = rest[:len(rest)-1]
		switch {
		case name == "containers":
			if f.Path != "containers.id" {
				text += ", id: 100"
			}
			if f.Path != "containers.node" {
				text += ", node: pve1"
			}
			text = "web: {" + text + "}"
		case name == "templates":
			if f.Name != "storage" {
				text += ", storage: local"
			}
			text = "debian-13: {" + text + "}"
		case name == "backupJobs":
			text = "weekly: {" + with(f, text, "schedule: daily", "storage: local") + "}"
		case name == "hostMounts":
			text = "usb: {" + with(f, text, "node: pve1", "device: UUID=1", "path: /mnt/usb") + "}"
		case name == "snippets":
			text = "hook: {" + with(f, text, "storage: local", "file: hook.sh") + "}"
		case name == "snapshotPolicies":
			if f.Name != "schedule" {
				text += ", schedule: daily"
			}
			if !strings.Contains(f.Path, "keep") {
				text += ", keep: {last: 30}"
			}
			text = "nightly: {" + text + "}"
		case name == "profiles":
			text = "docker: {" + text + "}"
		case name == "mounts":
			text = "/data: {" + text + "}"
		case name == "network":
			text = "eth0: {" + text + "}"
		case name == "devices":
			text = "/dev/null: {" + text + "}"
		}
		text = name + ": {" + text + "}"
	}
	if !strings.HasPrefix(text, "containers") {
		text += "\ncontainers: {}"
	}
	return text + "\n"
}

// with adds what a field needs beside it.
func with(f *schema.Field, text string, needs ...string) string {
	for _, need := range needs {
		if !strings.HasPrefix(need, f.Name+":") {
			text += ", " + need
		}
	}
	return text
}

// allowed reports faults that follow from a field standing alone: a mount without a source, a gateway
// without an address, an unknown profile.
func allowed(err error) bool {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		ok := false
		for _, part := range []string{
			"has no source", "stands without an address", "there is no profile", "size: is missing", "storage: is missing", "means nothing", "clone.id: is missing", "there is no container", "backupTo: is missing",
			"there is no snapshot policy", "schedule: is missing", "keep: keeps nothing", "means nothing without a command",
			"goes with url alone", "does not go without a bridge", "checksum: is missing", "select: is missing", "goes with all", "all: selects nothing",
			"there is no host mount", "write hostMount, or the whole path", "there is no file",
		} {
			ok = ok || strings.Contains(line, part)
		}
		if !ok {
			return false
		}
	}
	return true
}

func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestGenerated keeps the pages in docs what they would be if written now.
func TestGenerated(t *testing.T) {
	text, err := schema.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"tend.schema.json": string(text), "reference.md": schema.Reference()} {
		path := filepath.Join("../../docs", name)
		if *update {
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(have)); diff != "" {
			t.Errorf("%s is not up to date (-want +have); run go test ./spec/schema -update:\n%s", name, diff)
		}
	}
}

func TestReferenceNamesEveryField(t *testing.T) {
	page := schema.Reference()
	var fields []*schema.Field
	for _, head := range []string{"containers", "templates", "snapshotPolicies", "backupJobs"} {
		fields = append(fields, schema.Root().Find(head).All()[1:]...)
	}
	for _, f := range fields {
		if !strings.Contains(page, "| `"+f.Name+"` |") {
			t.Errorf("%s is not in the reference", f.Path)
		}
	}
	for line := range strings.SplitSeq(page, "\n") {
		if strings.HasPrefix(line, "| `") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 7 &&
			strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 5 {
			t.Errorf("broken row: %s", line)
		}
	}
}

func TestExplain(t *testing.T) {
	tests := []struct{ path, want string }{
		{"containers.network.vlan", `containers.network.vlan
  VLAN that the interface is in. Absent: none.

  type      whole number, 1 to 4094
  change    link flap (of a running container)
  by        an API token
  Proxmox   net[n]: tag
  example   vlan: 30
`},
		{"features.keyctl", `containers.features.keyctl
  Allow the keyctl system call in an unprivileged container, as Docker needs.

  type      true or false
  absent    false
  change    restart (of a running container)
  by        root@pam alone, no API token
  Proxmox   features: keyctl
  example   keyctl: true
`},
		{"cluster.owner", `cluster.owner
  Tag that is put on each container of this spec. Containers without it are
  never touched.

  type      tag (letters, digits, _ - + .)
  absent    tend
  example   owner: tend
`},
		{"containers.dns", `containers.dns
  How names are looked up. Where both fields are absent, as the node does.

  type      mapping
  example   dns: {servers: [192.168.1.1], search: home.lan}

  Fields:
    servers  DNS servers
    search   Domains in which short names are looked up
`},
		{"mounts.readOnly", `containers.mounts.readOnly
  Mount read-only.

  type      true or false
  absent    false
  change    restart (of a running container)
  by        an API token
  Proxmox   mp[n]: ro
  example   readOnly: true
`},
	}
	for _, tt := range tests {
		got, err := schema.Explain(tt.path, 80)
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.path, diff)
		}
	}
}

// TestExplainAll explains every field at every width that a terminal may have.
func TestExplainAll(t *testing.T) {
	for _, f := range schema.Root().All() {
		for _, width := range []int{0, 40, 60, 120} {
			text, err := schema.Explain(f.Path, width)
			if err != nil {
				t.Fatalf("%s: %v", f.Path, err)
			}
			for line := range strings.SplitSeq(text, "\n") {
				if n := utf8.RuneCountInString(line); width > 0 && n > width && strings.Contains(strings.TrimSpace(line[min(12, len(line)):]), " ") && !strings.Contains(line, "example") {
					t.Errorf("%s at %d: line of %d: %q", f.Path, width, n, line)
				}
			}
		}
	}
}

func TestExplainErrors(t *testing.T) {
	for path, want := range map[string]string{
		"containers.network.vlna": "there is no field containers.network.vlna: did you mean containers.network.vlan?",
		"memroy":                  "there is no field memroy: did you mean memory?",
		"init.password.age":       spec.ErrLater.Error(),
	} {
		text, err := schema.Explain(path, 80)
		if err == nil || !strings.Contains(err.Error(), want) || text != "" {
			t.Errorf("%s: got %q, %v; want %q", path, text, err, want)
		}
	}
}

// TestNames explains what errors name: a path with the names of containers, mounts and the like.
func TestNames(t *testing.T) {
	for path, want := range map[string]string{
		"containers.web.network.eth0.ipv4":              "containers.network.ipv4",
		"network.eth0.ipv4":                             "containers.network.ipv4",
		"network.eth0":                                  "containers.network",
		"profiles.docker.features.nesting":              "profiles.features.nesting",
		"defaults.mounts./srv/a.b.size":                 "defaults.mounts.size",
		"mounts./srv/a.b":                               "containers.mounts",
		"containers.web.mounts./var/lib/x.onRemove":     "containers.mounts.onRemove",
		"containers.web.devices./dev/dri/card0.gid":     "containers.devices.gid",
		"containers.network.network.eth0.vlan":          "containers.network.vlan", // a container of that name
		"containers.web.tags.0":                         "containers.tags",
		"containers.web.env.DB_PASSWORD":                "containers.env",
		"containers.web.lxc.3":                          "containers.lxc",
		"containers.web":                                "containers",
		"containers.web_1":                              "containers",
		"backupJobs.weekly.keep.daily":                  "backupJobs.keep.daily",
		"snapshotPolicies.nightly.hooks.before.command": "snapshotPolicies.hooks.before.command",
		"containers.web.snapshots.keep.daily":           "containers.snapshots.keep.daily",
		"containers.web.init.sshKeys.1":                 "containers.init.sshKeys",
		"cluster.nodes.0":                               "cluster.nodes",
		"containers.network.eth0.vlna":                  "",
		"network.eth0.ipv":                              "",
		"network.vlna":                                  "",
		"containers.memroy":                             "",
		"containers.web.memory.size":                    "",
		"web.memory":                                    "",
		"frobnicate":                                    "",
		"containers.web.mounts./srv.":                   "containers.mounts",
		"containers..":                                  "",
		".":                                             "",
		"containers.web.network.eth0.trunks.0.anymore":  "",
	} {
		got := ""
		if f := schema.Root().Find(path); f != nil {
			got = f.Path
		}
		if got != want {
			t.Errorf("%s: found %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"containers.web.init.password.age"} {
		if _, err := schema.Explain(path, 80); !errors.Is(err, spec.ErrLater) {
			t.Errorf("%s: the error is %v", path, err)
		}
	}
}

// TestRules holds what is explained of parts against the rules of the table.
func TestRules(t *testing.T) {
	root := schema.Root()
	for path, want := range map[string][2]string{
		"memory": {"online", "token"}, "arch": {"restart", "token"}, "unprivileged": {"recreate", "token"},
		"rootfs.size": {"online", "token"}, "mounts.size": {"online", "token"}, "mounts.quota": {"restart", "token"},
		"mounts.replicate": {"restart", "token"}, "mounts.hostPath": {"restart", "root"}, "mounts.hostMount": {"restart", "root"},
		"mounts.path": {"restart", "root"}, "mounts.keepSnapshots": {"restart: raw lines are written while the container is stopped", "root"}, "network.bridge": {"link flap", "token"},
		"network.ipv4": {"online", "token"}, "network.mtu": {"online; MTU in force from the next start", "token"},
		"features.nesting": {"restart", "token"}, "features.fuse": {"restart", "root"}, "devices.gid": {"restart", "root"},
		"hookScript": {"online", "root"},
	} {
		f := root.Find(path)
		if f == nil {
			t.Errorf("no field %s", path)
			continue
		}
		if got := [2]string{f.Running, f.Lane}; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	if setting.Container.Row("mounts") == nil || root.Find("mounts").PVE != "mp[n]" {
		t.Error("mounts are not mp[n]")
	}
}

// TestEveryFieldIsExplained holds each field to what a stranger needs: a sentence that ends, a type, and numbers
// as people write them.
func TestEveryFieldIsExplained(t *testing.T) {
	for _, f := range schema.Root().All() {
		switch {
		case !strings.HasSuffix(f.Doc, ".") || f.Type == "":
			t.Errorf("%s is not explained: %q, type %q", f.Path, f.Doc, f.Type)
		case strings.Contains(f.Type+f.Default, "e+"):
			t.Errorf("%s has a number that nobody writes: %s, %s", f.Path, f.Type, f.Default)
		case len(f.Children) > 0 && f.Example == "" && f.Path != "" && f.Path != "containers":
			t.Errorf("%s is a group without an example", f.Path)
		}
	}
	text, err := schema.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte(`"description": ""`)) {
		t.Error("the schema has an empty description")
	}
}
