package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/live"
)

// diskBox is a node with a failing disk below tank, and a user "disks@pve" whose only privileges are those given, on /
// and on the node.
func diskBox(t *testing.T, on map[string]string) *sim.Sim {
	t.Helper()
	text, err := os.ReadFile("../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	st, err := sim.ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	st.Storages["tank"] = &sim.Storage{Type: "zfspool", Pool: "tank", Content: []string{"rootdir"}, Total: 1 << 40}
	st.Storages["thin"] = &sim.Storage{Type: "lvmthin", VGName: "pve", Thin: "data", Content: []string{"rootdir"}}
	st.Nodes["pve1"].Drives = []*sim.Drive{
		{Device: "/dev/nvme0n1", Type: "nvme", Serial: "N1", Size: 1 << 40, Used: 3, Celsius: 38, Parts: []*sim.DrivePart{{Device: "/dev/nvme0n1p3", VG: "pve", Mount: "/"}}},
		{Device: "/dev/sda", Type: "hdd", Serial: "S0001", ID: "ata-DISK_S0001", Size: 1 << 42, Health: "FAILED!", Pending: 8, Celsius: 34, Parts: []*sim.DrivePart{{Device: "/dev/sda1", Pool: "tank"}}},
		{Device: "/dev/sdb", Type: "usb", Size: 1 << 41, Health: "UNKNOWN"},
	}
	st.Nodes["pve1"].Sensors = map[string]map[string]sim.SensorFeatures{"cpu": {"Package": {"temp1_input": 47, "temp1_max": 80}}}
	st.Users["disks@pve"] = &sim.User{}
	for path, privs := range on {
		st.Roles["disks"+strings.ReplaceAll(path, "/", "-")] = strings.Fields(privs)
		st.ACL = append(st.ACL, sim.ACL{Path: path, Role: "disks" + strings.ReplaceAll(path, "/", "-"), User: "disks@pve"})
	}
	s, err := sim.New(st, sim.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func asRoot(s *sim.Sim) live.DiskRoot {
	return lane.NewActor(map[string]lane.Doer{"pve1": lane.Lane{Backend: s.Root("pve1")}})
}

// told is what is known of a node, in lines.
func told(n *health.Node) string {
	var b strings.Builder
	num := func(v *int64) string {
		if v == nil {
			return "-"
		}
		return fmt.Sprint(*v)
	}
	for _, d := range n.Disks {
		fmt.Fprintf(&b, "%s %s wear %s, %s °C, pending %s, by %s\n", d.Name(), d.Level, num(d.Wear), num(d.Celsius), num(d.Pending), d.From)
	}
	for _, s := range n.Sensors {
		fmt.Fprintf(&b, "%s %g %s\n", s.Name, s.Value, s.Unit)
	}
	for _, x := range n.Storages {
		unknown := ""
		if x.Unknown != "" {
			unknown = "?"
		}
		fmt.Fprintf(&b, "%s: %s%s\n", x.Storage, strings.Join(x.Disks, " "), unknown)
	}
	for _, g := range n.Gaps {
		fmt.Fprintf(&b, "! %s: %s → %s\n", g.What, g.Why, strings.Join(g.Ways, "; "))
	}
	return b.String()
}

// TestDisks reads with fewer and fewer privileges, with and without root on the node.
func TestDisks(t *testing.T) {
	const (
		noSensors = "! sensors: Proxmox has no call for them → let tend act as root on the node: lane: helper (tend explain root)\n"
		// local lies on the root file system, of which the API tells nothing
		byAPI = "nvme0n1 ok wear 3, 38 °C, pending -, by the API\nsda failing wear -, 34 °C, pending 8, by the API\nsdb unknown wear -, - °C, pending -, by the API\n"
		list  = "nvme0n1 ok wear 3, - °C, pending -, by the API\nsda failing wear -, - °C, pending -, by the API\nsdb unknown wear -, - °C, pending -, by the API\n"
	)
	for _, tt := range []struct {
		name   string
		on     map[string]string
		root   bool
		detail bool
		lines  []string // that are told, in this order
		not    string
	}{
		{name: "all of it", on: map[string]string{"/": "Sys.Audit Datastore.Audit"}, detail: true, lines: []string{byAPI, "local: ?\n", "tank: /dev/sda\n", "thin: /dev/nvme0n1\n", noSensors}},
		{name: "all of it and root", on: map[string]string{"/": "Sys.Audit Datastore.Audit"}, root: true, detail: true, lines: []string{byAPI, "Package 47 °C\n", "local: /dev/nvme0n1\n", "tank: /dev/sda\n"}, not: "!"},
		{name: "the node alone", on: map[string]string{"/nodes/pve1": "Sys.Audit"}, detail: true, lines: []string{
			list, "! temperatures and errors of disks: the token may not read them → give the token Sys.Audit on /, for all", noSensors,
		}, not: "tank"},
		{name: "the node alone and root", on: map[string]string{"/nodes/pve1": "Sys.Audit"}, root: true, detail: true, lines: []string{
			strings.ReplaceAll(strings.Replace(byAPI, "8, by the API", "8, by smartctl", 1), "pending -, by the API\nsda", "pending -, by smartctl\nsda"), "Package 47", "tank: /dev/sda\n",
		}, not: "!"},
		{name: "nothing", detail: true, lines: []string{"! disks: the token may not read them → give the token Sys.Audit on /nodes/pve1, for all that disks tell: on /"}, not: "sensors"},
		{name: "nothing, and root", root: true, detail: true, lines: []string{"sda failing wear -, 34 °C, pending 8, by smartctl", "Package", "tank: /dev/sda\n"}, not: "!"},
		{name: "for a plan", on: map[string]string{"/": "Sys.Audit Datastore.Audit"}, lines: []string{list, "tank: /dev/sda\n"}, not: "sensors"},
		{name: "for a plan, the storages hidden", on: map[string]string{"/nodes/pve1": "Sys.Audit"}, lines: []string{list}, not: "tank"},
		{name: "for a plan, as root", root: true, lines: []string{list, "tank: /dev/sda\n"}, not: "!"},
		{name: "for a plan, nothing", lines: []string{"! disks: the token"}, not: "sda"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := diskBox(t, tt.on)
			d := live.Disks{Client: proxmox.NewClient(s.As("disks@pve"))}
			if tt.root {
				d.Root = asRoot(s)
			}
			read := d.Check
			if tt.detail {
				read = d.Look
			}
			got := told(read(t.Context(), "pve1"))
			rest := got
			for _, l := range tt.lines {
				_, after, ok := strings.Cut(rest, l)
				if !ok {
					t.Fatalf("%q is not told, or not in its place:\n%s", l, got)
				}
				rest = after
			}
			if tt.not != "" && strings.Contains(got, tt.not) {
				t.Errorf("%q is told:\n%s", tt.not, got)
			}
		})
	}
}

// TestDisksCost counts what is asked: one request where all is well.
func TestDisksCost(t *testing.T) {
	s := diskBox(t, map[string]string{"/": "Sys.Audit Datastore.Audit"})
	c := &counted{Transport: s.As("disks@pve")}
	d := live.Disks{Client: proxmox.NewClient(c)}
	d.Check(t.Context(), "pve1")
	want := []string{
		"GET /nodes/pve1/disks/directory", "GET /nodes/pve1/disks/list", "GET /nodes/pve1/disks/lvm", "GET /nodes/pve1/disks/zfs/tank", "GET /storage",
	}
	if diff := cmp.Diff(want, pools(c.take())); diff != "" {
		t.Errorf("a node with a failing disk: %s", diff)
	}
	good := s.State()
	good.Nodes["pve1"].Drives[1].Health = ""
	well, err := sim.New(good, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer well.Close()
	c.Transport = well.As("disks@pve")
	d.Check(t.Context(), "pve1")
	if diff := cmp.Diff([]string{"GET /nodes/pve1/disks/list"}, c.take()); diff != "" {
		t.Errorf("a node that is well: %s", diff)
	}
	d.MaxAge = time.Hour
	d.Look(t.Context(), "pve1")
	c.take()
	d.Look(t.Context(), "pve1")
	if n := d.Check(t.Context(), "pve1"); len(c.take()) > 0 || len(n.Disks) != 3 {
		t.Error("what is known well enough is asked again")
	}
}

// pools leaves out the pools that lab.yaml has besides.
func pools(asked []string) (out []string) {
	for _, a := range asked {
		if !strings.Contains(a, "/zfs/") || strings.HasSuffix(a, "/tank") {
			out = append(out, a)
		}
	}
	return out
}

// TestDisksSlow shows that a disk that does not answer holds nothing up for long, and is no error.
func TestDisksSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := transportFunc(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		d := live.Disks{Client: proxmox.NewClient(hangs)}
		begin := time.Now()
		n := d.Look(t.Context(), "pve1")
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("it took %v", took)
		}
		if got := told(n); !strings.Contains(got, "! disks: the node did not answer in time: a disk may be about to die") {
			t.Error(got)
		}
	})
	s := diskBox(t, map[string]string{"/": "Sys.Audit Datastore.Audit"})
	one := live.Disks{Patience: 50 * time.Millisecond, Client: proxmox.NewClient(hanging{s.As("disks@pve"), "/dev/sda"})}
	got := told(one.Look(t.Context(), "pve1"))
	for _, line := range []string{"nvme0n1 ok wear 3, 38 °C", "sda unknown", "! temperatures and errors of disks: the node did not answer in time"} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is not told:\n%s", line, got)
		}
	}
	broken := live.Disks{Client: proxmox.NewClient(transportFunc(func(context.Context) error { return errors.New("no route") }))}
	if got := told(broken.Check(t.Context(), "pve1")); got != "! disks: no route → \n" {
		t.Errorf("got %q", got)
	}
}

// A transportFunc answers nothing but errors.
type transportFunc func(context.Context) error

func (f transportFunc) Do(ctx context.Context, _ proxmox.Request) (json.RawMessage, error) {
	return nil, f(ctx)
}

// hanging answers all but one disk.
type hanging struct {
	proxmox.Transport
	disk string
}

func (h hanging) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	if r.Params.Get("disk") == h.disk {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.Transport.Do(ctx, r)
}
