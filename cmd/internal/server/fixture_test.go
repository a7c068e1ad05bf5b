package server_test

import (
	"fmt"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/plan"
)

// The reports of these tests tell of a homelab at the time of the test, in several states.

func before(d time.Duration) time.Time { return time.Now().Add(-d) }

const day = 24 * time.Hour

func revision() report.Revision {
	return report.Revision{
		ID: "4f2c91e07d3a5b6c8e9f00112233445566778899", Ref: "main", Time: before(42 * time.Minute), Author: "Anna Example <anna@example.com>",
		Message: "media: give it four cores\n\nTranscoding two films at once took all of them.", Signer: "anna@example.com, ED25519 SHA256:q8w1JZ3r0mB4yT9n",
	}
}

func copies(ages ...time.Duration) *report.Copies {
	c := &report.Copies{Policy: "nightly", MaxAge: report.Duration(26 * time.Hour), Next: time.Now().Add(9 * time.Hour)}
	for i, a := range ages {
		c.List = append(c.List, report.Copy{Name: "tend-nightly-" + before(a).Format("20060102-1504"), Time: before(a), Kept: fmt.Sprintf("daily %d of 7", len(ages)-i), Own: i != 1})
	}
	if n := len(ages); n > 0 {
		c.Last = before(ages[n-1])
	}
	return c
}

func synced(id proxmox.VMID, name string) report.Container {
	return report.Container{
		ContainerState: view.ContainerState{ID: id, Name: name, Node: "pve1", Sync: view.Synced, Healthy: true, Power: "running", Seconds: 86400},
		Mode:           "reconcile",
		Last:           &report.Change{Time: before(3 * day), Run: 41, Commit: "9a3f00d7d3a5b6c8e9f0", Author: "Anna Example <anna@example.com>", What: "set cores, memory", Result: "changed"},
		Snapshots:      copies(150*day, 90*day, 60*day, 30*day, 21*day, 14*day, 7*day, 6*day, 5*day, 4*day, 3*day, 2*day, 33*time.Hour, 9*time.Hour),
	}
}

// well is a homelab in which nothing is to be done.
func well() *report.Report {
	run := report.Run{ID: 42, Trigger: "interval", Began: before(25 * time.Second), Ended: before(20 * time.Second), Revision: revision(), Result: report.Quiet, Summary: "Plan: nothing to do, everything is in sync", Times: 118, Since: before(2 * time.Hour)}
	changed := report.Run{
		ID: 41, Trigger: "webhook", Began: before(43 * time.Minute), Ended: before(42 * time.Minute), Revision: revision(), Plan: "c0ffee0ddba11",
		Result: report.Converged, Summary: "Applied, everything is in sync: 1 changed, 11 unchanged", Changed: []plan.Subject{{ID: 120}},
	}
	r := &report.Report{
		Time:   time.Now(),
		Agent:  report.Agent{Version: "v0.9.0", Started: before(12 * day), Host: "pve1", Cluster: "home", Owner: "tend", Lead: &report.Lead{Role: report.Leads, Since: before(12 * day)}},
		Source: report.Source{Kind: "git", Place: "https://git.example.com/anna/home.git, branch main, path lxc", InForce: revision(), Since: before(41 * time.Minute), Looked: before(20 * time.Second), Signed: true, Next: time.Now().Add(40 * time.Second)},
		Loop: report.Loop{
			Doing: "waiting", Last: &run, Good: before(20 * time.Second), Observed: before(20 * time.Second), Next: time.Now().Add(40 * time.Second), Interval: report.Duration(time.Minute),
			Ended: map[report.Result]uint64{report.Quiet: 17000, report.Converged: 12, report.Failed: 1}, Seconds: 9120,
		},
		Runs: []report.Run{run, changed},
		Plan: &report.Plan{Made: before(20 * time.Second), Revision: revision(), Sheet: view.Sheet{Header: "cluster home", Summary: "Plan: nothing to do, everything is in sync", Status: view.InSync}},
		Due:  []report.Due{{Time: time.Now().Add(9 * time.Hour), What: "snapshots of nightly (8 containers)"}, {Time: time.Now().Add(3 * day), What: "window for restarts (sun 03:00)"}},
		Disks: []report.Disk{
			{Node: "pve1", Device: "/dev/nvme0n1", Model: "Samsung SSD 990 PRO 2TB", Serial: "S7KHNJ0W", Health: report.Healthy, Celsius: 41, WearPercent: 4},
			{Node: "pve1", Device: "/dev/sda", Model: "WDC WD80EFPX", Serial: "RD2A11", Health: report.Healthy, Celsius: 36},
		},
		Sensors:  []report.Sensor{{Node: "pve1", Name: "CPU package", Value: 52, Unit: "°C", Limit: 90}, {Node: "pve1", Name: "Fan 1", Value: 780, Unit: "rpm"}},
		Requests: []report.Requests{{Method: "GET", Code: 200, Count: 51234}, {Method: "PUT", Code: 200, Count: 14}, {Method: "GET", Code: 0, Count: 2}},
	}
	for i, name := range []string{"dns", "proxy", "web", "git", "mail", "wiki", "cloud", "photos"} {
		r.Containers = append(r.Containers, synced(proxmox.VMID(101+i), name))
	}
	for i, name := range []string{"media", "home-assistant", "paperless", "backup"} {
		r.Containers = append(r.Containers, synced(proxmox.VMID(120+i), name))
	}
	return r
}

// sheet is a plan with something of each kind.
func sheet() view.Sheet {
	return view.Sheet{
		Header: "cluster home · spec 4f2c91e (main) · 4 containers differ, 8 in sync",
		Blocks: []view.Block{
			{Subject: plan.Subject{ID: 130}, Name: "old-wiki", Title: "destroy", Destroys: true, Tone: "red", Rows: []view.Row{
				{Mark: "-", Label: "stop", Text: "within 1m0s, then by force", Tone: "red"},
				{Mark: "-", Label: "volume", Text: "local-zfs:subvol-130-disk-0", Effect: "data is lost", Tone: "red"},
			}},
			{Subject: plan.Subject{ID: 103}, Name: "web", Title: "change", Effect: "online", Tone: "yellow", Rows: []view.Row{
				{Mark: "~", Label: "cores", Text: "2 → 4", Effect: "online", Tone: "yellow"},
				{Mark: "~", Label: "description", Text: "\"Caddy\" → \"Caddy and the status page\"", Effect: "online", Tone: "yellow"},
				{Mark: "!", Label: "mount /srv", Text: "bind /mnt/usb/srv (read only)", Effect: "blocked", Root: true, Tone: "yellow", More: []string{"bind mounts are for root@pam, and the root lane is off on pve1", "→ turn the root lane on (lane: helper), or mount it by hand"}},
			}},
			{Subject: plan.Subject{ID: 105}, Name: "mail", Title: "change", Effect: "restart waits", Tone: "yellow", Rows: []view.Row{
				{Mark: "~", Label: "feature nesting", Text: "off → on", Effect: "restart", Tone: "yellow"},
				{Mark: "!", Label: "restart", Effect: "waits", Tone: "yellow", More: []string{"restart: window, and none is open"}},
			}},
			{Subject: plan.Subject{ID: 106}, Name: "wiki", Mark: "!", Reason: "blocked: destroy is forbidden by lifecycle", Ways: []string{"→ take lifecycle.destroy: forbid out of the spec and apply that first"}, Tone: "yellow"},
		},
		Unclaimed: []string{"140 test (stopped on pve1)"},
		Unused:    []string{"103 web  local-zfs:subvol-103-disk-2"},
		Warnings:  []string{"storage local-zfs of pve1 is promised 1.4 times what it has"},
		Summary:   "Plan: 0 create, 2 change, 1 destroy · 1 restart · 1 root operation · 2 blocked · 1 waiting",
		Status:    view.Blocked,
	}
}

// trouble is a homelab with something of everything that can be wrong.
func trouble() *report.Report {
	r := well()
	r.Source.Refused = report.Revision{ID: "deadbeef5b6c8e9f00112233445566778899aabb", Ref: "main", Time: before(9 * time.Minute), Author: "Mallory <m@example.net>", Message: "proxy: open everything"}
	r.Source.Error, r.Source.Class = "commit deadbee of main is not signed by an allowed key (SHA256:zz81T4)", "not signed"
	r.Source.Hint, r.Source.Failing = "sign it with an allowed key, or add the key to allowed_signers if you trust it", before(8*time.Minute)
	r.Plan = &report.Plan{Hash: "7be1d0c35a9f4421", Made: before(20 * time.Second), Revision: revision(), Sheet: sheet(), Held: "a destroy waits for approval"}
	r.Approvals = []report.Approval{{Hash: "7be1d0c35a9f4421", Since: before(time.Hour), Why: "1 destroy, the budget is 0 a day", Summary: r.Plan.Sheet.Summary}}
	for _, id := range []proxmox.VMID{103, 105, 106} {
		r.Container(id).Fill(r.Plan.Sheet)
	}
	web := r.Container(103)
	web.Differences[0].By = &report.Hand{User: "ben@pam", Time: before(50 * time.Minute), What: "set", Task: "UPID:pve1:0001"}
	web.ByHand = []report.Hand{*web.Differences[0].By}
	mail := r.Container(105)
	mail.Restart, mail.RestartWhen, mail.Restarts = []string{"features"}, "in the window sun 03:00–05:00", time.Now().Add(3*day)
	media := r.Container(120)
	media.Healthy, media.Power, media.Problems = false, "stopped", []string{"it shall run and is stopped since 14 minutes"}
	cloud := r.Container(107)
	cloud.Snapshots = copies(40*day, 10*day, 3*day)
	cloud.Snapshots.Error = "snapshot feature is not available for mount /data (storage usb)"
	r.Container(104).Backups = &report.Copies{Policy: "weekly", MaxAge: report.Duration(8 * day), Last: before(2 * day), List: []report.Copy{{Name: "pbs:backup/ct/104/2026", Time: before(2 * day), Own: true, Kept: "weekly 1 of 4"}}}
	photos := r.Container(108)
	photos.Suspended = &report.Suspension{ID: 108, Since: before(time.Hour), Until: time.Now().Add(3 * time.Hour), Reason: "moving the library", By: "anna"}
	photos.Sync = view.Suspended
	r.Suspended = []report.Suspension{*photos.Suspended}
	r.Container(122).Unknown = "pve2 does not answer"
	r.Disks[1].Health, r.Disks[1].Problem = report.Degraded, "12 pending sectors"
	failed := report.Run{ID: 43, Trigger: "asked for by root", Began: before(3 * time.Minute), Ended: before(2 * time.Minute), Revision: revision(), Plan: "7be1d0c35a9f4421", Result: report.Failed, Summary: "Not all was applied: 1 changed, 1 failed, 10 unchanged", Error: "start 120: startup for container '120' failed", Changed: []plan.Subject{{ID: 103}}}
	r.Loop.Last, r.Runs = &failed, append([]report.Run{failed}, r.Runs...)
	r.Container(104).Drill = &backup.Drill{Archive: "pbs:backup/ct/104/2026", Made: before(2 * day), At: before(36 * time.Hour), Took: 4 * time.Minute}
	r.Container(121).Drill = &backup.Drill{Archive: "pbs:backup/ct/121/2026", Made: before(9 * day), At: before(8 * day), Took: time.Minute, Failed: "it does not start: exit code 1"}
	r.Channels = []report.Channel{{Name: "notifications to phone", Since: before(2 * time.Hour), Error: "send: 401 Unauthorized"}}
	r.Journal = []report.JournalEntry{{Subject: "120", Verb: "start", Time: before(2 * time.Minute), Task: "UPID:pve1:000004D2:0001E240:65E5A000:vzstart:120:root@pam!tend:"}}
	r.Queue = report.Queue{Depth: 1, Triggers: []string{"changed"}, Backoff: time.Now().Add(2 * time.Minute)}
	r.Loop.Failures = 1
	return r
}

// many has 200 containers, of which some need somebody.
func many() *report.Report {
	r := well()
	r.Containers = nil
	for i := range 200 {
		c := synced(proxmox.VMID(200+i), fmt.Sprintf("customer-%03d", i))
		c.Node = fmt.Sprintf("pve%d", 1+i%5)
		switch {
		case i%60 == 7:
			c.Healthy, c.Problems = false, []string{"locked since 2 hours: backup"}
		case i%25 == 3:
			c.Sync, c.Differs = view.OutOfSync, []string{"memory"}
			c.Differences = []report.Difference{{Row: view.Row{Mark: "~", Label: "memory", Text: "2 GiB → 4 GiB", Effect: "online"}}}
		}
		r.Containers = append(r.Containers, c)
	}
	return r
}

// nothing is an agent whose spec declares no container.
func nothing() *report.Report {
	r := well()
	r.Containers, r.Due, r.Runs, r.Disks, r.Sensors, r.Requests, r.Plan = nil, nil, nil, nil, nil, nil, nil
	r.Loop.Last = nil
	return r
}

// pastRuns is a history of what the reports tell of.
func pastRuns() *history.History {
	h := history.InMemory(history.Limits{})
	for i := range 60 {
		_, _ = h.Append(history.Record{Run: report.Run{Trigger: fmt.Sprintf("interval %d", i), Result: report.Quiet, Began: before(time.Duration(90-i) * time.Hour), Ended: before(time.Duration(90-i) * time.Hour), Revision: revision(), Summary: "Plan: nothing to do, everything is in sync"}})
	}
	runs := trouble().Runs[:2]
	for _, run := range []report.Run{runs[1], runs[0]} {
		s := sheet()
		_, _ = h.Append(history.Record{Run: run, Sheet: &s, Account: &view.Account{
			Summary: run.Summary, Status: view.Failed, Running: []string{"UPID:pve1:000004D2:0001E240:65E5A000:vzstart:120:root@pam!tend:"},
			Became: []view.Became{
				{Subject: plan.Subject{ID: 103}, Name: "web", State: reconcile.Changed, Tone: "green"},
				{Subject: plan.Subject{ID: 120}, Name: "media", State: reconcile.Failed, Tone: "red", Notes: []string{"start 120: startup for container '120' failed", "log: lxc_spawn: failed to set up mount /media", "not done: start"}},
			},
		}})
	}
	return h
}
