package plan_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

var (
	disk  = proxmox.FileSystem{Device: "/dev/sdb1", Type: "ext4", UUID: "1f2e", Label: "media"}
	other = proxmox.FileSystem{Device: "/dev/sdc1", Type: "xfs", UUID: "9a9a"}
)

func usb() *spec.HostMount {
	return &spec.HostMount{Node: "pve1", HostMount: proxmox.HostMount{Name: "usb", Device: "UUID=1f2e", Path: "/mnt/usb", Filesystem: "ext4"}}
}

// there is the node with usb mounted.
func there(change func(*proxmox.MountStatus)) *proxmox.NodeMounts {
	s := proxmox.MountStatus{HostMount: usb().HostMount, Owner: "tend", Enabled: true, Mounted: "/dev/sdb1 ext4", Right: true}
	if change != nil {
		change(&s)
	}
	return &proxmox.NodeMounts{Mounts: []proxmox.MountStatus{s}, FileSystems: []proxmox.FileSystem{disk, other}, Found: map[string]proxmox.FileSystem{"UUID=1f2e": disk}}
}

func absent() *proxmox.NodeMounts {
	n := there(nil)
	n.Mounts = nil
	return n
}

// TestHostMounts plans host mounts on their own.
func TestHostMounts(t *testing.T) {
	used := func(n *proxmox.NodeMounts) *proxmox.NodeMounts {
		n.Uses = []proxmox.PathUse{{Path: "/mnt/usb/films", Guest: 103}}
		return n
	}
	for _, tc := range []struct {
		name string
		want func(*spec.HostMount) // nil: none
		have *proxmox.NodeMounts
		off  bool
		err  error
		plan string
	}{
		{name: "in sync", want: func(*spec.HostMount) {}, have: there(nil)},
		{
			name: "absent", want: func(*spec.HostMount) {}, have: absent(),
			plan: "host mount usb on pve1: create\n  + device UUID=1f2e · online\n",
		},
		{name: "other options", want: func(m *spec.HostMount) { m.Options = []string{"noatime"} }, have: used(there(nil)), plan: "host mount usb on pve1: change\n"},
		{name: "not mounted", want: func(*spec.HostMount) {}, have: there(func(s *proxmox.MountStatus) { s.Mounted, s.Right = "", false }), plan: "(it is not mounted)"},
		{name: "not at the start", want: func(*spec.HostMount) {}, have: there(func(s *proxmox.MountStatus) { s.Enabled = false }), plan: "(the start of the node would not mount it)"},
		{
			name: "no such UUID", want: func(m *spec.HostMount) { m.Device = "UUID=beef" }, have: absent(),
			plan: "host mount usb on pve1: blocked: mount: there is no UUID=beef on the node; there are: UUID=1f2e (ext4, label media, /dev/sdb1); UUID=9a9a (xfs, /dev/sdc1)\n",
		},
		{name: "another device, in use", want: func(m *spec.HostMount) { m.Device, m.Filesystem = "UUID=9a9a", "" }, have: used(there(nil)), plan: "blocked: change: /dev/sdb1 ext4 is mounted at /mnt/usb and would have to be unmounted, and it is used by container 103"},
		{name: "another owner's", want: func(*spec.HostMount) {}, have: there(func(s *proxmox.MountStatus) { s.Owner = "else" }), plan: "blocked: mount: /mnt/usb is the host mount usb of the owner else"},
		{name: "somebody's", want: func(*spec.HostMount) {}, have: &proxmox.NodeMounts{Others: []proxmox.OtherMount{{Path: "/mnt/usb", By: "/dev/sdc1 xfs, in /etc/fstab"}}}, plan: "/dev/sdc1 xfs, in /etc/fstab is mounted there, which is not tend's"},
		{name: "nobody is root", want: func(*spec.HostMount) {}, off: true, plan: "blocked: mount: whether it is mounted is not known, for only root on the node can see and mount it, and tend acts with an API token"},
		{name: "cannot be read", want: func(*spec.HostMount) {}, err: errors.New("read host mounts of node pve1: it broke"), plan: "blocked: mount: read host mounts of node pve1: it broke"},
		{name: "a node that is offline", want: func(m *spec.HostMount) { m.Node = "pve2" }, have: absent(), plan: "host mount usb on pve2: blocked: mount: node pve2 is offline"},
		{name: "removed", have: there(nil), plan: "host mount usb on pve1: destroy\n  1. as root: unmount /mnt/usb (/mnt/usb is not in the spec; what is on the disk stays)\n"},
		{name: "removed, and in use", have: used(there(nil)), plan: "host mount usb on pve1: blocked: unmount: it is not in the spec, and /mnt/usb is used by container 103\n"},
		{name: "removed, of another owner", have: there(func(s *proxmox.MountStatus) { s.Owner = "else" })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &spec.State{Cluster: spec.Cluster{Name: "home", Owner: "tend"}, ManagesHostMounts: true}
			if tc.want != nil {
				m := usb()
				tc.want(m)
				s.HostMounts = []*spec.HostMount{m}
			}
			have := &plan.Live{Nodes: map[string]bool{"pve1": true, "pve2": false}, HostMounts: map[string]*proxmox.NodeMounts{}}
			if tc.have != nil {
				have.HostMounts["pve1"] = tc.have
			}
			have.HostMountsBroken = map[string]error{"pve1": tc.err}
			pol := plan.Policy{RootNodes: []string{"pve1", "pve2"}}
			if tc.off {
				pol = plan.Policy{}
			}
			p := plan.Compute(s, have, pol)
			got := p.String()
			if tc.plan == "" && got != "0 in sync\n" || !strings.Contains(got, tc.plan) {
				t.Errorf("got\n%swant\n%s", got, tc.plan)
			}
			if n := p.RootOperations(); n != len(p.Lanes) {
				t.Errorf("%d root operations in %d lanes", n, len(p.Lanes))
			}
		})
	}
}

// TestHostMountOfContainer orders a container and the host mount that it uses.
func TestHostMountOfContainer(t *testing.T) {
	const want = `"mounts": {"/media": {"hostMount": "usb", "path": "films"}}`
	for _, tc := range []struct {
		name    string
		device  string
		have    *proxmox.NodeMounts
		values  proxmox.Values
		stopped bool
		plan    string
	}{{
		name: "mounted first", have: absent(), values: webValues(),
		plan: `host mount usb on pve1: create
  + device UUID=1f2e · online
  + path /mnt/usb · online
  + filesystem ext4 · online
  1. as root: mount UUID=1f2e at /mnt/usb
101 web: change on pve1 · online · after host mount usb on pve1
  + mount /media bind /mnt/usb/films · online
  1. as root: set mp0="/mnt/usb/films,mp=/media"
0 in sync
`,
	}, {
		name: "blocked, and the mount with it", device: "UUID=beef", have: absent(), values: webValues(),
		plan: `host mount usb on pve1: blocked: mount: there is no UUID=beef on the node; there are: UUID=1f2e (ext4, label media, /dev/sdb1); UUID=9a9a (xfs, /dev/sdc1)
101 web: blocked: mount /media: host mount usb is not there: there is no UUID=beef on the node; there are: UUID=1f2e (ext4, label media, /dev/sdb1); UUID=9a9a (xfs, /dev/sdc1)
0 in sync
`,
	}, {
		name: "blocked, and not started without it", device: "UUID=beef", have: absent(), stopped: true, values: with(webValues(), "mp0", "/mnt/usb/films,mp=/media"),
		plan: `host mount usb on pve1: blocked: mount: there is no UUID=beef on the node; there are: UUID=1f2e (ext4, label media, /dev/sdb1); UUID=9a9a (xfs, /dev/sdc1)
101 web: blocked: start: host mount usb is not there: there is no UUID=beef on the node; there are: UUID=1f2e (ext4, label media, /dev/sdb1); UUID=9a9a (xfs, /dev/sdc1)
0 in sync
`,
	}, {
		name: "there already", have: there(nil), values: with(webValues(), "mp0", "/mnt/usb/films,mp=/media"), plan: "1 in sync\n",
	}} {
		t.Run(tc.name, func(t *testing.T) {
			have := observe(t, !tc.stopped, proxmox.Config{Current: tc.values})
			have.Containers[101].Raw = []proxmox.RawLine{}
			have.HostMounts = map[string]*proxmox.NodeMounts{"pve1": tc.have}
			s := declare(t, want, func(c *spec.Container) { c.Power = spec.Running })
			m := usb()
			if tc.device != "" {
				m.Device = tc.device
			}
			s.HostMounts, s.ManagesHostMounts = []*spec.HostMount{m}, true
			got := plan.Compute(s, have, plan.Policy{RootNodes: []string{"pve1"}}).String()
			if diff := cmp.Diff(tc.plan, got); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSnippets plans hook scripts.
func TestSnippets(t *testing.T) {
	script := &spec.Snippet{Name: "hook", Storage: "local", File: "hooks/h.sh", Content: []byte("#!/bin/sh\n")}
	status := proxmox.SnippetStatus{SHA256: script.SHA256(), Executable: true}
	for _, tc := range []struct {
		name string
		have proxmox.SnippetStatus
		off  bool
		plan string
	}{
		{"in place", status, false, "1 in sync\n"},
		{"absent", proxmox.SnippetStatus{}, false, "snippet hook on pve1: create\n  1. as root: put snippet local:snippets/h.sh\n"},
		{"another", proxmox.SnippetStatus{SHA256: "x", Executable: true}, false, "snippet hook on pve1: change\n  1. as root: put snippet local:snippets/h.sh (its content is another)\n"},
		{"not executable", proxmox.SnippetStatus{SHA256: status.SHA256}, false, "(it is not executable)"},
		{"cannot be read", proxmox.SnippetStatus{Broken: "no such storage"}, false, "snippet hook on pve1: blocked: put: no such storage"},
		{"nobody is root", status, true, "snippet hook on pve1: blocked: put: whether it is there is not known"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			have := observe(t, true, proxmox.Config{Current: with(webValues(), "hookscript", "local:snippets/h.sh")})
			have.Containers[101].Raw = []proxmox.RawLine{}
			have.Snippets = map[string]map[string]proxmox.SnippetStatus{"pve1": {"local:snippets/h.sh": tc.have}}
			s := declare(t, `"hookScript": "hook"`)
			s.Snippets = []*spec.Snippet{script}
			pol := plan.Policy{RootNodes: []string{"pve1"}}
			if tc.off {
				pol = plan.Policy{}
			}
			if got := plan.Compute(s, have, pol).String(); !strings.Contains(got, tc.plan) {
				t.Errorf("got\n%swant\n%s", got, tc.plan)
			}
		})
	}
}
