package spec_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
)

// TestSettings shows what names in a spec become for Proxmox.
func TestSettings(t *testing.T) {
	s, err := load.Path("../testdata/spec/good/host-mounts.yaml", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	written := s.Containers[0].Record()
	got := setting.Container.Encode(s.Settings(s.Containers[0]))
	want := map[string]any{
		"mounts": map[string]any{"/media": map[string]any{"hostPath": "/mnt/usb-media/films", "readOnly": true}},
		"lxc": []any{
			map[string]any{"lxc.cap.drop": "sys_time"},
			map[string]any{"lxc.mount.entry": "/mnt/usb-media/photos/2026 photos none bind,create=dir 0 0"},
			map[string]any{"lxc.mount.entry": `/srv/a\040b with\040space none bind,ro,create=dir 0 0`},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
	if d := cmp.Diff(written, s.Containers[0].Record()); d != "" {
		t.Errorf("the container was changed:\n%s", d)
	}
	got = setting.Container.Encode(s.Settings(s.Containers[1]))
	if d := cmp.Diff(map[string]any{"mounts": map[string]any{"/srv": map[string]any{"hostPath": "/srv/tank"}}}, got); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
	if got := s.Uses(s.Containers[0]); len(got) != 1 || got[0].Name != "usb-media" {
		t.Errorf("uses %v", got)
	}
	if m := s.HostMount("usb-media"); len(m.Options) != 1 || m.Options[0] != "noatime" {
		t.Errorf("options are %v: nofail is always there and is not told", m.Options)
	}
}

// TestSnippets reads the files that a spec names, from its folder alone.
func TestSnippets(t *testing.T) {
	const text = `
snippets:
  hook: {storage: local, file: hooks/h.sh}
  other: {storage: local, file: hooks/h.sh, as: o.sh, nodes: [pve1]}
containers:
  web: {id: 100, node: pve1, hookScript: hook}
  db: {id: 101, node: pve1, hookScript: "local:snippets/by-hand.sh"}
`
	fsys := fstest.MapFS{"spec.yaml": {Data: []byte(text)}, "hooks/h.sh": {Data: []byte("#!/bin/sh\n")}}
	s, err := load.Load(fsys, load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hook, other := s.Snippet("hook"), s.Snippet("other")
	if string(hook.Content) != "#!/bin/sh\n" || hook.Volume() != "local:snippets/h.sh" || other.Volume() != "local:snippets/o.sh" {
		t.Errorf("snippets are %+v and %+v", hook, other)
	}
	if hook.SHA256() != "a8076d3d28d21e02012b20eaf7dbf75409a6277134439025f282e368e3305abf" {
		t.Errorf("checksum is %s", hook.SHA256())
	}
	for i, want := range []string{"local:snippets/h.sh", "local:snippets/by-hand.sh"} {
		if got := setting.HookScript.Or(s.Settings(s.Containers[i]), ""); got != want {
			t.Errorf("hook script is %q, want %q", got, want)
		}
	}
	if s.Script(s.Containers[0]) != hook || s.Script(s.Containers[1]) != nil || s.Snippet("nosuch") != nil {
		t.Error("scripts are not found by name")
	}
	again := spec.NewSnippet("other", other.Record(), other.Place)
	again.Content = other.Content
	if d := cmp.Diff(other, again); d != "" {
		t.Error(d)
	}
}
