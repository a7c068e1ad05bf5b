package setting_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/felhom/tend/spec/setting"
)

// A key is what testdata/pve/lxc-keys.yaml says of a key of Proxmox.
type key struct {
	Name    string          `json:"name"`
	Min     *int64          `json:"min"`
	Max     *int64          `json:"max"`
	Values  []string        `json:"values"`
	Subkeys json.RawMessage `json:"subkeys"`
	Running string          `json:"running"`
	Root    any             `json:"root_only"`
	Refusal any             `json:"root_error"`
	Delete  any             `json:"delete"`
}

// stem is the key without its index.
func (k key) stem() string { return strings.TrimSuffix(k.Name, "[n]") }

// later are keys that have no row yet, with the reason.
var later = map[string]string{
	"lxc.* raw keys": "the lines of the row lxc",
	"idmap":          "no key: a part of mounts, or a raw line",
}

func keys(t *testing.T) []key {
	t.Helper()
	text, err := os.ReadFile("../../testdata/pve/lxc-keys.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Keys []key `json:"keys"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Keys) < 30 {
		t.Fatalf("only %d keys", len(doc.Keys))
	}
	return doc.Keys
}

// byPVE returns the row of a key, or nil.
func byPVE(rows []setting.Row, pve string) setting.Row {
	for _, r := range rows {
		if i := r.Info(); i.PVE == pve && !i.Virtual {
			return r
		}
	}
	return nil
}

// TestRows walks the table and the tables of its parts.
func TestRows(t *testing.T) {
	var walk func(where string, rows []setting.Row)
	walk = func(where string, rows []setting.Row) {
		paths, wire, labels := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for _, r := range rows {
			i := r.Info()
			name := where + i.Path
			if paths[i.Path] {
				t.Errorf("%s: there are two rows with this path", name)
			}
			if i.PVE != "" && wire[i.PVE] {
				t.Errorf("%s: there are two rows for %s", name, i.PVE)
			}
			if labels[i.Label] {
				t.Errorf("%s: there are two rows with the label %q", name, i.Label)
			}
			paths[i.Path], wire[i.PVE], labels[i.Label] = true, true, true
			switch {
			case i.Path == "" || i.Label == "" || i.Type == "":
				t.Errorf("%s: lacks path, label or type: %+v", name, i)
			case !strings.HasSuffix(i.Doc, ".") || strings.ToUpper(i.Doc[:1]) != i.Doc[:1]:
				t.Errorf("%s: is not explained in sentences: %q", name, i.Doc)
			case i.PVE == "" && !i.Virtual:
				t.Errorf("%s: has no key of Proxmox and is no part of another", name)
			case i.Running == "" || i.Lane == "":
				t.Errorf("%s: does not say what a change costs and who may make it", name)
			case i.Example == "":
				t.Errorf("%s: has no example", name)
			}
			if !regexp.MustCompile(`^[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)?$`).MatchString(i.Path) {
				t.Errorf("%s: is not in camel case", name)
			}
			walk(name+".", i.Rows)
		}
	}
	walk("", setting.Container.Rows)
}

// TestEveryKey shows that each key of Proxmox and each part of it has a row, or a reason to have none.
func TestEveryKey(t *testing.T) {
	covered := map[string]bool{}
	for _, k := range keys(t) {
		row := byPVE(setting.Container.Rows, k.stem())
		reason := setting.LeftOut(k.stem()) + later[k.Name]
		if (row != nil) == (reason != "") {
			t.Errorf("%s: has a row: %t; reason to have none: %q", k.Name, row != nil, reason)
		}
		if row == nil {
			continue
		}
		covered[k.stem()] = true
		fam, isFamily := row.(*setting.Family)
		if isFamily != strings.HasSuffix(k.Name, "[n]") {
			t.Errorf("%s: is a family: %t", k.Name, isFamily)
		}
		parts := row.Info().Rows
		if isFamily {
			parts = append(slices.Clone(parts), fam.Identity)
		}
		var subkeys map[string]any
		if json.Unmarshal(k.Subkeys, &subkeys) != nil {
			continue // rootfs describes its parts in words
		}
		for name := range subkeys {
			if byPVE(parts, name) == nil {
				t.Errorf("%s: the part %s has no row", k.Name, name)
			}
		}
		for _, part := range parts {
			if i := part.Info(); !i.Virtual && len(subkeys) > 0 && subkeys[i.PVE] == nil {
				t.Errorf("%s: Proxmox has no part %s", k.Name, i.PVE)
			}
		}
	}
	for _, r := range setting.Container.Rows {
		if i := r.Info(); !covered[i.PVE] {
			t.Errorf("%s: Proxmox has no key %s", i.Path, i.PVE)
		}
	}
}

// accepts reports whether authors may write a value.
func accepts(r setting.Row, in any) bool {
	good := true
	_, ok := r.DecodeSpec(in, nil, func(setting.Path, error) { good = false })
	return ok && good
}

// TestRanges holds rows to the limits of Proxmox: neither stricter nor laxer.
func TestRanges(t *testing.T) {
	for _, k := range keys(t) {
		row := byPVE(setting.Container.Rows, k.stem())
		if row == nil {
			continue
		}
		write := func(n int64) any {
			if k.Name == "memory" || k.Name == "swap" {
				return fmt.Sprintf("%dMiB", n)
			}
			return json.Number(fmt.Sprint(n))
		}
		if k.Min != nil && (!accepts(row, write(*k.Min)) || accepts(row, write(*k.Min-1))) {
			t.Errorf("%s: the least value is not %d", k.Name, *k.Min)
		}
		if k.Max != nil && (!accepts(row, write(*k.Max)) || accepts(row, write(*k.Max+1))) {
			t.Errorf("%s: the largest value is not %d", k.Name, *k.Max)
		}
		for _, v := range k.Values {
			if !accepts(row, v) {
				t.Errorf("%s: refuses %s", k.Name, v)
			}
		}
		if k.Values != nil && accepts(row, k.Values[0]+"x") {
			t.Errorf("%s: accepts %sx", k.Name, k.Values[0])
		}
	}
}

// TestValues are the formats that are more than a range.
func TestValues(t *testing.T) {
	tests := []struct {
		row  setting.Row
		good []any
		bad  []any
	}{
		{setting.Hostname, []any{"a", "A-b.c1"}, []any{"", "-a", "a_b", "a..b", "a.", strings.Repeat("a", 256)}},
		{setting.Tags, []any{"a", []any{"a+b", "_x", "9.1-2"}, []any{}}, []any{"-a", []any{"a b"}, []any{"ä"}, []any{json.Number("1")}}},
		{setting.Description, []any{"", strings.Repeat("ä", 8192)}, []any{strings.Repeat("a", 8193), json.Number("1"), nil, map[string]any{}}},
		{setting.CPULimit, []any{json.Number("0.5"), json.Number("8192")}, []any{json.Number("8192.1"), "1"}},
		{setting.Memory, []any{"16MiB", "1.5GiB", "1 GiB", "1TiB"}, []any{"15MiB", "1GB", "1", "1.0001GiB", "GiB", "-1GiB", json.Number("512"), true, "99999999999999999999TiB"}},
		{setting.TimeZone, []any{"UTC", "host", "Europe/Vienna", "America/Argentina/Buenos_Aires"}, []any{"Etc/UTC", "utc", "Europe", ""}},
		{setting.NameServers, []any{"192.0.2.1", []any{"fe80::1%eth0", "::1"}}, []any{"example.org", "192.0.2.1%eth0", []any{"1.2.3"}}},
		{setting.HookScript, []any{"local:snippets/a.sh"}, []any{"/a.sh", "local:iso/a"}},
		{setting.EntryPoint, []any{"/init -x"}, []any{"", "a\nb"}},
		{setting.Env, []any{map[string]any{"A": "b=c"}}, []any{map[string]any{"A=B": "c"}, map[string]any{"A": "x\x00"}, []any{"A=B"}, map[string]any{"A": json.Number("1")}}},
		{setting.Startup, []any{map[string]any{"up": "1m30s"}, map[string]any{"order": json.Number("0"), "down": "0s"}}, []any{map[string]any{"up": json.Number("30")}, map[string]any{"up": "500ms"}, map[string]any{"up": "-1s"}, "order=1"}},
		{setting.RootFS, []any{map[string]any{"size": "8GiB", "storage": "local"}}, []any{map[string]any{"backup": true}, map[string]any{"volume": "local:8"}, map[string]any{"storage": "l"}, map[string]any{"size": json.Number("8")}}},
		{
			setting.Mounts,
			[]any{map[string]any{"/a b": map[string]any{"volume": "local:100/vm-100-disk-1.raw", "options": []any{"noatime"}}}},
			[]any{map[string]any{"a": nil}, map[string]any{"/a/./b": nil}, map[string]any{"/a,b": nil}, map[string]any{"/a": map[string]any{"options": "exec"}}, map[string]any{"/a": map[string]any{"idmap": "x:1:2:3"}}, map[string]any{"/a": map[string]any{"hostPath": "srv"}}},
		},
		{
			setting.Network,
			[]any{map[string]any{"eth0": map[string]any{"bridge": "vmbr0", "ipv6": "auto", "mac": "bc:24:11:00:00:01", "trunks": []any{"1", "4094"}, "rate": json.Number("0.5")}}, map[string]any{"eth0": nil}},
			[]any{map[string]any{"a b": nil}, map[string]any{"sixteen-letters-": nil}, map[string]any{"eth0": map[string]any{"ipv4": "10.0.0.1"}}, map[string]any{"eth0": map[string]any{"ipv4": "auto"}}, map[string]any{"eth0": map[string]any{"gateway4": "::1"}}, map[string]any{"eth0": map[string]any{"mac": "BC:24:11:00:00"}}, map[string]any{"eth0": map[string]any{"trunks": "0"}}, map[string]any{"eth0": "dhcp"}},
		},
		{setting.Devices, []any{map[string]any{"/dev/dri/card0": map[string]any{"mode": "0660"}}}, []any{map[string]any{"/dev/../x": nil}, map[string]any{"/x": nil}, map[string]any{"/dev/x": map[string]any{"mode": "660"}}, map[string]any{"/dev/x": map[string]any{"uid": json.Number("-1")}}}},
		{setting.Features, []any{map[string]any{"mount": "nfs"}, map[string]any{}}, []any{map[string]any{"nesting": json.Number("1")}, map[string]any{"x": true}, map[string]any{"mount": "a b"}, map[string]any{"nesting": nil}}},
	}
	for _, tt := range tests {
		path := tt.row.Info().Path
		for _, in := range tt.good {
			if !accepts(tt.row, in) {
				t.Errorf("%s refuses %v", path, in)
			}
		}
		for _, in := range tt.bad {
			if accepts(tt.row, in) {
				t.Errorf("%s accepts %v", path, in)
			}
		}
	}
}

// TestFull refuses more members than there are indices.
func TestFull(t *testing.T) {
	many := map[string]any{}
	for i := range 33 {
		many[fmt.Sprintf("eth%d", i)] = nil
	}
	if accepts(setting.Network, many) {
		t.Error("33 interfaces are accepted")
	}
	delete(many, "eth32")
	if !accepts(setting.Network, many) {
		t.Error("32 interfaces are refused")
	}
}

// other is a value of a row that differs from what absence means.
func other(r setting.Row) any {
	for _, in := range []any{
		true, false, json.Number("3"), "1GiB", "local:snippets/a.sh", "Europe/Vienna", "shell", "amd64", "debian",
		"x", "192.0.2.1",
		[]any{map[string]any{"lxc.mount.entry": "/srv srv none bind 0 0"}},
		map[string]any{"A": "b"},
		map[string]any{"nesting": true},
		map[string]any{"order": json.Number("2")},
		map[string]any{"storage": "local", "readOnly": true},
	} {
		good := true
		if v, ok := r.DecodeSpec(in, nil, func(setting.Path, error) { good = false }); ok && good && !r.Equal(v, nil) {
			return v
		}
	}
	return nil
}

// TestEffects holds rows to what the file says of a change of a running container.
func TestEffects(t *testing.T) {
	// A flag that makes a template must never be set by PUT, though Proxmox takes it.
	but := map[string]setting.Effect{"template": setting.Refused}
	for _, k := range keys(t) {
		row := byPVE(setting.Container.Rows, k.Name)
		// members of families and the root file system have tests of their own; no call changes raw lines
		if row == nil || k.Name == "rootfs" || k.Name == "lxc" {
			continue
		}
		v := other(row)
		if v == nil {
			t.Fatalf("%s: no value to try", k.Name)
		}
		running := setting.Facts{Running: true, Unprivileged: true}
		want, ok := map[string]setting.Effect{
			"immediate": setting.Online, "immediate_config": setting.Online, "hotplug": setting.Online,
			"pending": setting.Restart, "recreate": setting.Recreate,
		}[regexp.MustCompile(`^[a-z_]+`).FindString(k.Running)]
		if !ok {
			t.Fatalf("%s: what is %q?", k.Name, k.Running)
		}
		if e, ok := but[k.Name]; ok {
			want = e
		}
		if got := row.Effect(nil, v, running); got != want {
			t.Errorf("%s: %s of a running container, want %s (%s)", k.Name, got, want, k.Running)
		}
		if want == setting.Restart || k.Name == "template" {
			want = setting.Online
		}
		if got := row.Effect(nil, v, setting.Facts{Unprivileged: true}); got != want {
			t.Errorf("%s: %s of a stopped container, want %s", k.Name, got, want)
		}
	}
}

// TestAccess holds rows to who may change a key, with Proxmox's own text for the others.
func TestAccess(t *testing.T) {
	for _, k := range keys(t) {
		row := byPVE(setting.Container.Rows, k.stem())
		if row == nil || slices.Contains([]string{"features", "rootfs", "mp[n]", "lxc"}, k.Name) {
			continue
		}
		a := row.Access(nil, other(row), setting.Facts{Unprivileged: true})
		if fam, ok := row.(*setting.Family); ok {
			a = fam.Change("x", nil, &setting.Record{}, 0, setting.Facts{}).Access
		}
		if want := k.Root == true; a.Root != want {
			t.Errorf("%s: root only: %t, want %t", k.Name, a.Root, want)
		}
		if a.Root && (a.Reason == "" || !strings.Contains(fmt.Sprint(k.Refusal), a.Refusal)) {
			t.Errorf("%s: refusal %q, want it in %q; reason %q", k.Name, a.Refusal, k.Refusal, a.Reason)
		}
	}
}

// TestFixed holds rows to which keys can be deleted.
func TestFixed(t *testing.T) {
	for _, k := range keys(t) {
		row := byPVE(setting.Container.Rows, k.stem())
		if row == nil {
			continue
		}
		text := fmt.Sprint(k.Delete)
		want := strings.HasPrefix(text, "refused") || strings.Contains(text, "not deletable")
		if i := row.Info(); i.Fixed != want {
			t.Errorf("%s: cannot be deleted: %t, want %t (%s)", k.Name, i.Fixed, want, text)
		}
	}
}
