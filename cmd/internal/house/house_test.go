package house

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/felhom/tend"

// long names what may be longer than the limits, and why.
func long() map[string]string {
	return map[string]string{}
}

// root is the top of the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// walk calls do with the text of every file of the repository but those that .gitignore leaves out, and .git, which
// is a folder in a clone and a file in a further work tree.
// It reads through os, so that go test knows what the result depends on and runs anew when it changed.
func walk(t *testing.T, do func(path string, text []byte)) {
	t.Helper()
	top := root(t)
	left := []string{".git", "bin", "dist", ".tend"}
	scratch := []string{".test", ".out", ".prof"}
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, path)
		switch {
		case d.IsDir() && slices.Contains(left, rel):
			return fs.SkipDir
		case !d.Type().IsRegular() || slices.Contains(left, rel) || slices.Contains(scratch, filepath.Ext(rel)):
			return nil
		}
		text, err := os.ReadFile(path)
		if err == nil {
			do(filepath.ToSlash(rel), text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sources parses every Go file of the repository.
func sources(t *testing.T) []Source {
	t.Helper()
	var out []Source
	walk(t, func(path string, text []byte) {
		if !strings.HasSuffix(path, ".go") || strings.Contains(path, "testdata/") {
			return
		}
		s, err := Parse(path, text)
		if err != nil {
			t.Error(err)
			return
		}
		out = append(out, s)
	})
	return out
}

// listPackages asks go list for the packages of the module as they are built for a host: Linux, no cgo. Flags are
// more of go list's.
func listPackages(t *testing.T, flags ...string) []Package {
	t.Helper()
	args := append([]string{"list", "-e", "-json=ImportPath,GoFiles,Imports,TestImports,XTestImports,Deps,Error"}, flags...)
	cmd := exec.Command("go", append(args, "./...")...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	clock := make(map[string][]string)
	for _, s := range sources(t) {
		if !s.IsTest() {
			dir := filepath.ToSlash(filepath.Dir(s.Path))
			clock[dir] = append(clock[dir], s.Clock()...)
		}
	}
	var packages []Package
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p struct {
			ImportPath                               string
			Imports, TestImports, XTestImports, Deps []string
			Error                                    *struct{ Err string }
		}
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.Error != nil {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		path := relative(p.ImportPath)
		packages = append(packages, Package{
			Path:        path,
			Imports:     relativeAll(p.Imports),
			TestImports: relativeAll(slices.Concat(p.TestImports, p.XTestImports)),
			Reaches:     relativeAll(p.Deps),
			Clock:       clock[path],
		})
	}
	return packages
}

// relative shortens an import path of the module.
func relative(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

func relativeAll(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = relative(p)
	}
	return out
}

// TestLayers holds every package against "Who may import whom" and the fence of docs/architecture.md.
func TestLayers(t *testing.T) {
	packages := listPackages(t)
	if len(packages) == 0 {
		t.Fatal("no package found")
	}
	for _, v := range Check(packages) {
		t.Error(v)
	}
}

// TestFence adds imports that must not be to the real packages, as a person would, and looks whether TestLayers would
// fail: the fence is worth what it catches.
func TestFence(t *testing.T) {
	added := map[string]string{ // package that gets the import → import
		"proxmox/rest":              "os/exec",
		"proxmox":                   "os/exec", // rest stands on it
		"reconcile/execute":         "os/exec",
		"cmd/internal/app":          "os/exec",
		"proxmox/privileged":        "net/http",
		"proxmox/privileged/lane":   "net/http",
		"proxmox/privileged/host":   "net/http",
		"proxmox/privileged/helper": "net/http",
		"proxmox/sim":               module + "/proxmox/privileged",
	}
	dir := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	for pkg, imp := range added {
		file := filepath.Join(dir, strings.ReplaceAll(pkg, "/", "_")+".go")
		text := "package " + filepath.Base(pkg) + "\n\nimport _ \"" + imp + "\"\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay["Replace"][filepath.Join(root(t), pkg, "zz_added.go")] = file
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, v := range Check(listPackages(t, "-overlay", list)) {
		found[v.Package+" "+v.What] = true
	}
	for _, want := range []string{
		"proxmox/rest imports os/exec", "proxmox/rest reaches os/exec", "proxmox imports os/exec",
		"reconcile/execute imports os/exec", "cmd/internal/app imports os/exec",
		"proxmox/privileged reaches net/http", "proxmox/privileged/lane reaches net/http",
		"proxmox/privileged/host reaches net/http", "proxmox/privileged/helper reaches net/http", "proxmox/sim imports proxmox/privileged",
	} {
		if !found[want] {
			t.Errorf("nothing found that %s", want)
		}
	}
}

// TestSizes holds every file and function against the limits.
func TestSizes(t *testing.T) {
	all := sources(t)
	for _, v := range CheckSizes(all, long()) {
		t.Error(v)
	}
	var lengths []int
	for _, s := range all {
		if !s.IsTest() {
			for _, f := range s.Functions() {
				lengths = append(lengths, f.Lines)
			}
		}
	}
	slices.Sort(lengths)
	t.Logf("%d functions, median %d lines, 95th percentile %d", len(lengths), lengths[len(lengths)/2], lengths[len(lengths)*95/100])
}

// TestDocumented demands a comment on every package and every exported name.
func TestDocumented(t *testing.T) {
	documented := make(map[string]bool)
	for _, s := range sources(t) {
		if s.IsTest() {
			continue
		}
		dir := filepath.ToSlash(filepath.Dir(s.Path))
		documented[dir] = documented[dir] || s.HasPackageComment()
		for _, name := range s.Undocumented() {
			t.Errorf("%s has no comment", name)
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

// TestWords looks for paths that only exist where tend is made.
func TestWords(t *testing.T) {
	walk(t, func(path string, text []byte) {
		if path == "CHANGELOG.md" {
			return
		}
		for _, v := range CheckWords(path, text) {
			t.Error(v)
		}
	})
}

// TestDependencies holds docs/dependencies.md against go.mod: each module that tend asks for by itself stands on
// the page, with a reason, and the page names no others.
func TestDependencies(t *testing.T) {
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = root(t)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("read go.mod: %v", err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var asked []string
	for _, r := range mod.Require {
		tool := slices.ContainsFunc(mod.Tool, func(tool struct{ Path string }) bool { return match(r.Path+"/...", tool.Path) })
		if !r.Indirect || tool {
			asked = append(asked, r.Path)
		}
	}
	page, err := os.ReadFile(filepath.Join(root(t), "docs/dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range CheckDependencies(asked, string(page)) {
		t.Error(v)
	}
}
