package view_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// roleNode is a node without any user but root.
func roleNode(t *testing.T) *sim.Sim {
	t.Helper()
	debian := "debian"
	s, err := sim.New(&sim.State{
		Cluster: sim.Cluster{Quorate: true},
		Nodes: map[string]*sim.Node{"pve1": {
			CPUs: 8, Memory: 32 << 30, Bridges: map[string]*sim.Bridge{"vmbr0": {MTU: 1500}, "vmbr1": {MTU: 1500}},
		}},
		Storages: map[string]*sim.Storage{
			"local":  {Type: "dir", Path: "/var/lib/vz", Content: []string{"vztmpl"}},
			"dumps":  {Type: "dir", Path: "/mnt/dumps", Content: []string{"backup"}},
			"tank":   {Type: "zfspool", Pool: "tank", Content: []string{"rootdir", "images"}},
			"thin":   {Type: "lvmthin", VGName: "pve", Thin: "data", Content: []string{"rootdir", "images"}},
			"unused": {Type: "zfspool", Pool: "unused", Content: []string{"rootdir", "images"}},
		},
		Templates: map[string]*sim.Template{"local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst": {Size: 129710398, OSType: &debian}},
	}, sim.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// pveum carries out a line that doctor --role prints.
func pveum(t *testing.T, s *sim.Sim, line string) {
	t.Helper()
	words := splitWords(line)
	flags := url.Values{}
	var names []string
	for i := 3; i < len(words); i++ {
		if name, isFlag := strings.CutPrefix(words[i], "--"); isFlag {
			i++
			flags.Set(name, words[i])
		} else {
			names = append(names, words[i])
		}
	}
	r := proxmox.Request{Method: "POST", Params: flags}
	switch words[1] + " " + words[2] {
	case "role add":
		r.Path, r.Params["roleid"] = "/access/roles", names[:1]
	case "user add":
		r.Path, r.Params["userid"] = "/access/users", names[:1]
	case "user token":
		r.Path = "/access/users/" + names[1] + "/token/" + names[2]
	case "acl modify":
		r.Method, r.Path, r.Params["path"] = "PUT", "/access/acl", names[:1]
	default:
		t.Fatalf("%q is no line that this test knows", line)
	}
	if _, err := s.As("root@pam").Do(t.Context(), r); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}

// splitWords splits a line as a shell does, with quotes around whole words.
func splitWords(line string) []string {
	var out []string
	for line != "" {
		end, from := " ", 0
		if line[0] == '"' || line[0] == '\'' {
			end, from = line[:1], 1
		}
		word, rest, _ := strings.Cut(line[from:], end)
		out = append(out, word)
		line = strings.TrimPrefix(rest, " ")
	}
	return out
}

// life is what a spec lives through: made from nothing, changed, recreated and in part pruned. The last spec but one
// is the one that a role is made for.
func life() (made, changed, pruned *spec.State) {
	volume := func(storage string, size setting.Bytes) setting.Record {
		r := setting.Record{}
		setting.Storage.Set(r, storage)
		setting.Size.Set(r, size)
		setting.Backup.Set(r, true)
		return r
	}
	nic := func(bridge string, vlan int64) setting.Record {
		r := setting.Record{}
		setting.Bridge.Set(r, bridge)
		if vlan > 0 {
			setting.VLAN.Set(r, vlan)
		}
		return r
	}
	container := func(id proxmox.VMID, root setting.Record) *spec.Container {
		delete(root, setting.Backup.Path)
		r := setting.Record{}
		setting.RootFS.Set(r, root)
		return &spec.Container{
			Name: "ct" + id.String(), ID: id, Node: "pve1", Settings: r, Power: spec.Stopped, Restart: spec.RestartNow,
			From: spec.From{Template: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"},
		}
	}
	state := func(list ...*spec.Container) *spec.State {
		return spec.NewState(spec.Cluster{Name: "home", Owner: "tend"}, list)
	}
	web, later := container(200, volume("tank", 4*setting.GiB)), container(200, volume("tank", 5*setting.GiB))
	for _, w := range []*spec.Container{web, later} {
		w.Power = spec.Running
		w.Settings[setting.Network.Path] = setting.Members{"eth0": nic("vmbr0", 0)}
		setting.Memory.Set(w.Settings, setting.GiB)
		setting.Cores.Set(w.Settings, 1)
	}
	setting.Memory.Set(later.Settings, 2*setting.GiB)
	setting.Cores.Set(later.Settings, 2)
	setting.TimeZone.Set(later.Settings, "host") // from the next start on
	later.Settings[setting.Network.Path] = setting.Members{"eth0": nic("vmbr0", 0), "eth1": nic("vmbr1", 30)}
	later.Settings[setting.Mounts.Path] = setting.Members{"/data": volume("thin", setting.GiB)}
	base, anew := container(201, volume("tank", 2*setting.GiB)), container(201, volume("tank", 2*setting.GiB))
	anew.Lifecycle = spec.Lifecycle{AllowRecreate: true, BackupTo: "dumps"}
	setting.Unprivileged.Set(anew.Settings, false)
	clone := container(202, volume("tank", 2*setting.GiB))
	clone.From = spec.From{Clone: spec.Clone{ID: 201, Kind: spec.FullClone}}
	setting.Unprivileged.Set(clone.Settings, true)
	return state(web, base), state(later, anew, clone), state(anew, clone)
}

// live lets the specs be applied with what a role gives, and returns what did not go well.
func lived(t *testing.T, s *sim.Sim, user string) []string {
	t.Helper()
	client := proxmox.NewClient(s.As(user))
	r := &reconcile.Reconciler{
		Client:   client,
		Observer: func() *live.Observer { return &live.Observer{Client: client, Shown: true} },
		Executor: execute.Executor{
			LockTimeout: time.Millisecond, Parallel: 1,
			Watcher: proxmox.NewTaskWatcher(client, proxmox.WatchOptions{Delay: -1, WaitOptions: proxmox.WaitOptions{First: time.Millisecond}}),
		},
	}
	var wrong []string
	apply := func(want *spec.State) {
		out, err := r.Once(t.Context(), want)
		if err != nil {
			wrong = append(wrong, err.Error())
			return
		}
		for _, c := range out.Containers {
			if c.Err != nil {
				wrong = append(wrong, c.Ref.String()+": "+c.Err.Error())
			}
			for _, b := range c.Blocked {
				wrong = append(wrong, c.Ref.String()+": "+b.What+": "+b.Reason)
			}
		}
		if !out.Converged() {
			wrong = append(wrong, "not converged")
		}
	}
	made, changed, pruned := life()
	apply(made)
	// the clone is one of the container as it was made: a copy of a privileged one would be privileged
	apply(spec.NewState(made.Cluster, append(slices.Clone(made.Containers), changed.Containers[2])))
	apply(changed)
	r.Policy = plan.Policy{Prune: true}
	apply(pruned)
	return wrong
}

// TestRoleIsEnough: with exactly what doctor --role prints for a spec, all that happens to the spec can be done; and
// each privilege that is taken out breaks something.
func TestRoleIsEnough(t *testing.T) {
	t.Parallel()
	_, changed, _ := life()
	role := view.Role{Grants: plan.Role(changed), User: "tend@pve", Token: "apply"}
	s := roleNode(t)
	for _, line := range role.Commands() {
		pveum(t, s, line)
	}
	if wrong := lived(t, s, "tend@pve!apply"); len(wrong) > 0 {
		t.Fatalf("with all of the role, not all can be done:\n%s\n\n%s", strings.Join(wrong, "\n"), strings.Join(role.Commands(), "\n"))
	}
	tried := 0
	for i, g := range role.Grants {
		for j, privilege := range g.Privileges {
			tried++
			less := role
			less.Grants = slices.Clone(role.Grants)
			less.Grants[i].Privileges = slices.Delete(slices.Clone(g.Privileges), j, j+1)
			if len(less.Grants[i].Privileges) == 0 {
				less.Grants = slices.Delete(less.Grants, i, i+1)
			}
			s := roleNode(t)
			for _, line := range less.Commands() {
				pveum(t, s, line)
			}
			if wrong := lived(t, s, "tend@pve!apply"); len(wrong) == 0 {
				t.Errorf("without %s on %s all can be done, too", privilege, g.Path)
			}
		}
	}
	if tried < 15 {
		t.Errorf("only %d privileges are in the role: the spec of this test does too little", tried)
	}
}
