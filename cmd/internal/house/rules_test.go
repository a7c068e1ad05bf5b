package house

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCheck shows that each rule finds what it is for, and lets pass what it should.
func TestCheck(t *testing.T) {
	tests := []struct {
		name string
		p    Package
		want string // a part of the only violation; empty for none
	}{
		{"codecs may use the standard library", Package{Path: "proxmox/property", Imports: []string{"fmt", "strings", "net/netip"}}, ""},
		{"codecs import nothing of ours", Package{Path: "proxmox/property", Imports: []string{"proxmox"}}, "imports proxmox: "},
		{"not even each other", Package{Path: "proxmox/calendar", Imports: []string{"proxmox/property"}}, "imports proxmox/property"},
		{"codecs import no other module", Package{Path: "proxmox/property", Imports: []string{"golang.org/x/text/cases"}}, "imports golang.org/x/text/cases"},
		{"but those that are known to be pure", Package{Path: "spec/setting", Imports: []string{"github.com/agext/levenshtein"}}, ""},
		{"proxmox uses the codecs", Package{Path: "proxmox", Imports: []string{"proxmox/property", "context", "net/http"}}, ""},
		{"proxmox knows no transport", Package{Path: "proxmox", Imports: []string{"proxmox/rest"}}, "imports proxmox/rest"},
		{"proxmox knows no spec", Package{Path: "proxmox", Imports: []string{"spec/setting"}}, "imports spec/setting"},

		{"rest uses the wire types", Package{Path: "proxmox/rest", Imports: []string{"proxmox", "proxmox/property", "net/http"}, Reaches: []string{"net/http", "os"}}, ""},
		{"rest does not know privileged", Package{Path: "proxmox/rest", Imports: []string{"proxmox/privileged"}}, "imports proxmox/privileged"},
		{"privileged does not know rest", Package{Path: "proxmox/privileged", Imports: []string{"proxmox/rest"}}, "imports proxmox/rest"},
		{"sim does not know rest", Package{Path: "proxmox/sim/internal/store", Imports: []string{"proxmox/rest"}}, "imports proxmox/rest"},
		{"rest knows no spec", Package{Path: "proxmox/rest", Imports: []string{"spec"}}, "imports spec"},
		{"rest runs no commands", Package{Path: "proxmox/rest", Reaches: []string{"net/http", "os/exec"}}, "reaches os/exec: whoever holds an API token"},
		{"the host runs commands", Package{Path: "proxmox/privileged/host", Imports: []string{"os/exec"}, Reaches: []string{"os/exec"}}, ""},
		{"the list runs none", Package{Path: "proxmox/privileged", Imports: []string{"os/exec"}}, "imports os/exec: this package is pure"},
		{"nor does the lane", Package{Path: "proxmox/privileged/lane", Imports: []string{"os/exec"}}, "imports os/exec: commands are run by"},
		{"the lane does not know the host", Package{Path: "proxmox/privileged/host", Imports: []string{"proxmox/privileged/lane"}}, "imports proxmox/privileged/lane"},
		{"the list knows no spec", Package{Path: "proxmox/privileged", Imports: []string{"spec/setting"}}, "imports spec/setting"},
		{"the simulator does not know the lane", Package{Path: "proxmox/sim", Imports: []string{"proxmox/privileged"}}, "imports proxmox/privileged"},
		{"nor is the host", Package{Path: "proxmox/privileged/host", Reaches: []string{"net/http"}}, "reaches net/http: whatever runs as root"},
		{"privileged is not on the network", Package{Path: "proxmox/privileged", Reaches: []string{"net/http"}}, "reaches net/http: whatever runs as root"},
		{"nobody else runs commands", Package{Path: "reconcile/execute", Imports: []string{"os/exec"}}, "imports os/exec: commands are run by"},
		{"nor does the helper", Package{Path: "proxmox/privileged/helper", Reaches: []string{"os/exec"}}, "reaches os/exec: what reads the bytes of others"},
		{"the helper has sockets and hands on to the lane", Package{Path: "proxmox/privileged/helper", Imports: []string{"net", "os", "proxmox/privileged/lane"}}, ""},
		{"the helper knows no node", Package{Path: "proxmox/privileged/helper", Imports: []string{"proxmox/privileged/host"}}, "imports proxmox/privileged/host: "},
		{"the helper is no server of the network", Package{Path: "proxmox/privileged/helper", Reaches: []string{"net/http"}}, "reaches net/http: whatever runs as root"},
		{"nor do verbs", Package{Path: "cmd/internal/app", Imports: []string{"os/exec"}}, "imports os/exec: commands are run by"},
		{"nor tests but those of cmd", Package{Path: "spec", TestImports: []string{"os/exec"}}, "imports in its tests os/exec"},
		{"tests of cmd run the program", Package{Path: "cmd/internal/app", TestImports: []string{"os/exec"}}, ""},

		{"the simulator is for cmd", Package{Path: "cmd/internal/app", Imports: []string{"proxmox/sim", "proxmox/conformance"}}, ""},
		{"the simulator is for tests", Package{Path: "reconcile/plan", TestImports: []string{"proxmox/sim"}}, ""},
		{"its jobs have schedules", Package{Path: "proxmox/sim", Imports: []string{"proxmox/calendar", "proxmox/property"}}, ""},
		{"sim may have parts", Package{Path: "proxmox/sim", Imports: []string{"proxmox/sim/internal/store"}}, ""},

		{"the table knows no spec", Package{Path: "spec/setting", Imports: []string{"spec"}}, "imports spec: "},
		{"spec does not load", Package{Path: "spec", Imports: []string{"spec/load"}}, "imports spec/load"},
		{"spec is not YAML", Package{Path: "reconcile/live", Imports: []string{"sigs.k8s.io/yaml"}}, "imports sigs.k8s.io/yaml: authors' YAML"},
		{"load is", Package{Path: "spec/load", Imports: []string{"sigs.k8s.io/yaml", "go.yaml.in/yaml/v3", "io/fs", "spec"}}, ""},
		{"so is the state of the simulator", Package{Path: "proxmox/sim", Imports: []string{"sigs.k8s.io/yaml"}}, ""},

		{"plan is pure: context", Package{Path: "reconcile/plan", Imports: []string{"context"}}, "imports context: this package is pure"},
		{"plan is pure: system", Package{Path: "reconcile/plan", Imports: []string{"os"}}, "imports os: "},
		{"plan is pure: network", Package{Path: "reconcile/plan", Imports: []string{"net"}}, "imports net: "},
		{"plan is pure: log", Package{Path: "reconcile/retention", Imports: []string{"log/slog"}}, "imports log/slog: "},
		{"plan is pure: syscall", Package{Path: "spec", Imports: []string{"syscall"}}, "imports syscall: "},
		{"plan is pure: chance", Package{Path: "reconcile/plan", Imports: []string{"math/rand/v2"}}, "imports math/rand/v2: "},
		{"plan is pure: clock", Package{Path: "reconcile/plan", Clock: []string{"plan.go:1: time.Now"}}, "uses the clock at plan.go:1: time.Now"},
		{"tests of plan need not be", Package{Path: "reconcile/plan", TestImports: []string{"os", "context", "log/slog"}}, ""},
		{"live may know the time", Package{Path: "reconcile/live", Clock: []string{"live.go:1: time.Now"}, Imports: []string{"context", "reconcile/plan"}}, ""},
		{"plan does not observe", Package{Path: "reconcile/plan", Imports: []string{"reconcile/live"}}, "imports reconcile/live"},
		{"live knows no transport", Package{Path: "reconcile/live", Imports: []string{"proxmox/rest"}}, "imports proxmox/rest"},
		{"execute does not observe", Package{Path: "reconcile/execute", Imports: []string{"reconcile/live"}}, "imports reconcile/live"},
		{"execute journals", Package{Path: "reconcile/execute", Imports: []string{"reconcile/journal", "reconcile/plan", "proxmox"}}, ""},
		{"sources know no Proxmox", Package{Path: "reconcile/source/git", Imports: []string{"proxmox"}}, "imports proxmox: "},
		{"sources are of one kind", Package{Path: "reconcile/source/git", Imports: []string{"reconcile/source"}}, ""},
		{"the loop knows its parts", Package{Path: "reconcile", Imports: []string{"reconcile/execute", "reconcile/source/git", "spec/load"}}, ""},
		{"nothing knows the loop", Package{Path: "reconcile/schedule", Imports: []string{"reconcile"}}, "imports reconcile: "},
		{"nothing knows cmd", Package{Path: "reconcile", Imports: []string{"cmd/internal/view"}}, "imports cmd/internal/view"},
		{"main is app", Package{Path: "cmd/tend", Imports: []string{"reconcile"}}, "imports reconcile: main is three lines"},
		{"tend is without its tools", Package{Path: "cmd/tend", Reaches: []string{"cmd/internal/gate"}}, "reaches cmd/internal/gate"},
		{"every place has a layer", Package{Path: "util"}, "stands in no layer"},
		{"the top is no place for code", Package{Path: "."}, "stands in no layer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Check([]Package{tt.p})
			if tt.want == "" {
				if len(got) > 0 {
					t.Errorf("want no violation, got %v", got)
				}
				return
			}
			if len(got) == 0 || !strings.Contains(got[0].String(), tt.want) {
				t.Errorf("want a violation with %q, got %v", tt.want, got)
			}
		})
	}
}

// TestSimBan stands apart: such an import violates the layer as well, so the table above cannot tell
// whether the ban itself finds it.
func TestSimBan(t *testing.T) {
	for _, path := range []string{"proxmox/rest", "reconcile", "spec/load"} {
		for _, imp := range []string{"proxmox/sim", "proxmox/conformance"} {
			p := Package{Path: path, Imports: []string{imp}}
			if len(checkBans(p, "imports", p.Imports, directBans())) != 1 {
				t.Errorf("%s may import %s", path, imp)
			}
		}
	}
}

// TestEveryLayerSaysWhy keeps the table readable.
func TestEveryLayerSaysWhy(t *testing.T) {
	for _, l := range layers() {
		if l.Why == "" && !matchAny(l.May, "anything") {
			t.Errorf("the layer of %s forbids without a reason", l.Place)
		}
	}
	for _, bans := range [][]Ban{directBans(), testBans(), reachBans()} {
		for _, b := range bans {
			if b.Why == "" {
				t.Errorf("the ban of %v has no reason", b.Banned)
			}
		}
	}
}

func parse(t *testing.T, path, text string) Source {
	t.Helper()
	s, err := Parse(path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestClock(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string
	}{
		{"values only", "package p\nimport \"time\"\nvar d = 2 * time.Second\nfunc f(t time.Time) time.Time { return t.Add(d) }\n", nil},
		{"now", "package p\nimport \"time\"\nvar t = time.Now()\n", []string{"p.go:3: time.Now"}},
		{"by another name", "package p\nimport clock \"time\"\nfunc f() { clock.Sleep(1) }\n", []string{"p.go:3: time.Sleep"}},
		{"as a value", "package p\nimport \"time\"\nvar now = time.Now\n", []string{"p.go:3: time.Now"}},
		{"dot import", "package p\nimport . \"time\"\nvar t = Now()\n", []string{"p.go: a dot import of time, which hides the clock"}},
		{"another Now", "package p\nimport \"example.test/x\"\nvar t = x.Now()\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, parse(t, "p.go", tt.text).Clock()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheckSizes(t *testing.T) {
	function := func(lines int) string {
		return "package p\n\nfunc (x *T[K]) f() {\n" + strings.Repeat("\t_ = 1\n", lines-2) + "}\n"
	}
	file := func(lines int) string { return "package p\n" + strings.Repeat("\n", lines-1) }
	tests := []struct {
		name, path, text string
		exempt           map[string]string
		want             []string
	}{
		{"at the limit", "p.go", function(80), nil, nil},
		{"over it", "p.go", function(81), nil, []string{"p.go:T.f has 81 lines, over 80"}},
		{"exempt", "p.go", function(81), map[string]string{"p.go:T.f": "a table"}, nil},
		{"exempt without need", "p.go", function(80), map[string]string{"p.go:T.f": "a table"}, []string{"p.go:T.f is exempt from the limits and keeps them: drop it from the list"}},
		{"a test", "p_test.go", function(81), nil, nil},
		{"file at the limit", "p.go", file(500), nil, nil},
		{"file over it", "p.go", file(501), nil, []string{"p.go has 501 lines, over 500"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := CheckSizes([]Source{parse(t, tt.path, tt.text)}, tt.exempt)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUndocumented(t *testing.T) {
	s := parse(t, "p.go", `package p

type Bare struct{}

// Told is told.
type Told struct{}

func (Told) Silent() {}

func (hidden) Silent() {}

// These are told together.
const (
	A = 1
	B = 2
)

var C, d = 3, 4
`)
	want := []string{"p.go:3: Bare", "p.go:8: Silent", "p.go:18: C"}
	if diff := cmp.Diff(want, s.Undocumented()); diff != "" {
		t.Error(diff)
	}
	if s.HasPackageComment() {
		t.Error("a package comment was found where there is none")
	}
}

func TestCheckWords(t *testing.T) {
	const up, abs = ".." + "/shared", "/" + "work/"
	tests := []struct {
		text string
		want int
	}{
		{"see " + up + "/pve for more", 1},
		{"a\nb\n" + abs + "main\n", 1},
		{"cd " + abs + "x; cd " + abs + "y", 1},
		{"the path (" + abs + "x)", 1},
		{"/srv" + abs + "x and a share at ../shareddata", 0},
		{"binary\x00" + up, 0},
	}
	for _, tt := range tests {
		if got := CheckWords("f", []byte(tt.text)); len(got) != tt.want {
			t.Errorf("CheckWords(%q) = %v, want %d", tt.text, got, tt.want)
		}
	}
}

// TestCheckDependencies shows what a page of dependencies must have.
func TestCheckDependencies(t *testing.T) {
	const page = `
| module | what it does here | passed over |
|---|---|---|
| example.test/a | this | that |
| example.test/b | this | |
| example.test/c | this | that |
`
	got := CheckDependencies([]string{"example.test/a", "example.test/b", "example.test/d"}, page)
	for i, want := range []string{"example.test/b has no reason", "example.test/d stands in go.mod and not", "example.test/c stands in docs"} {
		if len(got) != 3 || !strings.HasPrefix(got[i], want) {
			t.Errorf("got %q, want three, of which number %d begins with %q", got, i, want)
		}
	}
}
