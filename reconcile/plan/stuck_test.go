package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// A stuckCase is a container with a lock, and what becomes of it.
type stuckCase struct {
	name     string
	lock     string
	have     plan.Observed // what is known besides
	changes  string        // to the spec
	policy   plan.Policy
	noRoot   bool
	plan     string
	ways     string // what stands in the ways out, a line each
	warnings string
}

func consent(snapshot string) plan.Policy {
	return plan.Policy{Unlock: map[proxmox.VMID]string{101: snapshot}}
}

var (
	seen    = &plan.Holder{}
	unseen  = &plan.Holder{Blind: true}
	backup  = &plan.Holder{Task: proxmox.UPID{Node: "pve1", Type: "vzdump", User: "root@pam"}}
	begun   = time.Unix(1700000000, 0)
	missing = proxmox.TaskStatus{
		UPID: proxmox.UPID{Node: "pve1", Type: "vzdelsnapshot", ID: "101", User: "tend@pve!a"}, ExitStatus: "zfs error: could not find any snapshots to destroy; check snapshot names.",
	}
	busy = proxmox.TaskStatus{
		UPID: proxmox.UPID{Node: "pve1", Type: "vzdelsnapshot", ID: "101", User: "tend@pve!a"}, ExitStatus: "zfs error: cannot destroy snapshot: dataset is busy",
	}
)

func stuckCases() []stuckCase {
	snaps := []proxmox.Snapshot{{Name: "old", Time: begun}, {Name: "new", Time: begun.Add(time.Hour)}}
	half := func(state string) []proxmox.Snapshot {
		return append(slices.Clone(snaps), proxmox.Snapshot{Name: "half", State: state, Time: begun.Add(2 * time.Hour)})
	}
	const blockedBackup = "101 web: blocked: recover: it is stuck: a backup that was not finished; it carries the lock backup, and "
	return []stuckCase{{
		name: "an operation at work is waited for", lock: "backup", have: plan.Observed{Holder: backup}, policy: consent(""), changes: `"cores": 2`,
		plan:     "101 web: change on pve1 · online\n  ~ cores 1 → 2 · online\n  1. set cores=\"2\"\n0 in sync\n",
		warnings: "--unlock 101 does nothing: task vzdump of root@pam works on it",
	}, {
		name: "a lock that has just come is", lock: "backup", policy: plan.Policy{Recover: true}, plan: "1 in sync\n",
	}, {
		name: "without consent", lock: "backup", have: plan.Observed{Holder: seen}, changes: `"cores": 2`,
		plan: blockedBackup + "no task works on it\n0 in sync\n",
		ways: "as root on pve1, once it is sure that nothing works on it: pct unlock 101\nor let tend do it: --unlock 101",
	}, {
		name: "with consent, before all else", lock: "backup", have: plan.Observed{Holder: seen}, changes: `"cores": 2`, policy: consent(""),
		plan: "101 web: change on pve1 · online\n  ~ cores 1 → 2 · online\n  1. as root: remove lock backup\n  2. set cores=\"2\"\n0 in sync\n",
	}, {
		name: "consent that stands in the configuration", lock: "migrate", have: plan.Observed{Holder: seen}, policy: plan.Policy{Recover: true},
		plan: "101 web: change on pve1 · online\n  1. as root: remove lock migrate\n0 in sync\n",
	}, {
		name: "nobody acts as root", lock: "disk", have: plan.Observed{Holder: seen}, policy: consent(""), noRoot: true,
		plan: "101 web: blocked: recover: it is stuck: a copy of its volumes that was not finished; it carries the lock disk, and no task works on it\n0 in sync\n",
		ways: "as root on pve1, once it is sure that nothing works on it: pct unlock 101\nor let tend do it where it acts as root on pve1: --unlock 101",
	}, {
		name: "the token sees no tasks of others", lock: "backup", have: plan.Observed{Holder: unseen}, policy: plan.Policy{Recover: true}, changes: `"cores": 2`,
		plan:     "101 web: change on pve1 · online\n  ~ cores 1 → 2 · online\n  1. set cores=\"2\"\n0 in sync\n",
		warnings: "101 web is locked (backup), and whether a task works on it cannot be told: the token lacks Sys.Audit on /nodes/pve1; if none does: --unlock 101",
	}, {
		name: "and whoever acts as root proves it", lock: "backup", have: plan.Observed{Holder: unseen}, policy: consent(""),
		plan: "101 web: change on pve1 · online\n  1. as root: remove lock backup\n0 in sync\n",
	}, {
		name: "and says so where nobody does", lock: "backup", have: plan.Observed{Holder: unseen}, policy: consent(""), noRoot: true,
		plan: blockedBackup + "whether a task works on it cannot be told: the token lacks Sys.Audit on /nodes/pve1\n0 in sync\n",
		ways: "as root on pve1, once it is sure that nothing works on it: pct unlock 101\nor let tend do it where it acts as root on pve1: --unlock 101",
	}, {
		name: "mounted by a person", lock: "mounted", have: plan.Observed{Holder: seen}, policy: plan.Policy{Recover: true},
		plan: "1 in sync\n", warnings: "101 web is mounted on its node: pct unmount 101 ends that",
	}, {
		name: "mounted by a person, with consent", lock: "mounted", have: plan.Observed{Holder: seen}, policy: consent(""),
		plan: "101 web: blocked: recover: it is stuck: it is mounted on the node; it carries the lock mounted, and no task works on it; pct unmount takes the mount and the lock away together\n0 in sync\n",
		ways: "as root on pve1, once it is sure that nothing works on it: pct unmount 101",
	}, {
		name: "a trim, of which no task ever shows", lock: "fstrim", have: plan.Observed{Holder: seen}, policy: plan.Policy{Recover: true},
		plan: "1 in sync\n", warnings: "101 web is locked (fstrim) by a pct fstrim; if none runs any more: --unlock 101",
	}, {
		name: "a trim with consent", lock: "fstrim", have: plan.Observed{Holder: seen}, policy: consent(""),
		plan: "101 web: change on pve1 · online\n  1. as root: remove lock fstrim\n0 in sync\n",
	}, {
		name: "a lock of a later Proxmox", lock: "levitate", have: plan.Observed{Holder: seen}, policy: consent(""),
		plan: "101 web: blocked: recover: it is stuck: an operation that this version of tend does not know was not finished; it carries the lock levitate, and no task works on it; what must follow is not known\n0 in sync\n",
		ways: "as root on pve1, once it is sure that nothing works on it: pct unlock 101",
	}, {
		name: "a container that holds something is no remnant of a create", lock: "create", have: plan.Observed{Holder: seen}, policy: consent(""),
		plan: "101 web: blocked: recover: it is stuck: a create, restore or clone that was not finished; it carries the lock create, and no task works on it; " +
			"nothing proves that it holds nothing that is wanted: look at its configuration and volumes first\n0 in sync\n",
		ways: "as root on pve1, once it is sure that nothing works on it: pct config 101\nthen: pct unlock 101",
	}, {
		name: "a snapshot", lock: "snapshot", have: plan.Observed{Holder: seen, Snapshots: half("prepare")}, policy: plan.Policy{Recover: true},
		plan: "101 web: change on pve1 · online\n  1. as root: remove lock snapshot\n" +
			"  2. delete snapshot half (should a volume have no such snapshot, it is unlocked once more and deleted with force)\n0 in sync\n",
	}, {
		name: "a delete that met a hold", lock: "snapshot-delete", have: plan.Observed{Holder: seen, Snapshots: half("delete"), LastDelete: busy}, policy: consent(""),
		plan: "101 web: change on pve1 · online\n  1. as root: remove lock snapshot-delete\n" +
			"  2. delete snapshot half (should a volume have no such snapshot, it is unlocked once more and deleted with force)\n0 in sync\n",
	}, {
		name: "a delete that missed a volume's snapshot", lock: "snapshot-delete", have: plan.Observed{Holder: seen, Snapshots: half("delete"), LastDelete: missing}, policy: consent(""),
		plan: "101 web: change on pve1 · online\n  1. as root: remove lock snapshot-delete\n  2. delete snapshot half with force (a volume has no such snapshot)\n0 in sync\n",
	}, {
		name: "a delete that was not begun", lock: "snapshot-delete", have: plan.Observed{Holder: seen, Snapshots: snaps}, policy: consent(""),
		plan: "101 web: change on pve1 · online\n  1. as root: remove lock snapshot-delete\n0 in sync\n",
	}, {
		name: "a snapshot of a container that was unlocked by hand", have: plan.Observed{Snapshots: half("prepare")}, policy: consent(""), noRoot: true,
		plan: "101 web: change on pve1 · online\n" +
			"  1. delete snapshot half (should a volume have no such snapshot, it is unlocked once more and deleted with force)\n0 in sync\n",
	}, {
		name: "a rollback goes to the snapshot that consent names", lock: "rollback", have: plan.Observed{Holder: seen, Snapshots: half("delete")}, policy: consent("old"),
		plan: "101 web: change on pve1 · online\n  1. as root: remove lock rollback\n" +
			"  2. roll back to snapshot old (the same rollback once more; what was written since the snapshot is lost; then put right as the spec says)\n" +
			"  3. set tags=\"tend\" (the owner's tag, which the snapshot may not have)\n0 in sync\n",
	}, {
		name: "and to no other", lock: "rollback", have: plan.Observed{Holder: seen, Snapshots: half("delete")}, policy: plan.Policy{Unlock: map[proxmox.VMID]string{101: "half"}, Recover: true},
		plan: "101 web: blocked: recover: it is stuck: a rollback that was not finished, so that some volumes may be rolled back and others not; it carries the lock rollback, and no task works on it\n0 in sync\n",
		ways: "as root on pve1, once it is sure that nothing works on it: pct unlock 101\nthen: pct rollback 101 new\n" +
			"or let tend do it: --unlock 101:new or --unlock 101:old, which names the snapshot that it is rolled back to",
	}, {
		name: "consent that meets nothing", have: plan.Observed{Snapshots: snaps}, policy: consent(""),
		plan: "1 in sync\n", warnings: "--unlock 101 does nothing: nothing of it is left over that this spec is about",
	}}
}

// TestStuck shows what becomes of a container that carries a lock.
func TestStuck(t *testing.T) {
	for _, tc := range stuckCases() {
		t.Run(tc.name, func(t *testing.T) {
			values := webValues()
			if tc.lock != "" {
				values["lock"] = tc.lock
			}
			have := observe(t, false, proxmox.Config{Current: values})
			o := have.Containers[101]
			o.Lock, o.Holder, o.Snapshots, o.LastDelete = tc.lock, tc.have.Holder, tc.have.Snapshots, tc.have.LastDelete
			if !tc.noRoot {
				tc.policy.RootNodes = []string{"pve1"}
			}
			got := plan.Compute(declare(t, tc.changes), have, tc.policy)
			if diff := cmp.Diff(tc.plan, got.String()); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			var ways []string
			for _, b := range got.Blocked {
				ways = append(ways, b.Ways...)
			}
			if diff := cmp.Diff(tc.ways, strings.Join(ways, "\n")); diff != "" {
				t.Errorf("ways (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.warnings, strings.Join(got.Warnings, "\n")); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRemnant shows which volumes go with what a create left: those that were made since it began, if all can be seen,
// and those that consent names.
func TestRemnant(t *testing.T) {
	vol := func(id string, after time.Duration) proxmox.Volume {
		v := proxmox.Volume{ID: "local:101/" + id, Created: begun.Add(after)}
		if after == 0 {
			v.Created = time.Time{} // the storage does not tell
		}
		return v
	}
	named := plan.Policy{Unlock: map[proxmox.VMID]string{101: ""}, DestroyVolumes: map[proxmox.VMID][]string{101: {"local:101/old"}}}
	cases := []struct {
		name           string
		remnant        *plan.Remnant
		policy         plan.Policy
		steps          string
		frees, warning string
	}{{
		name: "nothing but a configuration", remnant: &plan.Remnant{Whole: true, Began: begun}, policy: consent(""), steps: "remove what is left (what is left of it, to be made anew)",
	}, {
		name: "its own", remnant: &plan.Remnant{Whole: true, Began: begun, Volumes: []proxmox.Volume{vol("new", time.Second)}}, policy: plan.Policy{Recover: true},
		steps: "remove what is left, with local:101/new (what is left of it, to be made anew)", frees: "local:101/new",
	}, {
		name: "an older one is there", remnant: &plan.Remnant{Whole: true, Began: begun, Volumes: []proxmox.Volume{vol("old", -time.Hour), vol("new", time.Second)}}, policy: consent(""),
		steps: "remove what is left (what is left of it, to be made anew)", warning: "local:101/new;local:101/old",
	}, {
		name: "an older one is named", remnant: &plan.Remnant{Whole: true, Began: begun, Volumes: []proxmox.Volume{vol("old", -time.Hour), vol("new", time.Second)}}, policy: named,
		steps: "remove what is left, with local:101/new, local:101/old (what is left of it, to be made anew)", frees: "local:101/new;local:101/old",
	}, {
		name: "the storage tells no time", remnant: &plan.Remnant{Whole: true, Began: begun, Volumes: []proxmox.Volume{vol("new", 0)}}, policy: consent(""),
		steps: "remove what is left (what is left of it, to be made anew)", warning: "local:101/new",
	}, {
		name: "no task is seen", remnant: &plan.Remnant{Whole: true, Volumes: []proxmox.Volume{vol("new", time.Second)}}, policy: consent(""),
		steps: "remove what is left (what is left of it, to be made anew)", warning: "local:101/new",
	}, {
		name: "not all can be seen", remnant: &plan.Remnant{Began: begun, Volumes: []proxmox.Volume{vol("new", time.Second)}}, policy: consent(""),
		steps: "remove what is left (what is left of it, to be made anew)", warning: "local:101/new",
	}}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			have := nothing()
			have.Containers[101] = &plan.Observed{
				Ref: proxmox.Ref{Node: "pve1", ID: 101}, Name: "CT101", Lock: "create", Managed: true, Holder: seen, Remnant: tc.remnant,
				Config: proxmox.Config{Current: proxmox.Values{"lock": "create"}, Digest: "d0"},
			}
			tc.policy.RootNodes = []string{"pve1"}
			p := plan.Compute(declare(t, "", func(c *spec.Container) { c.Power = spec.Running }), have, tc.policy)
			got := strings.Split(steps(p.String()), "\n")
			if len(got) != 5 || got[0] != "  1. as root: remove lock create" || got[1] != "  2. "+tc.steps || !strings.Contains(got[2], "create from") {
				t.Errorf("plan:\n%s", p)
			}
			if frees := strings.Join(p.Lane(101).Frees, ";"); frees != tc.frees {
				t.Errorf("%q would be destroyed, want %q", frees, tc.frees)
			}
			var kept []string
			for _, w := range p.Warnings {
				if rest, ok := strings.CutPrefix(w, "101: volume "); ok {
					volume, _, _ := strings.Cut(rest, " stays")
					kept = append(kept, volume)
				}
			}
			if k := strings.Join(kept, ";"); k != tc.warning {
				t.Errorf("%q would stay, want %q", k, tc.warning)
			}
		})
	}
}
