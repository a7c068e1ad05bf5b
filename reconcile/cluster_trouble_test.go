package reconcile_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
)

// TestClusterTrouble shows what is said of what cannot be had.
func TestClusterTrouble(t *testing.T) {
	const head = "defaults: {node: pve1, rootfs: {storage: local-btrfs, size: 1GiB}, state: stopped}\n"
	tests := []struct {
		name, spec string
		edit       func(*sim.State)
		states     []string
		say        string
	}{
		{
			"an appliance that is not in the list",
			"templates: {d: {storage: local, appliance: debian-13-standart}}\ncontainers: {a: {id: 201, from: {template: d}}, b: {id: 202, from: {template: \"" + template + "\"}}}", nil,
			[]string{"template d on pve1 blocked", "201 blocked", "202 created"},
			"template d cannot be had: appliance debian-13-standart is not in the list of the node",
		},
		{
			"a checksum that is wrong",
			"templates: {d: {storage: local, url: \"https://example.com/base_1.4_amd64.tar.zst\", checksum: \"" + checksum("other") + "\"}}\ncontainers: {a: {id: 201, from: {template: d}}, b: {id: 202, from: {template: \"" + template + "\"}}}", nil,
			[]string{"template d on pve1 failed", "201 failed", "202 created"},
			"checksum mismatch",
		},
		{
			"a storage that takes no templates", "templates: {d: {storage: local-btrfs, appliance: debian-13-standard}}\ncontainers: {a: {id: 201, from: {template: d}}}", nil,
			[]string{"template d on pve1 blocked", "201 blocked"},
			"storage local-btrfs does not take templates",
		},
		{
			"a storage that is not there", "templates: {d: {storage: nosuch, appliance: debian-13-standard}}\ncontainers: {}", nil,
			[]string{"template d on pve1 blocked", "template d on pve2 blocked"},
			"storage nosuch does not exist on node pve1",
		},
		{
			"a pool that is not there", "containers: {a: {id: 201, pool: custommers, from: {template: \"" + template + "\"}}}", nil,
			[]string{"201 blocked"},
			"pool custommers does not exist, or the token may not see it",
		},
		{
			"a foreign job of this id", "containers: {}\nbackupJobs: {w: {id: x1, schedule: daily, storage: local, select: {all: true}}}", nil,
			[]string{"backup job w blocked"},
			"a backup job x1 exists, and its comment does not end with [tend]",
		},
		{
			"a foreign job that is taken over", "containers: {}\nbackupJobs: {w: {id: x1, adopt: true, schedule: daily, storage: local, select: {all: true}}}", nil,
			[]string{"backup job w changed"},
			"",
		},
		{
			"a storage that takes no backups", "containers: {}\nbackupJobs: {w: {schedule: daily, storage: local-btrfs, select: {all: true}}}", nil,
			[]string{"backup job w blocked"},
			"storage local-btrfs does not take backups",
		},
		{
			"tags that nothing has", "containers: {}\nbackupJobs: {w: {schedule: daily, storage: local, select: {tags: [x]}}}", nil,
			[]string{"backup job w blocked"},
			"no container has a tag of x",
		},
		{
			"no privilege for jobs", "containers: {a: {id: 201, from: {template: \"" + template + "\"}}}\nbackupJobs: {w: {schedule: daily, storage: local, select: {all: true}}}",
			func(st *sim.State) {
				st.Roles["FelhomAgent"] = slices.DeleteFunc(st.Roles["FelhomAgent"], func(p string) bool { return p == "Sys.Modify" })
			},
			[]string{"201 created", "backup job w blocked"},
			"the token lacks Sys.Modify on /",
		},
		{
			"jobs that may not be seen", "containers: {a: {id: 201, from: {template: \"" + template + "\"}}}\nbackupJobs: {w: {schedule: daily, storage: local, select: {all: true}}}",
			func(st *sim.State) {
				st.Roles["FelhomAgent"] = slices.DeleteFunc(st.Roles["FelhomAgent"], func(p string) bool { return p == "Sys.Audit" })
			},
			[]string{"201 created", "backup job w blocked"},
			"list backup jobs",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := cluster(t, tt.edit, sim.Options{})
			out := once(t, n.reconciler(nil), read(t, head+tt.spec))
			var got []string
			said := false
			for _, c := range out.All() {
				got = append(got, c.Subject().String()+" "+c.State.String())
				for _, b := range c.Blocked {
					said = said || strings.Contains(b.Reason, tt.say)
				}
				said = said || c.Err != nil && strings.Contains(c.Err.Error(), tt.say)
			}
			if d := cmp.Diff(tt.states, got); d != "" || !said && tt.say != "" {
				t.Errorf("%s\n%s", d, summary(reconcile.Outcome{Containers: out.All()}))
			}
		})
	}
}
