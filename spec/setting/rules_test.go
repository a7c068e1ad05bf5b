package setting_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/spec/setting"
)

// TestWant shows what a row shall be, from what the spec says and what there is.
func TestWant(t *testing.T) {
	type r = setting.Record
	tests := []struct {
		name       string
		row        setting.Row
		spec, have any
		facts      setting.Facts
		want       any // nil: absent
	}{
		{"written", setting.Cores, int64(2), int64(1), setting.Facts{}, int64(2)},
		{"absent, no default: removed", setting.Cores, nil, int64(1), setting.Facts{}, nil},
		{"absent: default", setting.Memory, nil, 4 * setting.GiB, setting.Facts{}, 512 * setting.MiB},
		{"absent: default of the spec, not of the file", setting.Swap, nil, nil, setting.Facts{}, 512 * setting.MiB},
		{"generated: kept", setting.Arch, nil, "amd64", setting.Facts{}, "amd64"},
		{"generated: not there yet", setting.Arch, nil, nil, setting.Facts{}, nil},
		{"clamped by Proxmox", setting.CPUUnits, int64(20000), nil, setting.Facts{}, int64(10000)},
		{"tags sorted, lower-cased, once", setting.Tags, []string{"b", "A", "b"}, nil, setting.Facts{}, []string{"a", "b"}},
		{
			"tags as the datacenter wants them", setting.Tags,
			[]string{"b", "A", "a"},
			nil,
			setting.Facts{TagStyle: setting.TagStyle{CaseSensitive: true, KeepOrder: true}},
			[]string{"b", "A", "a"},
		},
		{"line ends of a description", setting.Description, "a\n\n", nil, setting.Facts{}, "a"},
		{"features: default left out", setting.Features, r{"nesting": false, "fuse": true}, nil, setting.Facts{}, r{"fuse": true}},
		{"features: explicitly off stays where it stands so", setting.Features, r{}, r{"fuse": false}, setting.Facts{}, r{"fuse": false}},
		{"features: all gone", setting.Features, nil, r{"nesting": true}, setting.Facts{}, r{"nesting": false}},
		{"rootfs: kept as it is", setting.RootFS, nil, r{"volume": "a:b", "storage": "a", "size": setting.GiB, "quota": true}, setting.Facts{}, r{"volume": "a:b", "storage": "a", "size": setting.GiB, "quota": true}},
		{
			"rootfs: grown, volume kept", setting.RootFS,
			r{"storage": "a", "size": 2 * setting.GiB},
			r{"volume": "a:b", "storage": "a", "size": setting.GiB, "readOnly": true},
			setting.Facts{},
			r{"volume": "a:b", "storage": "a", "size": 2 * setting.GiB},
		},
		{
			"interfaces: MAC address kept, VLAN removed", setting.Network,
			setting.Members{"eth0": {"bridge": "vmbr1"}},
			setting.Members{"eth0": {"bridge": "vmbr0", "mac": "BC:24:11:00:00:01", "vlan": int64(5), "type": "veth"}, "eth1": {"bridge": "vmbr0"}},
			setting.Facts{},
			setting.Members{"eth0": {"bridge": "vmbr1", "mac": "BC:24:11:00:00:01", "type": "veth"}},
		},
		{
			"mounts: another source drops what was of the old one", setting.Mounts,
			setting.Members{"/a": {"hostPath": "/srv"}},
			setting.Members{"/a": {"volume": "a:b", "storage": "a", "size": setting.GiB, "backup": true}},
			setting.Facts{},
			setting.Members{"/a": {"hostPath": "/srv"}},
		},
		{
			"mounts: a named volume brings its storage", setting.Mounts,
			setting.Members{"/a": {"volume": "c:d"}},
			setting.Members{"/a": {"volume": "a:b", "storage": "a", "size": setting.GiB}},
			setting.Facts{},
			setting.Members{"/a": {"volume": "c:d", "storage": "c", "size": setting.GiB}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tt.row.Want(tt.spec, tt.have, tt.facts)
			if !ok {
				got = nil
			}
			if tt.name == "features: all gone" {
				// Off or absent: what matters is that Proxmox makes the same of both.
				if !tt.row.Equal(got, nil) {
					t.Errorf("want no features, got %v", got)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestEqual shows what is no difference.
func TestEqual(t *testing.T) {
	tests := []struct {
		row  setting.Row
		a, b any
		want bool
	}{
		{setting.Swap, nil, setting.Bytes(0), true},
		{setting.Swap, nil, 512 * setting.MiB, false},
		{setting.Unprivileged, nil, false, true},
		{setting.Unprivileged, nil, true, false},
		{setting.Cores, nil, int64(1), false},
		{setting.Cores, nil, nil, true},
		{setting.Tags, []string{"a", "b"}, []string{"b", "a"}, true},
		{setting.Tags, []string{"a"}, []string{"a", "b"}, false},
		{setting.NameServers, []string{"192.0.2.1", "192.0.2.2"}, []string{"192.0.2.2", "192.0.2.1"}, false},
		{setting.Features, nil, setting.Record{"nesting": false}, true},
		{setting.Features, nil, setting.Record{"nesting": true}, false},
		{setting.Network, setting.Members{"eth0": {"mac": "bc:24:11:00:00:01"}}, setting.Members{"eth0": {"mac": "BC:24:11:00:00:01", "type": "veth"}}, true},
		{setting.Mounts, setting.Members{"/a": {}}, setting.Members{"/b": {}}, false},
	}
	for _, tt := range tests {
		if got := tt.row.Equal(tt.a, tt.b); got != tt.want || tt.row.Equal(tt.b, tt.a) != tt.want {
			t.Errorf("%s: %v and %v equal: %t, want %t", tt.row.Info().Path, tt.a, tt.b, got, tt.want)
		}
	}
}

// TestMembers shows what a change of one member of a family costs, and who may make it.
func TestMembers(t *testing.T) {
	type r = setting.Record
	volume := r{"volume": "a:b", "storage": "a", "size": setting.GiB}
	with := func(base r, path string, v any) r {
		out := r{}
		for k, x := range base {
			out[k] = x
		}
		out[path] = v
		return out
	}
	eth := r{"bridge": "vmbr0", "ipv4": "dhcp", "mac": "BC:24:11:00:00:01"}
	tests := []struct {
		name     string
		fam      *setting.Family
		old, new r
		index    int
		effect   setting.Effect
		root     bool
	}{
		{"new volume", setting.Mounts, nil, volume, 0, setting.Online, false},
		{"new bind mount", setting.Mounts, nil, r{"hostPath": "/srv"}, 0, setting.Online, true},
		{"removed bind mount", setting.Mounts, r{"hostPath": "/srv"}, nil, 0, setting.Restart, false},
		{"removed volume", setting.Mounts, volume, nil, 0, setting.Restart, false},
		{"grown", setting.Mounts, volume, with(volume, "size", 2*setting.GiB), 0, setting.Online, false},
		{"shrunk", setting.Mounts, with(volume, "size", 2*setting.GiB), volume, 0, setting.Refused, false},
		{"read only", setting.Mounts, volume, with(volume, "readOnly", true), 0, setting.Restart, false},
		{"address", setting.Network, eth, with(eth, "ipv4", "192.0.2.1/24"), 0, setting.Online, false},
		{"bridge", setting.Network, eth, with(eth, "bridge", "vmbr1"), 0, setting.LinkFlap, false},
		{"MAC address in other letters", setting.Network, eth, with(eth, "mac", "bc:24:11:00:00:01"), 0, setting.Online, false},
		{"MAC address", setting.Network, eth, with(eth, "mac", "BC:24:11:00:00:02"), 0, setting.LinkFlap, false},
		{"MTU", setting.Network, eth, with(eth, "mtu", int64(1400)), 0, setting.Online, false},
		{"new interface", setting.Network, nil, eth, 10, setting.Online, false},
		{"removed interface", setting.Network, eth, nil, 9, setting.LinkFlap, false},
		{"removed interface with two digits", setting.Network, eth, nil, 10, setting.Restart, false},
		{"new device", setting.Devices, nil, r{}, 0, setting.Online, true},
		{"changed device", setting.Devices, r{}, r{"gid": int64(1)}, 0, setting.Restart, true},
		{"removed device", setting.Devices, r{}, nil, 0, setting.Restart, true},
	}
	pointer := func(v r) *r {
		if v == nil {
			return nil
		}
		return &v
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := tt.fam.Change("x", pointer(tt.old), pointer(tt.new), tt.index, setting.Facts{Running: true, Unprivileged: true})
			if c.Effect != tt.effect || c.Access.Root != tt.root {
				t.Errorf("got %s, root %t; want %s, root %t", c.Effect, c.Access.Root, tt.effect, tt.root)
			}
			c = tt.fam.Change("x", pointer(tt.old), pointer(tt.new), tt.index, setting.Facts{Unprivileged: true})
			if c.Effect != setting.Online && c.Effect != setting.Refused {
				t.Errorf("of a stopped container: %s", c.Effect)
			}
		})
	}
}

// TestRootFS shows what a change of the root file system costs a running container.
func TestRootFS(t *testing.T) {
	have := setting.Record{"volume": "a:b", "storage": "a", "size": setting.GiB}
	tests := []struct {
		name string
		new  setting.Record
		want setting.Effect
		root bool
	}{
		{"nothing", setting.Record{"volume": "a:b", "storage": "a", "size": setting.GiB}, setting.Online, false},
		{"grown", setting.Record{"volume": "a:b", "storage": "a", "size": 2 * setting.GiB}, setting.Online, false},
		{"shrunk", setting.Record{"volume": "a:b", "storage": "a", "size": 512 * setting.MiB}, setting.Refused, false},
		{"ACLs", setting.Record{"volume": "a:b", "storage": "a", "size": setting.GiB, "acl": true}, setting.Restart, false},
		{"moved", setting.Record{"volume": "a:b", "storage": "c", "size": setting.GiB}, setting.Restart, false},
		{"a directory of the node", setting.Record{"hostPath": "/srv"}, setting.Restart, true},
	}
	for _, tt := range tests {
		got := setting.RootFS.Effect(have, tt.new, setting.Facts{Running: true})
		if root := setting.RootFS.Access(have, tt.new, setting.Facts{}).Root; got != tt.want || root != tt.root {
			t.Errorf("%s: %s, root %t; want %s, root %t", tt.name, got, root, tt.want, tt.root)
		}
	}
}

// TestFeatures holds the rule of features to pve-container's, which compares what is written.
func TestFeatures(t *testing.T) {
	type r = setting.Record
	const others = "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)"
	tests := []struct {
		name         string
		old, new     any
		unprivileged bool
		refusal      string // part of Proxmox's answer to a token; empty where it may
	}{
		{"nesting on", nil, r{"nesting": true}, true, ""},
		{"nesting off", r{"nesting": true}, nil, true, ""},
		{"nesting beside keyctl as it is", r{"keyctl": true}, r{"keyctl": true, "nesting": true}, true, ""},
		{"keyctl on", nil, r{"keyctl": true}, true, others},
		{"keyctl explicitly off", r{"nesting": true}, r{"nesting": true, "keyctl": false}, true, others},
		{"keyctl gone with all", r{"keyctl": true}, nil, true, others},
		{"mounts in another order", r{"mount": []string{"nfs", "cifs"}}, r{"mount": []string{"cifs", "nfs"}}, true, others},
		{"nesting of a privileged container", nil, r{"nesting": true}, false, "privileged container"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := setting.Features.Access(tt.old, tt.new, setting.Facts{Unprivileged: tt.unprivileged})
			if a.Root != (tt.refusal != "") || !strings.Contains(a.Refusal, tt.refusal) {
				t.Errorf("got %+v, want refusal %q", a, tt.refusal)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	known := []string{"memory", "mounts", "network", "swap"}
	for name, want := range map[string]string{"memroy": "memory", "MEMORY": "memory", "mount": "mounts", "xyzzyplugh": "", "": ""} {
		if got := setting.Nearest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// TestBytes shows amounts as people read and write them.
func TestBytes(t *testing.T) {
	for text, want := range map[string]string{"1024MiB": "1 GiB", "1.5GiB": "1536 MiB", "0MiB": "0 MiB", "1025KiB": "1025 KiB"} {
		b, err := setting.ParseBytes(text)
		if err != nil || b.String() != want {
			t.Errorf("%s: %s, %v; want %s", text, b, err, want)
		}
		if again, err := setting.ParseBytes(b.Spec()); err != nil || again != b {
			t.Errorf("%s: %s is %s, %v", text, b.Spec(), again, err)
		}
	}
}
