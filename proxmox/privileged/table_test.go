package privileged_test

import (
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/felhom/tend/proxmox/privileged"
)

// keysFile is the part of lxc-keys.yaml that tells what is for root.
type keysFile struct {
	Keys []struct {
		Name        string `json:"name"`
		RootOnly    any    `json:"root_only"`
		RootError   any    `json:"root_error"`
		Put, Delete any
		Create      any
	} `json:"keys"`
	StatusActions []struct {
		Name      string `json:"name"`
		RootError any    `json:"root_error"`
	} `json:"status_actions"`
}

func readKeys(t *testing.T) keysFile {
	t.Helper()
	data, err := os.ReadFile("../../testdata/pve/lxc-keys.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var f keysFile
	if err := yaml.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// texts are what Proxmox says in the notes of lxc-keys.yaml: without status, without the parameter or task around it,
// and without the source after it.
func texts(note any) []string {
	var out []string
	switch note := note.(type) {
	case string:
		s := regexp.MustCompile(`^(?:\d{3} |task error: )`).ReplaceAllString(note, "")
		if m := regexp.MustCompile(`^errors\.\w+ '([^']*)'`).FindStringSubmatch(s); m != nil {
			return m[1:]
		}
		out = append(out, strings.TrimSpace(regexp.MustCompile(`\s+\[.*\]$`).ReplaceAllString(s, "")))
	case []any:
		for _, n := range note {
			out = append(out, texts(n)...)
		}
	}
	for i, s := range out {
		out[i] = strings.TrimSpace(regexp.MustCompile(`\s+\[[^\]]*\]$`).ReplaceAllString(s, ""))
	}
	return out
}

// TestKeys holds the table against what is known of Proxmox: what is for root@pam alone stands on a row or is left out
// with a reason, and nothing else does.
func TestKeys(t *testing.T) {
	known, have := map[string]bool{}, map[string]bool{}
	f := readKeys(t)
	for _, k := range f.Keys {
		if k.RootOnly != nil && k.RootOnly != false && k.RootError == nil {
			t.Errorf("%s is for root and nothing says in which words it is refused", k.Name)
		}
		for _, s := range texts(k.RootError) {
			known[s] = true
		}
	}
	for _, a := range f.StatusActions {
		for _, s := range texts(a.RootError) {
			known[s] = true
		}
	}
	settings, _ := privileged.Lookup(privileged.RowSettings)
	for _, r := range settings.Refusals {
		have[r.Text] = true
	}
	for _, o := range privileged.LeftOut() {
		if have[o.Text] || o.Why == "" || o.Source == "" {
			t.Errorf("%q is left out without a reason, or stands on a row too", o.Text)
		}
		have[o.Text] = true
	}
	if d := cmp.Diff(slices.Sorted(maps.Keys(known)), slices.Sorted(maps.Keys(have))); d != "" {
		t.Errorf("lxc-keys.yaml and the table differ (-known +table):\n%s", d)
	}
}

// TestNoCall holds the rows for which the API has no way, not even for root, against the notes.
func TestNoCall(t *testing.T) {
	want := map[string]privileged.Row{"lxc.* raw keys": privileged.RowRawLines, "lock": privileged.RowUnlock}
	got := map[string]privileged.Row{}
	for _, k := range readKeys(t).Keys {
		for _, note := range []any{k.Put, k.Delete, k.Create} {
			s, _ := note.(string)
			if !strings.HasPrefix(s, "NEVER") && !strings.HasPrefix(s, "IMPOSSIBLE") {
				continue
			}
			row, known := want[k.Name]
			e, there := privileged.Lookup(row)
			if !known || !there {
				t.Errorf("%s cannot be done by the API, and stands on no row", k.Name)
				continue
			}
			got[k.Name] = row
			if m := regexp.MustCompile(`\d{3} "([^"]*)"`).FindStringSubmatch(s); m != nil && e.Refusals[0].Text != m[1] {
				t.Errorf("%s is refused with %q, and the row says %q", k.Name, m[1], e.Refusals[0].Text)
			}
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestTable(t *testing.T) {
	seen := map[privileged.Row]bool{}
	for _, e := range privileged.Exceptions() {
		if seen[e.Name] {
			t.Errorf("%s stands twice", e.Name)
		}
		seen[e.Name] = true
		if e.Title == "" || e.Why == "" || len(e.Refusals) == 0 || e.Before == "" || e.After == "" || e.Undo == "" || len(e.Runs)+len(e.Writes) == 0 {
			t.Errorf("%s says not all that a row says", e.Name)
		}
		for _, r := range e.Refusals {
			if r.Call == "" || r.Source == "" {
				t.Errorf("%s: a refusal does not say of what, or where it is decided", e.Name)
			}
			if x, ok := privileged.Explain(r.Text); r.Text != "" && (!ok || x.Name != e.Name) {
				t.Errorf("%q is explained by %s and not by %s", r.Text, x.Name, e.Name)
			}
		}
		for _, program := range e.Runs {
			if !path.IsAbs(program) || path.Clean(program) != program {
				t.Errorf("%s runs %q, which is no absolute path", e.Name, program)
			}
		}
	}
	if _, ok := privileged.Explain("Permission check failed (/vms/101, VM.Audit)"); ok {
		t.Error("a missing privilege is explained by a row")
	}
	if e := privileged.Exceptions(); len(e) > 0 {
		e[0].Name = "changed"
		if privileged.Exceptions()[0].Name == "changed" {
			t.Error("the table can be changed from outside")
		}
	}
}

// TestCommands looks at what each kind of request runs: executables of its row, and no shell.
func TestCommands(t *testing.T) {
	for _, r := range samples() {
		if err := r.Validate(); err != nil {
			t.Errorf("%v: %v", r, err)
		}
		e, ok := privileged.Lookup(r.Row())
		if !ok {
			t.Fatalf("%v is of no row", r)
		}
		for _, c := range privileged.Commands(r) {
			if !slices.Contains(e.Runs, c.Argv[0]) {
				t.Errorf("%v runs %s, which %s does not", r, c.Argv[0], e.Name)
			}
			if c.Timeout <= 0 {
				t.Errorf("%v may run forever", r)
			}
		}
	}
}
