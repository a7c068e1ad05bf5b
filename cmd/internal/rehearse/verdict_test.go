package rehearse_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/rehearse"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// moving is a container whose root is on one storage and shall be on another.
func moving(from, volume, to string, used int64, running bool) (*sim.State, *spec.State) {
	st := cluster()
	st.Containers = map[proxmox.VMID]*sim.Container{200: {
		Node: "pve1", Running: running,
		Config: "arch: amd64\nhostname: ct200\nmemory: 512\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth\n" +
			"ostype: debian\nrootfs: " + from + ":" + volume + ",size=40G\nswap: 512\ntags: tend\nunprivileged: 1\n",
	}}
	st.Volumes = map[string]*sim.Volume{from + ":" + volume: {Size: 40 << 30, Used: sim.Bytes(used), Node: "pve1"}}
	want := ct200(func(r setting.Record) {
		root, nic := setting.Record{}, setting.Record{}
		setting.Storage.Set(root, to)
		setting.Size.Set(root, 40*setting.GiB)
		setting.RootFS.Set(r, root)
		setting.Bridge.Set(nic, "vmbr0")
		r[setting.Network.Path] = setting.Members{"eth0": nic}
	})
	if !running {
		want.Containers[0].Power = spec.Stopped
	}
	return st, want
}

func only(t *testing.T, s *sim.Sim, who string, want *spec.State) rehearse.Forecast {
	t.Helper()
	r, err := rehearse.Run(t.Context(), proxmox.NewClient(s.As(who)), want, rehearse.Options{Policy: plan.Policy{}})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Containers) != 1 {
		t.Fatalf("%d forecasts, want one", len(r.Containers))
	}
	return r.Containers[0]
}

// TestRoom: how sure a rehearsal is that a copy finds room depends on what the storages tell.
func TestRoom(t *testing.T) {
	t.Parallel()
	const mib, gib = 1 << 20, 1 << 30
	tests := []struct {
		name         string
		from, volume string
		used         int64
		running      bool
		free         int64
		want         rehearse.Verdict
		because      string
	}{
		{"ZFS tells, and it fits twice", "tank", "subvol-200-disk-0", gib, false, 3 * gib, rehearse.Fine, ""},
		{"ZFS tells, and it fits once", "tank", "subvol-200-disk-0", gib, false, 3 * gib / 2, rehearse.MayFail, "holds 1 GiB as ZFS compresses it: a copy may take up to 2 GiB"},
		{"ZFS tells, and it does not fit", "tank", "subvol-200-disk-0", gib, false, 512 * mib, rehearse.WouldFail, ""},
		{"LVM tells nothing", "thick", "vm-200-disk-0", 4 * gib, false, 3 * gib, rehearse.MayFail, "how much is written in thick:vm-200-disk-0 is not told: up to 40 GiB"},
		{"LVM tells nothing, and there is room for all", "thick", "vm-200-disk-0", 4 * gib, false, 50 * gib, rehearse.Fine, ""},
		{"a running root tells, and fits", "thin", "vm-200-disk-0", 4 * gib, true, 5 * gib, rehearse.Fine, ""},
		{"a running root tells, and does not fit", "thin", "vm-200-disk-0", 4 * gib, true, 3 * gib, rehearse.WouldFail, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st, want := moving(tt.from, tt.volume, "local", tt.used, tt.running)
			s := start(t, st)
			if err := s.FillStorage("local", tt.free); err != nil {
				t.Fatal(err)
			}
			f := only(t, s, "root@pam", want)
			if f.Verdict != tt.want {
				t.Errorf("it %s, want: it %s\n%v %v", f.Verdict, tt.want, f.Err, f.Doubts)
			}
			if f.Took < 0 || f.Took > 20*time.Minute {
				t.Errorf("it takes %s", f.Took)
			}
			expect(t, f, rehearse.Full, "move rootfs to local", tt.because)
		})
	}
}

// expect looks for a doubt; none where because is empty.
func expect(t *testing.T, f rehearse.Forecast, class rehearse.Class, step, because string) {
	t.Helper()
	if because == "" {
		if len(f.Doubts) > 0 {
			t.Errorf("doubts: %v", f.Doubts)
		}
		return
	}
	if !slices.ContainsFunc(f.Doubts, func(d rehearse.Doubt) bool {
		return d.Class == class && d.Step == step && strings.Contains(strings.Join(d.Because, "\n"), because)
	}) {
		t.Errorf("it does not say at %q: %s: %s\n%v", step, class, because, f.Doubts)
	}
}

// TestHiddenBridge: whether a bridge is there that the token may not use, only Sys.Audit on the node tells.
func TestHiddenBridge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		audit, gone bool
		want        rehearse.Verdict
		because     string
	}{
		{"there, and read", true, false, rehearse.Fine, ""},
		{"gone, and read", true, true, rehearse.WouldFail, ""},
		{"there", false, false, rehearse.MayFail, "whether bridge vmbr0 of node pve1 is there"},
		{"gone", false, true, rehearse.MayFail, "whether bridge vmbr0 of node pve1 is there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st, want := moving("tank", "subvol-200-disk-0", "local", 1<<30, true)
			st.ACL = append(st.ACL, sim.ACL{Path: "/sdn/zones/localnetwork/vmbr0", Role: "NoAccess", Token: token})
			if !tt.audit {
				st.Roles["Tend"] = slices.DeleteFunc(st.Roles["Tend"], func(p string) bool { return p == "Sys.Audit" })
			}
			if tt.gone {
				delete(st.Nodes["pve1"].Bridges, "vmbr0")
			}
			f := only(t, start(t, st), token, want)
			if f.Verdict != tt.want {
				t.Errorf("it %s, want: it %s\n%v %v", f.Verdict, tt.want, f.Err, f.Doubts)
			}
			expect(t, f, rehearse.Missing, "start", tt.because)
		})
	}
}
