package house

import (
	"fmt"
	"slices"
	"strings"
)

// A Package is what the rules look at. Paths within the module are relative to it ("proxmox/rest"), others
// are import paths.
type Package struct {
	Path        string
	Imports     []string // by its own files, tests left out
	TestImports []string // by its tests
	Reaches     []string // all that its own files need, directly or not
	Clock       []string // places where its own files use the clock: "file.go:12: time.Now"
}

// A Violation is one thing that a package does and may not do.
type Violation struct{ Package, What, Why string }

// String is a sentence with the reason.
func (v Violation) String() string {
	return fmt.Sprintf("%s %s: %s", v.Package, v.What, v.Why)
}

// A Layer says what the packages of a place may import of this module.
type Layer struct {
	Place string   // a path, or with /... all below it, too
	May   []string // paths or patterns; its own place always is
	Why   string
}

// layers lists every place of the module. A package that stands in none has no layer yet, which is a
// violation in itself: it must be thought of where it belongs.
func layers() []Layer {
	texts := []string{"proxmox/property", "proxmox/calendar", "proxmox/prune", "proxmox/secret"}
	wire := append([]string{"proxmox"}, texts...)
	settings := append([]string{"spec/setting/..."}, wire...)
	states := append([]string{"spec"}, settings...)
	saved := []string{"proxmox/conffile", "proxmox/pct"}
	pure := append([]string{"reconcile/plan/...", "reconcile/retention/...", "reconcile/permit", "proxmox/health"}, states...)
	return []Layer{
		{"proxmox/property", nil, "codecs know the form of texts and stand on the standard library alone"},
		{"proxmox/calendar", nil, "calendar events stand on the standard library alone"},
		{"proxmox/prune", nil, "retention is arithmetic on times and stands on the standard library alone"},
		{"proxmox/secret", nil, "a secret is masked alike whatever it opens, and stands on the standard library alone"},
		{"proxmox", texts, "the types and the client are for anyone's use, with any transport and without a spec"},
		{"proxmox/health", wire, "how well a disk is follows from what it says, whoever asked it, and knows no spec"},
		{"proxmox/conffile", wire, "a saved file is read by anyone, and knows no transport and no spec"},
		{"proxmox/pct", wire, "command lines are read by anyone, and know no transport and no spec"},
		{"proxmox/rest/...", wire, "a transport carries requests; it knows no other transport and no spec"},
		{"proxmox/privileged", append([]string{"proxmox/conffile"}, wire...), "the closed list knows neither who carries it out nor any spec"},
		{"proxmox/privileged/host", append([]string{"proxmox/privileged"}, wire...), "the node runs and writes what it is told to, and knows no sequence and no spec"},
		{"proxmox/privileged/helper", append([]string{"proxmox/privileged", "proxmox/privileged/lane"}, wire...), "the helper reads what others send and hands it on; it knows no node, no file of a container and no spec"},
		{"proxmox/privileged/...", append([]string{"proxmox/privileged", "proxmox/conffile"}, wire...), "the lane knows its backends by an interface; it knows no transport and no spec"},
		{"proxmox/sim/...", append([]string{"proxmox/conffile"}, wire...), "a transport carries requests; it knows no other transport and no spec"},
		{"proxmox/conformance/...", wire, "the contract of the transports belongs to none of them"},

		{"spec/setting/...", wire, "the table describes settings in Proxmox's terms and knows no spec"},
		{"spec", settings, "the spec is made of settings and knows nothing of files or of live state"},
		{"spec/load/...", states, "loading makes a spec and needs no live state"},
		{"spec/schema/...", states, "the schema is generated from the table"},
		{"spec/write/...", append(append([]string{"spec/load/..."}, saved...), states...), "writing is reading backwards: from what was found to files, with no live connection"},

		{"reconcile/plan/...", append([]string{"reconcile/retention", "proxmox/health"}, states...), "a plan follows from spec and live state alone, and names snapshots as retention knows them"},
		{"reconcile/permit", append([]string{"reconcile/plan"}, states...), "what may be done follows from the plan and the rules alone"},
		{"reconcile/retention/...", states, "what to keep follows from the policy and what is there alone"},
		{"reconcile/live/...", pure, "observing reads through the client, whatever its transport"},
		{"reconcile/journal/...", pure, "the journal records operations and carries none out"},
		{"reconcile/source/...", []string{"proxmox/secret"}, "a source brings files; it knows nothing of Proxmox or of what the files say"},
		{"reconcile/schedule/...", pure, "when to run does not depend on how"},
		{"reconcile/execute/...", append([]string{"reconcile/journal/..."}, pure...), "the executor walks a plan and decides nothing: it neither reads specs nor observes"},
		{"reconcile/snapshot/...", append([]string{"reconcile/journal/...", "reconcile/live"}, pure...), "the keeper of snapshots carries out what retention decides"},
		{"reconcile/backup/...", append([]string{"reconcile/journal/...", "reconcile/execute/...", "reconcile/live", "proxmox/conffile"}, pure...), "restores and drills are plans of their own, which the executor walks"},
		{"reconcile", append([]string{"reconcile/...", "spec/load/..."}, states...), "the loop takes its transports from its caller"},

		{"cmd/internal/gate", nil, "a tool of the people who build tend, no part of it"},
		{"cmd/internal/house", nil, "a tool of the people who build tend, no part of it"},
		{"cmd/tend", []string{"cmd/internal/..."}, "main is three lines; the program is cmd/internal/app"},
		{"cmd/...", []string{"..."}, ""},
		{"examples/...", nil, "examples are specs; only their tests are code"},
	}
}

// A Ban names imports that some packages must not have.
type Ban struct {
	Places []string // patterns of the packages it holds for
	Except []string // patterns of packages that are exempt
	Banned []string // patterns of import paths
	But    []string // patterns of import paths that Banned matches and that are fine
	Why    string
}

// purePlaces are the packages whose result follows from their arguments alone.
func purePlaces() []string {
	return []string{
		"proxmox/property", "proxmox/calendar", "proxmox/prune", "proxmox/secret", "proxmox/conffile", "proxmox/pct", "proxmox/privileged", "proxmox/health",
		"spec/setting/...", "spec", "spec/schema/...",
		"reconcile/plan/...", "reconcile/permit", "reconcile/retention/...",
	}
}

// pureLibraries are the packages of others that pure packages may import: functions of their arguments.
func pureLibraries() []string {
	return []string{
		"github.com/agext/levenshtein", // the distance of two strings, for the nearest valid name
	}
}

// yamlLibraries are the modules that read or write YAML.
func yamlLibraries() []string {
	return []string{
		"sigs.k8s.io/yaml/...", "go.yaml.in/yaml/...", "gopkg.in/yaml.v2", "gopkg.in/yaml.v3",
		"github.com/goccy/go-yaml/...", "github.com/ghodss/yaml",
	}
}

// directBans hold for what a package imports itself.
func directBans() []Ban {
	return []Ban{
		{
			Places: purePlaces(),
			Banned: []string{"context", "os/...", "io/ioutil", "net/...", "log/...", "syscall", "math/rand/...", "crypto/rand"},
			But:    []string{"net/netip", "net/url"},
			Why:    "this package is pure: it has no context, system, network, log or chance, so that its result can be tested over any input (net/netip and net/url only hold values)",
		},
		{
			Places: []string{"..."},
			Except: []string{"proxmox/privileged/host", "cmd/internal/gate"},
			Banned: []string{"os/exec"},
			Why:    "commands are run by proxmox/privileged/host alone, whose list of them is closed (cmd/internal/gate runs go for the Makefile and is no part of tend)",
		},
		{
			Places: []string{"..."},
			Except: []string{"spec/load/...", "spec/write/...", "proxmox/sim/...", "cmd/..."},
			Banned: yamlLibraries(),
			Why:    "authors' YAML is read by spec/load alone (spec/write finds the places in it that it edits, the simulator has its state file, cmd the configuration of the agent)",
		},
		{
			Places: []string{"..."},
			Except: []string{"cmd/...", "proxmox/sim/...", "proxmox/conformance/..."},
			Banned: []string{"proxmox/sim/...", "proxmox/conformance/..."},
			Why:    "the simulator and the conformance suite are for cmd and for tests: nothing may depend on which transport it has",
		},
	}
}

// testBans hold for what the tests of a package import.
func testBans() []Ban {
	return []Ban{{
		Places: []string{"..."},
		Except: []string{"proxmox/privileged/...", "cmd/..."},
		Banned: []string{"os/exec"},
		Why:    "tests of cmd run the program as a person would (and kill it), those of privileged its commands; all others call the code",
	}}
}

// reachBans hold for all that a package needs, other people's modules included.
func reachBans() []Ban {
	return []Ban{
		{
			Places: []string{"proxmox/rest/..."},
			Banned: []string{"os/exec"},
			Why:    "whoever holds an API token must not be able to run commands on the host",
		},
		{
			Places: []string{"proxmox/privileged/helper"},
			Banned: []string{"os/exec"},
			Why:    "what reads the bytes of others runs nothing itself: it hands typed requests to a lane that its caller gives it",
		},
		{
			Places: []string{"proxmox/privileged/..."},
			Banned: []string{"net/http/..."},
			Why:    "whatever runs as root must not be reachable over the network",
		},
		{
			Places: []string{"cmd/tend", "cmd/internal/app"},
			Banned: []string{"cmd/internal/gate", "cmd/internal/house"},
			Why:    "tools of the people who build tend are no part of it",
		},
	}
}

// Check holds packages against the layers and all bans and returns what violates them, by package.
func Check(packages []Package) []Violation {
	var out []Violation
	for _, p := range packages {
		out = append(out, checkLayer(p)...)
		out = append(out, checkOutside(p)...)
		out = append(out, checkBans(p, "imports", p.Imports, directBans())...)
		out = append(out, checkBans(p, "imports in its tests", p.TestImports, testBans())...)
		out = append(out, checkBans(p, "reaches", p.Reaches, reachBans())...)
		if matchAny(purePlaces(), p.Path) {
			for _, use := range p.Clock {
				out = append(out, Violation{p.Path, "uses the clock at " + use, "this package is pure: time is an argument"})
			}
		}
	}
	return out
}

// checkLayer finds imports of the module that a package's layer does not allow.
func checkLayer(p Package) []Violation {
	all := layers()
	i := slices.IndexFunc(all, func(l Layer) bool { return match(l.Place, p.Path) })
	if i < 0 {
		return []Violation{{p.Path, "stands in no layer", "find its layer and add it to the table in cmd/internal/house/layers.go"}}
	}
	layer := all[i]
	var out []Violation
	for _, imp := range p.Imports {
		if inModule(imp) && !match(layer.Place, imp) && !matchAny(layer.May, imp) {
			out = append(out, Violation{p.Path, "imports " + imp, layer.Why})
		}
	}
	return out
}

// checkOutside finds imports of other people's modules where there must be none.
func checkOutside(p Package) []Violation {
	if !matchAny(purePlaces(), p.Path) {
		return nil
	}
	var out []Violation
	for _, imp := range p.Imports {
		if first, _, _ := strings.Cut(imp, "/"); strings.Contains(first, ".") && !matchAny(pureLibraries(), imp) {
			out = append(out, Violation{p.Path, "imports " + imp, "this package is pure, and nothing says that what it imports is (if it is: pureLibraries in cmd/internal/house)"})
		}
	}
	return out
}

// checkBans finds banned packages among those that p imports or reaches.
func checkBans(p Package, verb string, imports []string, bans []Ban) []Violation {
	var out []Violation
	for _, b := range bans {
		if !matchAny(b.Places, p.Path) || matchAny(b.Except, p.Path) {
			continue
		}
		for _, imp := range imports {
			if matchAny(b.Banned, imp) && !matchAny(b.But, imp) {
				out = append(out, Violation{p.Path, verb + " " + imp, b.Why})
			}
		}
	}
	return out
}

// inModule reports whether an import path is one of this module, relative to it: nothing that can be
// imported from the standard library stands under these names.
func inModule(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return slices.Contains([]string{"cmd", "spec", "proxmox", "reconcile", "examples"}, first)
}

// match reports whether a path is the one that the pattern names: itself, or with /... anything below, too.
func match(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if root, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == root || strings.HasPrefix(path, root+"/")
	}
	return path == pattern
}

// matchAny reports whether one of the patterns matches.
func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, path) })
}
