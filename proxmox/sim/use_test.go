package sim

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/felhom/tend/proxmox"
)

// TestToldUse: what a storage tells of the use of a volume depends on its type, and a running root tells by itself.
func TestToldUse(t *testing.T) {
	t.Parallel()
	const used = 3 << 30
	st := &State{
		Nodes: map[string]*Node{"pve1": {CPUs: 2, Memory: 4 << 30}},
		Storages: map[string]*Storage{
			"local": {Type: "dir", Path: "/var/lib/vz", Content: []string{"rootdir"}},
			"lvm":   {Type: "lvm", VGName: "a", Content: []string{"rootdir"}},
			"thin":  {Type: "lvmthin", VGName: "b", Content: []string{"rootdir"}},
			"tank":  {Type: "zfspool", Pool: "tank", Content: []string{"rootdir"}},
		},
		Containers: map[proxmox.VMID]*Container{100: {Node: "pve1", Running: true, Config: "rootfs: thin:vm-100-disk-0,size=8G\n"}},
		Volumes: map[string]*Volume{
			"local:100/vm-100-disk-0.raw": {Size: 8 << 30, Used: used, Node: "pve1"}, "lvm:vm-100-disk-0": {Size: 8 << 30, Used: used, Node: "pve1"},
			"thin:vm-100-disk-0": {Size: 8 << 30, Used: used, Node: "pve1"}, "tank:subvol-100-disk-0": {Size: 8 << 30, Used: used, Node: "pve1"},
		},
	}
	client := proxmox.NewClient(start(t, st, Options{}).As(rootUser))
	for volume, want := range map[string]int64{
		"local:100/vm-100-disk-0.raw": used, "lvm:vm-100-disk-0": 0, "thin:vm-100-disk-0": 0, "tank:subvol-100-disk-0": used,
	} {
		if u, err := client.VolumeUse(t.Context(), "pve1", volume); err != nil || u.Used != want || u.Size != 8<<30 {
			t.Errorf("%s: %+v, %v; want %d bytes", volume, u, err, want)
		}
	}
	status, err := client.Status(t.Context(), proxmox.Ref{Node: "pve1", ID: 100})
	if want := used - int64(FileSystem(8<<30)); err != nil || status.Disk != want {
		t.Errorf("the root of a running container holds %d bytes, %v; want %d", status.Disk, err, want)
	}
}

// TestInterface: the configuration of a node names its bridges to who may read it, whatever the rights to them.
func TestInterface(t *testing.T) {
	t.Parallel()
	st := lab(t)
	st.Users["audit@pve"] = &User{}
	st.ACL = append(st.ACL, ACL{Path: "/nodes/pve1", Role: "PVEAuditor", User: "audit@pve"})
	s := start(t, st, Options{})
	client := proxmox.NewClient(s.As("audit@pve"))
	for name, want := range map[string]bool{"vmbr0": true, "vmbr99": false} {
		if there, err := client.HasInterface(t.Context(), "pve1", name); err != nil || there != want {
			t.Errorf("%s: %v, %v; want %v", name, there, err, want)
		}
	}
	if list, err := client.Bridges(t.Context(), "pve1"); err != nil || len(list) != 0 {
		t.Errorf("bridges without a right to them: %v, %v", list, err)
	}
	if _, err := proxmox.NewClient(s.As("nobody@pve")).HasInterface(t.Context(), "pve1", "vmbr0"); !errors.Is(err, proxmox.ErrForbidden) {
		t.Errorf("without Sys.Audit: %v", err)
	}
}

// TestFullInLog: a tool that finds no room says so in the log alone, and the error of the task tells.
func TestFullInLog(t *testing.T) {
	t.Parallel()
	st := lab(t)
	s := start(t, st, Options{})
	if err := s.FillStorage("local", 1<<20); err != nil {
		t.Fatal(err)
	}
	var template string
	for volume := range st.Templates {
		template = volume
	}
	raw := failing(t, s, map[string]string{"vmid": "970", "ostemplate": template, "rootfs": "local:4"})
	var upid string
	if err := json.Unmarshal(raw, &upid); err != nil {
		t.Fatal(err)
	}
	id, err := proxmox.ParseUPID(upid)
	if err != nil {
		t.Fatal(err)
	}
	client := proxmox.NewClient(s.As(rootUser))
	status, err := client.TaskStatus(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	log, err := client.TaskLogTail(t.Context(), id, 20)
	if err != nil {
		t.Fatal(err)
	}
	if e := proxmox.NewTaskError(status, log); !errors.Is(e, proxmox.ErrNoSpace) {
		t.Errorf("%v, %q", e, log)
	}
}

// failing starts a create whose task fails.
func failing(t *testing.T, s *Sim, form map[string]string) json.RawMessage {
	t.Helper()
	raw, err := request(s, rootUser, "POST", "/nodes/pve1/lxc", form)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
