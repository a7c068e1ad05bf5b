package setting_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// recorded returns every configuration that a real node gave out, by where it is from.
func recorded(tb testing.TB) map[string]proxmox.Values {
	tb.Helper()
	out := map[string]proxmox.Values{}
	names, err := filepath.Glob("../../testdata/pve/exchanges/*.json")
	if err != nil || len(names) == 0 {
		tb.Fatalf("no exchanges: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		var scenario struct {
			Steps []struct {
				Method, Path string
				Response     struct {
					Body json.RawMessage
				}
			}
		}
		if err := json.Unmarshal(text, &scenario); err != nil {
			tb.Fatal(err)
		}
		for i, step := range scenario.Steps {
			if step.Method != "GET" || !strings.Contains(step.Path, "/lxc/") || !strings.HasSuffix(step.Path, "/config") {
				continue
			}
			if v := values(tb, step.Response.Body); len(v) > 0 {
				out[fmt.Sprintf("%s step %d", filepath.Base(name), i+1)] = v
			}
		}
	}
	confs, err := filepath.Glob("../../testdata/pve/conf/*.conf")
	if err != nil || len(confs) == 0 {
		tb.Fatalf("no configuration files: %v", err)
	}
	for _, name := range confs {
		text, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		out[filepath.Base(name)] = head(string(text))
	}
	if len(out) < 40 {
		tb.Fatalf("only %d configurations", len(out))
	}
	return out
}

// values reads the answer to a request for a configuration.
func values(tb testing.TB, body []byte) proxmox.Values {
	tb.Helper()
	var answer struct {
		Data map[string]any
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&answer) != nil {
		return nil // an error in place of an object
	}
	out := proxmox.Values{}
	for key, v := range answer.Data {
		switch v := v.(type) {
		case string:
			out[key] = v
		case json.Number:
			out[key] = v.String()
		}
	}
	return out
}

// head is the live section of a configuration file, without its comments and raw lines.
func head(text string) proxmox.Values {
	out := proxmox.Values{}
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "[") {
			break
		}
		if key, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "#") && !strings.HasPrefix(key, "lxc.") {
			out[key] = value
		}
	}
	return out
}

// TestRecorded reads every recorded configuration and writes it back: to Proxmox's text, and to what an
// author would write.
func TestRecorded(t *testing.T) {
	for name, vals := range recorded(t) {
		live, err := setting.Container.ParseValues(vals)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(live.Unknown) > 0 {
			t.Errorf("%s: no row for %v", name, live.Unknown)
		}
		for _, row := range setting.Container.Rows {
			path := row.Info().Path
			v, ok := live.Record[path]
			if !ok {
				continue
			}
			fam, isFamily := row.(*setting.Family)
			if isFamily {
				checkMembers(t, name, fam, live, vals)
			} else {
				again, err := row.ParseWire(row.FormatWire(v))
				if err != nil || !row.Equal(v, again) {
					t.Errorf("%s: %s: %v becomes %q, which is %v (%v)", name, path, v, row.FormatWire(v), again, err)
				}
			}
			back, ok := row.DecodeSpec(row.EncodeSpec(v), setting.Path{path}, func(at setting.Path, err error) {
				t.Errorf("%s: an author could not write %s: %v", name, at, err)
			})
			if ok && !row.Equal(v, back) {
				t.Errorf("%s: %s: %v is %v once written", name, path, v, back)
			}
		}
	}
}

// checkMembers shows that the members of a family keep their slot and their text. Proxmox prints interfaces
// and applied mounts anew, so their text must come out the same to the letter.
func checkMembers(t *testing.T, name string, fam *setting.Family, live setting.Live, vals proxmox.Values) {
	t.Helper()
	members, _ := live.Record[fam.Path].(setting.Members)
	for id, r := range members {
		key := live.Slots[fam.Path][id]
		if strings.HasSuffix(id, " ("+key+")") { // the second of its name, which no spec can say
			delete(members, id)
			continue
		}
		text := fam.FormatMember(id, r)
		gotID, again, err := fam.ParseMember(text)
		if err != nil || gotID != id || !fam.Member.Equal(r, again) {
			t.Errorf("%s: %s: %q is read as %s %v (%v)", name, key, text, gotID, again, err)
		}
		if fam == setting.Network && text != vals[key] {
			t.Errorf("%s: %s is written\n%s, Proxmox prints\n%s", name, key, text, vals[key])
		}
	}
}

func TestParseValues(t *testing.T) {
	live, err := setting.Container.ParseValues(proxmox.Values{
		"cores": "2", "lock": "backup", "digest": "0", "unused0": "local:1", "net0": "name=eth0,bridge=vmbr0",
		"mp0": "local:100/a.raw,mp=/data,size=1G", "mp1": "/srv,mp=/data", "mp256": "local:x,mp=/y", "future": "1",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := setting.Live{
		Record: setting.Record{
			"cores":   int64(2),
			"network": setting.Members{"eth0": {"bridge": "vmbr0"}},
			"mounts": setting.Members{
				"/data":       {"storage": "local", "volume": "local:100/a.raw", "size": setting.GiB},
				"/data (mp1)": {"hostPath": "/srv"},
			},
		},
		Slots:   setting.Slots{"network": {"eth0": "net0"}, "mounts": {"/data": "mp0", "/data (mp1)": "mp1"}},
		Unused:  map[string]string{"unused0": "local:1"},
		Lock:    "backup",
		Unknown: []string{"future", "mp256"},
	}
	if diff := cmp.Diff(want, live); diff != "" {
		t.Errorf("live (-want +got):\n%s", diff)
	}
	_, err = setting.Container.ParseValues(proxmox.Values{"cores": "two", "net0": "bridge=vmbr0", "mp0": "local:1,mp=/a,colour=red", "mp1": "mp=/a,size=1G"})
	for _, part := range []string{`cores: "two"`, `mp1: "mp=/a,size=1G" has no volume`, `net0: "bridge=vmbr0" has no name`, `mp0: "local:1,mp=/a,colour=red" unknown part "colour"`} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("got %v, want %s in it", err, part)
		}
	}
}

// TestWire are texts that are sent, in Proxmox's order.
func TestWire(t *testing.T) {
	tests := []struct {
		row  setting.Row
		in   any
		want string
	}{
		{setting.Memory, "4GiB", "4096"},
		{setting.CPULimit, json.Number("1.50"), "1.5"},
		{setting.Protection, true, "1"},
		{setting.Tags, []any{"b", "a"}, "b;a"},
		{setting.NameServers, []any{"192.0.2.1", "192.0.2.2"}, "192.0.2.1 192.0.2.2"},
		{setting.Env, map[string]any{"B": "2", "A": "1"}, "A=1\x00B=2"},
		{setting.Startup, map[string]any{"down": "1m", "up": "30s", "order": json.Number("2")}, "2,down=60,up=30"},
		{setting.Features, map[string]any{"nesting": true, "mount": []any{"nfs", "cifs"}, "fuse": false}, "fuse=0,mount=nfs;cifs,nesting=1"},
		{setting.Startup, map[string]any{"order": json.Number("0")}, "order=0"},
		{setting.Startup, map[string]any{"order": json.Number("0"), "up": "5s"}, "0,up=5"},
		{setting.Features, map[string]any{"nesting": true, "mount": []any{}}, "nesting=1"},
		{setting.RootFS, map[string]any{"volume": "local:x-1", "options": []any{}}, "local:x-1"},
		{setting.RootFS, map[string]any{"storage": "local-zfs", "size": "8GiB"}, "local-zfs:8"},
		{setting.RootFS, map[string]any{"storage": "local-zfs", "size": "1.5GiB", "options": "noatime"}, "local-zfs:1.5,mountoptions=noatime"},
		{setting.RootFS, map[string]any{"volume": "local-zfs:x-1", "size": "1TiB", "quota": true}, "local-zfs:x-1,quota=1,size=1T"},
	}
	for _, tt := range tests {
		v, ok := tt.row.DecodeSpec(tt.in, nil, func(at setting.Path, err error) { t.Errorf("%s: %v", at, err) })
		if got := tt.row.FormatWire(v); !ok || got != tt.want {
			t.Errorf("%s: %v is sent as %q, want %q", tt.row.Info().Path, tt.in, got, tt.want)
		}
	}
	for want, m := range map[string]struct {
		fam *setting.Family
		id  string
		r   setting.Record
	}{
		"local:1,mp=/data,backup=1":                      {setting.Mounts, "/data", setting.Record{"storage": "local", "size": setting.GiB, "backup": true}},
		"/srv,mp=/srv,ro=1,shared=1":                     {setting.Mounts, "/srv", setting.Record{"hostPath": "/srv", "readOnly": true, "shared": true}},
		"name=eth0,bridge=vmbr0,ip=dhcp,tag=5,type=veth": {setting.Network, "eth0", setting.Record{"bridge": "vmbr0", "ipv4": "dhcp", "vlan": int64(5), "type": "veth"}},
		"/dev/null,gid=104,mode=0660":                    {setting.Devices, "/dev/null", setting.Record{"gid": int64(104), "mode": "0660"}},
	} {
		if got := m.fam.FormatMember(m.id, m.r); got != want {
			t.Errorf("%s %s is sent as %q, want %q", m.fam.Path, m.id, got, want)
		}
	}
}

// TestIndex shows which keys are members of a family.
func TestIndex(t *testing.T) {
	for key, want := range map[string]int{"mp0": 0, "mp255": 255, "mp256": -1, "mp": -1, "mp01": -1, "mp-1": -1, "net0": -1, "mpx": -1} {
		i, ok := setting.Mounts.Index(key)
		if ok != (want >= 0) || ok && i != want {
			t.Errorf("%s: %d, %t; want %d", key, i, ok, want)
		}
	}
	taken := map[int]bool{0: true, 1: true, 3: true}
	if i, ok := setting.Mounts.Free(taken); i != 2 || !ok {
		t.Errorf("free index: %d, %t", i, ok)
	}
	for i := range 32 {
		taken[i] = true
	}
	if _, ok := setting.Network.Free(taken); ok {
		t.Error("a full family has a free index")
	}
}
