package spec_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
)

// TestRecords shows that what makes templates, jobs and containers is the inverse of what writes them.
func TestRecords(t *testing.T) {
	s, err := load.Path("../testdata/spec/good/templates-and-jobs.yaml", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	again := func(o setting.Object, r setting.Record) setting.Record {
		out, ok := o.Decode(jsonLike(o.Encode(r)), nil, func(at setting.Path, err error) { t.Errorf("%s: %v", at, err) })
		if !ok {
			t.Error("what is written cannot be read")
		}
		return out
	}
	for _, x := range s.Templates {
		if d := cmp.Diff(x, spec.NewTemplate(x.Name, again(spec.TemplateFields, x.Record()), x.Place)); d != "" {
			t.Error(d)
		}
	}
	for _, x := range s.Jobs {
		if d := cmp.Diff(x, spec.NewBackupJob(x.Name, again(spec.JobFields, x.Record()), x.Place), cmpopts.EquateEmpty()); d != "" {
			t.Error(d)
		}
	}
	mounts, err := load.Path("../testdata/spec/good/host-mounts.yaml", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range mounts.HostMounts {
		if d := cmp.Diff(x, spec.NewHostMount(x.Name, again(spec.HostMountFields, x.Record()), x.Place)); d != "" {
			t.Error(d)
		}
	}
	for _, x := range append(s.Containers, mounts.Containers...) {
		if d := cmp.Diff(x, spec.NewContainer(x.Name, again(spec.ContainerFields, x.Record()), x.Place)); d != "" {
			t.Error(d)
		}
	}
	if !s.ManagesJobs || !s.ManagesPools() || s.Template("caddy") == nil || s.Template("nosuch") != nil {
		t.Errorf("state is %+v", s)
	}
}

// jsonLike is a value as a reader of YAML gives it.
func jsonLike(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := map[string]any{}
	for k, e := range m {
		out[k] = jsonLike(e)
	}
	return out
}

func TestFileName(t *testing.T) {
	for want, x := range map[string]spec.Template{
		"":                        {Appliance: "debian-13-standard"},
		"debian_13_amd64.tar.zst": {Appliance: "debian_13_amd64.tar.zst"},
		"base_1.4.tar.xz":         {URL: "https://example.com/x/base%201.4.tar.xz?v=1#y"},
		"mine.tar.gz":             {URL: "https://example.com/x/base.tar.gz", File: "mine.tar.gz"},
		"caddy_2.tar":             {Image: "docker.io/library/caddy:2"},
		"registry_5000_x.tar":     {Image: "registry_5000_x:1", File: "registry_5000_x.tar"},
	} {
		if got := x.FileName(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestJobID(t *testing.T) {
	for want, s := range map[string]struct{ owner, name, id string }{
		"tend-weekly":  {"tend", "weekly", ""},
		"backup-8f0d":  {"tend", "weekly", "backup-8f0d"},
		"home_lab_2-w": {"home.lab+2", "w", ""},
		"tend-0x-w":    {"0x", "w", ""},
		"tend-_a-w":    {"_a", "w", ""},
	} {
		state := &spec.State{Cluster: spec.Cluster{Owner: s.owner}}
		if got := state.JobID(&spec.BackupJob{Name: s.name, ID: s.id}); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestJobRows walks the options of a backup job: what an author writes is sent, read back and equal.
func TestJobRows(t *testing.T) {
	examples := map[string]string{
		"schedule": "sun 03:00", "storage": "pbs", "select.ids": "100,101", "select.all": "1", "select.exclude": "9000", "select.pool": "a/b",
		"node": "pve1", "enabled": "0", "comment": "x", "mode": "stop", "keep": "keep-last=3,keep-weekly=4", "removeOld": "0", "protected": "1",
		"notes": "{{guestname}}", "compress": "zstd", "zstdThreads": "4", "gzipThreads": "4", "bandwidthLimit": "102400", "ioPriority": "8",
		"lockWait": "60", "stopWait": "5", "standardExcludes": "0", "excludePaths": "/a\n/b c", "pbs.changeDetection": "metadata",
		"pbs.entriesMax": "pbs-entries-max=7", "repeatMissed": "1", "notify.mode": "legacy-sendmail", "notify.mailTo": "root@pam,a@b.c",
		"notify.mailWhen": "failure",
	}
	keys := map[string]bool{}
	for _, row := range spec.JobSettings {
		text, ok := examples[row.SpecPath()]
		if !ok || row.PVEKey() == "" || keys[row.PVEKey()] {
			t.Errorf("%s: no example, or no key of its own", row.SpecPath())
			continue
		}
		keys[row.PVEKey()] = true
		v, err := row.ParseWire(text)
		if err != nil {
			t.Errorf("%s: %v", row.SpecPath(), err)
			continue
		}
		if row.Equal(v, nil) {
			t.Errorf("%s: %s is what absence means", row.SpecPath(), text)
		}
		back, err := row.ParseWire(row.FormatWire(v))
		if err != nil || !row.Equal(v, back) {
			t.Errorf("%s: %s comes back as %v, %v", row.SpecPath(), text, back, err)
		}
		if row.Text(v) == "" || row.Text(v) == "none" {
			t.Errorf("%s: %s shows as %q", row.SpecPath(), text, row.Text(v))
		}
	}
	for path, alike := range map[string][2]string{
		"compress": {"1", "lzo"}, "select.ids": {"101,100", "100;101 100"}, "pbs.entriesMax": {"max-workers=4", "pbs-entries-max=1048576"},
		"keep": {"keep-last=1,keep-daily=0", "keep-last=1"}, "excludePaths": {"/b\n/a", "/a\n/b"},
	} {
		for _, row := range spec.JobSettings {
			if row.SpecPath() != path {
				continue
			}
			a, errA := row.ParseWire(alike[0])
			b, errB := row.ParseWire(alike[1])
			if errA != nil || errB != nil || !row.Equal(a, b) {
				t.Errorf("%s: %v and %v differ, %v, %v", path, a, b, errA, errB)
			}
		}
	}
}
