package setting_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/spec/setting"
)

func TestRawMount(t *testing.T) {
	for _, tt := range []struct{ name, line, where, host, opts string }{
		{"read and write", "lxc.mount.entry: /srv/media media none bind,create=dir 0 0", "/media", "/srv/media", ""},
		{"read only", "lxc.mount.entry: /srv/media srv/deep none bind,ro,create=dir 0 0", "/srv/deep", "/srv/media", "ro"},
		{"spaces", `lxc.mount.entry: /srv/a\040b c\040\134d none bind,create=dir 0 0`, `/c \d`, "/srv/a b", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			where, r, ok := setting.ParseRawMount(tt.line)
			if !ok || where != tt.where || setting.HostPath.Or(r, "") != tt.host || setting.ReadOnly.Or(r, false) != (tt.opts == "ro") {
				t.Errorf("parsed %q, %v, %t", where, r, ok)
			}
			if got := setting.RawMount(where, r); got != tt.line {
				t.Errorf("written as %q", got)
			}
		})
	}
	for name, line := range map[string]string{
		"another key":      "lxc.mount.auto: /srv/media media none bind,create=dir 0 0",
		"absolute target":  "lxc.mount.entry: /srv/media /media none bind,create=dir 0 0",
		"relative source":  "lxc.mount.entry: srv media none bind,create=dir 0 0",
		"no target":        "lxc.mount.entry: /srv/media  none bind,create=dir 0 0",
		"the root":         "lxc.mount.entry: /srv/media . none bind,create=dir 0 0",
		"optional":         "lxc.mount.entry: /srv/media media none bind,optional,create=dir 0 0",
		"other order":      "lxc.mount.entry: /srv/media media none ro,bind,create=dir 0 0",
		"a file":           "lxc.mount.entry: /srv/media media none bind,create=file 0 0",
		"a file system":    "lxc.mount.entry: tmpfs tmp tmpfs rw,create=dir 0 0",
		"more white space": "lxc.mount.entry: /srv/media  media none bind,create=dir 0 0",
		"traversal":        "lxc.mount.entry: /srv/../etc media none bind,create=dir 0 0",
		"trailing slash":   "lxc.mount.entry: /srv/media media/ none bind,create=dir 0 0",
		"other octal":      `lxc.mount.entry: /srv/\057x media none bind,create=dir 0 0`,
	} {
		if where, r, ok := setting.ParseRawMount(line); ok {
			t.Errorf("%s: read as %q, %v", name, where, r)
		}
	}
}

// TestFromRaw turns raw lines back into mounts only where that means the same.
func TestFromRaw(t *testing.T) {
	const media, deep, caps = "lxc.mount.entry: /srv/m media none bind,create=dir 0 0", "lxc.mount.entry: /srv/d media/deep none bind,ro,create=dir 0 0", "lxc.cap.drop: sys_time"
	volume := setting.Record{"storage": "local", "size": setting.GiB}
	for _, tt := range []struct {
		name   string
		lines  []string
		mounts setting.Members
		want   string // mounts by raw lines, and the lines that stay
	}{
		{"none", []string{caps}, nil, "| lxc.cap.drop: sys_time"},
		{"after the others", []string{caps, media, deep}, nil, "/media /media/deep | lxc.cap.drop: sys_time"},
		{"before the others", []string{media, caps}, nil, "| " + media + " " + caps},
		{"in another order", []string{deep, media}, nil, "| " + deep + " " + media},
		{"twice", []string{media, media}, nil, "| " + media + " " + media},
		{"above a mount point", []string{media}, setting.Members{"/media/x": volume}, "| " + media},
		{"on a mount point", []string{media}, setting.Members{"/media": volume}, "| " + media},
		{"below a mount point", []string{media, deep}, setting.Members{"/srv": volume}, "/media /media/deep |"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := setting.Record{setting.Raw.Path: tt.lines}
			if tt.mounts != nil {
				in[setting.Mounts.Path] = tt.mounts
			}
			out := setting.FromRaw(in)
			var words []string
			members, _ := out[setting.Mounts.Path].(setting.Members)
			for _, id := range []string{"/media", "/media/deep"} {
				if setting.KeepSnapshots.Or(members[id], false) {
					words = append(words, id)
				}
			}
			words = append(append(words, "|"), setting.Raw.Or(out, nil)...)
			if got := strings.Join(words, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			back := setting.AsRaw(out)
			if d := cmp.Diff(tt.lines, setting.Raw.Or(back, nil)); d != "" {
				t.Errorf("written again, the lines are others (-want +got):\n%s", d)
			}
		})
	}
}

// TestRawMountText shows raw lines that are mounts as such.
func TestRawMountText(t *testing.T) {
	old := []string{"lxc.cap.drop: a", "lxc.mount.entry: /srv/x x none bind,create=dir 0 0", "lxc.mount.entry: /srv/gone gone none bind,create=dir 0 0"}
	now := []string{"lxc.cap.drop: b", "lxc.mount.entry: /srv/x x none bind,ro,create=dir 0 0", "lxc.mount.entry: /srv/new new none bind,create=dir 0 0"}
	var got []string
	for _, l := range (setting.Change{Row: setting.Raw, Old: old, New: now}).Lines() {
		got = append(got, l.Mark+" "+l.Label+": "+l.Text)
	}
	want := []string{
		"- mount /gone: bind /srv/gone (keeps snapshots)",
		"+ mount /new: bind /srv/new (keeps snapshots)",
		"~ mount /x: read only no → yes",
		"- raw LXC line: lxc.cap.drop: a",
		"+ raw LXC line: lxc.cap.drop: b",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("lines (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]bool{"/gone": true, "/new": true, "/x": true}, setting.RawMountsChanged(old, now)); d != "" {
		t.Errorf("changed (-want +got):\n%s", d)
	}
}

func FuzzRawMount(f *testing.F) {
	f.Add("lxc.mount.entry: /srv/media media none bind,ro,create=dir 0 0")
	f.Add(`lxc.mount.entry: /srv/a\040b c\134d none bind,create=dir 0 0`)
	f.Fuzz(func(t *testing.T, line string) {
		where, r, ok := setting.ParseRawMount(line)
		if ok && setting.RawMount(where, r) != line {
			t.Errorf("%q is read as %q %v and written as %q", line, where, r, setting.RawMount(where, r))
		}
	})
}
