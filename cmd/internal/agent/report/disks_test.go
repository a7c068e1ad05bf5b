package report_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox/health"
)

// TestDisksOf makes disks of a reading, and what a person should know of them.
func TestDisksOf(t *testing.T) {
	at, n, f := time.Date(2026, 11, 24, 14, 0, 0, 0, time.UTC), int64(38), 80.0
	disks, sensors := report.DisksOf([]*health.Node{{
		Name: "pve1",
		Disks: []health.Disk{
			{Device: "/dev/sda", Model: "WDC", Serial: "S1", Level: health.Failing, Reasons: []string{"its own health check failed", "it lost data"}, Read: at, Celsius: &n},
			{Device: "/dev/sdb", Level: health.Warning, Reasons: []string{"86 % of its endurance is used"}, Wear: &n},
			{Device: "/dev/sdc", Level: health.NotKnown},
		},
		Storages: []health.Backing{{Storage: "tank", Disks: []string{"/dev/sda"}}},
		Sensors:  []health.Sensor{{Name: "CPU", Value: 81, Unit: "°C", High: &f}},
	}})
	want := []report.Disk{
		{Node: "pve1", Device: "/dev/sda", Model: "WDC", Serial: "S1", Health: report.Degraded, Problem: "its own health check failed; it lost data", Celsius: 38, Storages: []string{"tank"}, Read: at},
		{Node: "pve1", Device: "/dev/sdb", Health: report.Healthy, Problem: "86 % of its endurance is used", WearPercent: 38},
		{Node: "pve1", Device: "/dev/sdc", Health: report.UnknownHealth},
	}
	if d := cmp.Diff(want, disks); d != "" {
		t.Error(d)
	}
	r := report.Report{Time: at, Disks: disks, Sensors: sensors}
	var got []string
	for _, i := range r.Attention(at) {
		got = append(got, i.What+": "+i.Why)
	}
	items := []string{
		"Disk /dev/sda on pve1 is failing: its own health check failed; it lost data; nothing new is put on tank",
		"Disk /dev/sdb on pve1 is not quite well: 86 % of its endurance is used", "CPU on pve1: 81 °C: the limit is 80 °C",
	}
	if d := cmp.Diff(items, got); d != "" {
		t.Error(d)
	}
}
