package setting_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/spec/setting"
)

// TestMemberText are lines of plans as people read them.
func TestMemberText(t *testing.T) {
	type r = setting.Record
	tests := []struct {
		row  setting.Row
		v    r
		want string
	}{
		{setting.Network, r{}, "on no bridge"},
		{setting.Network, r{"bridge": "vmbr0", "ipv4": "dhcp", "type": "veth", "firewall": false}, "on vmbr0, IPv4 dhcp"},
		{
			setting.Network,
			r{"bridge": "vmbr0", "ipv4": "192.0.2.2/24", "gateway4": "192.0.2.1", "ipv6": "2001:db8::2/64", "gateway6": "2001:db8::1", "vlan": int64(30)},
			"on vmbr0, IPv4 192.0.2.2/24 via 192.0.2.1, IPv6 2001:db8::2/64 via 2001:db8::1, VLAN 30",
		},
		{setting.Network, r{"bridge": "vmbr0", "gateway4": "192.0.2.1"}, "on vmbr0, IPv4 gateway 192.0.2.1"},
		{
			setting.Network,
			r{"bridge": "vmbr0", "trunks": []string{"10", "20"}, "mac": "BC:24:11:00:00:01", "firewall": true, "linkDown": true, "mtu": int64(1400), "rate": 12.5, "hostManaged": true},
			"on vmbr0, VLAN trunks 10 and 20, MAC address BC:24:11:00:00:01, firewall, link down, MTU 1400, rate 12.5 MB/s, host managed",
		},
		{setting.Mounts, r{"storage": "tank", "size": 8 * setting.GiB}, "8 GiB on tank"},
		{setting.Mounts, r{"hostPath": "/srv", "readOnly": true, "idmap": "passthrough"}, "bind /srv (read only, id map passthrough)"},
		{setting.Mounts, r{"hostPath": "/dev/sda1"}, "device /dev/sda1"},
		{
			setting.Mounts,
			r{"storage": "tank", "volume": "tank:subvol-100-disk-1", "size": setting.GiB, "backup": true, "replicate": false, "options": []string{"noatime", "nodev"}},
			"1 GiB on tank (volume tank:subvol-100-disk-1, backup, not replicated, noatime, nodev)",
		},
		{setting.RootFS, r{"storage": "tank", "size": 8 * setting.GiB, "acl": true, "quota": true, "shared": true}, "8 GiB on tank (ACLs, quota, shared)"},
		{setting.Devices, r{}, "0660, user 0, group 0"},
		{setting.Devices, r{"mode": "0600", "uid": int64(1), "gid": int64(2), "denyWrite": true}, "0600, user 1, group 2, deny write"},
		{setting.Startup, r{"order": int64(2)}, "order 2"},
		{setting.Features, r{"nesting": true, "mount": []string{"nfs", "cifs"}}, "nesting, mount of nfs and cifs"},
		{setting.Features, r{}, "none"},
	}
	for _, tt := range tests {
		if got := tt.row.Text(tt.v); got != tt.want {
			t.Errorf("%s %v\n got %q\nwant %q", tt.row.Info().Path, tt.v, got, tt.want)
		}
	}
}

// TestTextShowsAll sets each part of each record alone: a plan that said nothing of it would hide what is sent.
func TestTextShowsAll(t *testing.T) {
	base := map[string]setting.Record{
		"mounts": {"storage": "tank", "size": 8 * setting.GiB},
		"rootfs": {"storage": "tank", "size": 8 * setting.GiB},
	}
	none := map[string]string{
		"type": "has one value", "onRemove": "is never sent", "hostMount": "is a path when it is shown", "path": "is part of that path",
	}
	for _, row := range setting.Container.Rows {
		path := row.Info().Path
		for _, part := range row.Info().Rows {
			name := part.Info().Path
			v := exampleOf(part)
			if v == nil && none[name] == "" {
				t.Errorf("%s.%s: no value to try", path, name)
			}
			if v == nil || none[name] != "" {
				continue
			}
			without := maps.Clone(base[path])
			if without == nil {
				without = setting.Record{}
			}
			with := maps.Clone(without)
			with[name] = v
			if row.Text(with) == row.Text(without) {
				t.Errorf("%s.%s: %v is not shown: %s", path, name, v, row.Text(with))
			}
		}
	}
}

// exampleOf is a value of a part that differs from what its absence means.
func exampleOf(part setting.Row) any {
	text := strings.Trim(part.Info().Example, `"`)
	for _, in := range []any{true, false, json.Number(text), json.Number("7"), text, "0600", strings.Split(strings.Trim(text, "[]"), ", ")[0]} {
		if v, ok := part.DecodeSpec(in, nil, func(setting.Path, error) {}); ok && !part.Equal(v, nil) {
			return v
		}
	}
	return nil
}

// TestLines are the lines of plans for changes.
func TestLines(t *testing.T) {
	type r = setting.Record
	long := strings.Repeat("a word ", 20)
	bind, device := `lxc.mount.entry: /srv srv none bind 0 0`, "lxc.cgroup2.devices.allow: c 10:200 rwm"
	tests := []struct {
		name string
		c    setting.Change
		want []setting.Line
	}{
		{"each raw line", setting.Change{Row: setting.Raw, New: []string{bind, device}}, []setting.Line{
			{Mark: "+", Label: "raw LXC line", Text: bind}, {Mark: "+", Label: "raw LXC line", Text: device},
		}},
		{"raw lines that change", setting.Change{Row: setting.Raw, Old: []string{bind, bind}, New: []string{bind, device}}, []setting.Line{
			{Mark: "-", Label: "raw LXC line", Text: bind}, {Mark: "+", Label: "raw LXC line", Text: device},
		}},
		{"raw lines in another order", setting.Change{Row: setting.Raw, Old: []string{bind, device}, New: []string{device, bind}}, []setting.Line{
			{Mark: "~", Label: "raw LXC line", Text: "other order of " + bind + "; " + device},
		}},
		{"a long command is told whole", setting.Change{Row: setting.EntryPoint, Old: "/init", New: long}, []setting.Line{
			{Mark: "~", Label: "entrypoint", Text: "/init → " + long},
		}},
		{"a long note is cut", setting.Change{Row: setting.Description, New: long}, []setting.Line{
			{Mark: "+", Label: "description", Text: long[:59] + "…"},
		}},
		{"file systems that may be mounted", setting.Change{Row: setting.Features, New: r{"mount": []string{"nfs", "cifs"}, "fuse": true}}, []setting.Line{
			{Mark: "+", Label: "feature fuse"}, {Mark: "+", Label: "feature mount of", Text: "nfs, cifs"},
		}},
		{"none may be mounted any more", setting.Change{Row: setting.Features, Old: r{"mount": []string{"nfs"}}}, []setting.Line{
			{Mark: "-", Label: "feature mount of", Text: "nfs"},
		}},
		{"others may be mounted", setting.Change{Row: setting.Features, Old: r{"mount": []string{"nfs"}}, New: r{"mount": []string{"cifs"}}}, []setting.Line{
			{Mark: "~", Label: "feature mount of", Text: "nfs → cifs"},
		}},
		{"what goes is told without made up names", setting.Change{Row: setting.Network, Identity: "eth0", Old: r{"bridge": "vmbr0", "mac": "BC:24:11:00:00:01"}}, []setting.Line{
			{Mark: "-", Label: "interface eth0", Text: "on vmbr0"},
		}},
		{"an existing volume that comes is named", setting.Change{Row: setting.Mounts, Identity: "/a", New: r{"volume": "tank:subvol-1-disk-1", "readOnly": true}}, []setting.Line{
			{Mark: "+", Label: "mount /a", Text: "volume tank:subvol-1-disk-1 (read only)"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, tt.c.Lines()); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}
