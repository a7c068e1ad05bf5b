package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
)

// What an archive holds follows from the flag backup of volumes; what is of the node is never in it, whatever it says.
func TestCoverage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, mp, want string }{
		{"a volume with the flag", "local-zfs:subvol-101-disk-1,mp=/srv,backup=1,size=1G", "holds /, /srv"},
		{"a volume without it", "local-zfs:subvol-101-disk-1,mp=/srv,size=1G", "holds /; not /srv (no backup: true)"},
		{"a volume with it off", "local-zfs:subvol-101-disk-1,mp=/srv,backup=0,size=1G", "holds /; not /srv (no backup: true)"},
		{"a directory of the node with the flag", "/mnt/usb,mp=/srv,backup=1", "holds /; not /srv (of the node, which backups never hold)"},
		{"a device of the node", "/dev/sdb1,mp=/srv", "holds /; not /srv (of the node, which backups never hold)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l, err := setting.Container.ParseValues(proxmox.Values{"rootfs": "local-zfs:subvol-101-disk-0,size=8G", "mp0": tc.mp})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, plan.CoverageOf(l.Record).String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A policy with a fallback is carried out where there can be no snapshots, so that nothing is warned of.
func TestFallbackNote(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ policy, notes, faults string }{
		{`{schedule: daily, keep: {last: 1}, fallback: {backup: nas}}`, "101 web has backups on nas in place of the snapshots of policy p", ""},
		{`{schedule: daily, keep: {last: 1}}`, "", "101 web p: Proxmox takes no snapshot"},
	} {
		text := "cluster: {name: home}\nsnapshotPolicies: {p: " + tc.policy + "}\ncontainers: {web: {id: 101, node: pve1, " +
			"rootfs: {storage: tank, size: 1GiB}, mounts: {/media: {hostPath: /mnt/media}}, snapshots: p}}\n"
		want, err := load.Load(fstest.MapFS{"home.yaml": {Data: []byte(text)}}, load.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := plan.Compute(want, &plan.Live{Nodes: map[string]bool{"pve1": true}}, plan.Policy{})
		notes, faults := strings.Join(p.Notes, "\n"), ""
		for _, f := range p.Policies {
			faults += fmt.Sprintf("%d %s %s: %s; %s", f.ID, f.Name, f.Policy, f.Reason, strings.Join(f.Ways, "; "))
		}
		if faults != "" && !strings.Contains(faults, "fallback: {backup: STORAGE}") {
			t.Errorf("no fallback is offered: %s", faults)
		}
		if (tc.notes == "") != (notes == "") || !strings.HasPrefix(notes, tc.notes) || !strings.HasPrefix(faults, tc.faults) || tc.faults == "" && faults != "" {
			t.Errorf("%s: notes %q, faults %q", tc.policy, notes, faults)
		}
	}
}
