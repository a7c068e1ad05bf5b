package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
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
