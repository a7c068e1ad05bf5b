package proxmox_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
)

// Everything that Proxmox answers otherwise than it takes it: snapshots-and-backups, section (d).
func TestBackupJobs(t *testing.T) {
	got, err := data(`[
		{"id":"a","type":"vzdump","all":1,"enabled":"0","next-run":1795478400,"schedule":"sun 03:00","storage":"local",
		 "prune-backups":{"keep-weekly":"4","keep-last":2},"performance":{"pbs-entries-max":"1048576"},
		 "fleecing":{"enabled":1,"storage":"local"},"exclude-path":["/tmp/?*","/a b"],"bwlimit":1e3,"comment":null},
		{"id":"b","prune-backups":"keep-all=1","exclude-path":"/x","vmid":"101,102","repeat-missed":true,"next-run":"1795478400"}]`).BackupJobs(t.Context())
	want := []proxmox.BackupJob{{
		ID: "a", NextRun: time.Unix(1795478400, 0).UTC(), Values: proxmox.Values{
			"all": "1", "enabled": "0", "schedule": "sun 03:00", "storage": "local", "prune-backups": "keep-last=2,keep-weekly=4",
			"performance": "pbs-entries-max=1048576", "fleecing": "enabled=1,storage=local", "exclude-path": "/tmp/?*\n/a b", "bwlimit": "1e3",
		},
	}, {
		ID: "b", NextRun: time.Unix(1795478400, 0).UTC(), Values: proxmox.Values{
			"prune-backups": "keep-all=1", "exclude-path": "/x", "vmid": "101,102", "repeat-missed": "1",
		},
	}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, bad := range []string{`{}`, `[1]`, `[{}]`, `[{"id":"a","vmid":[[]]}]`, `[{"id":"a","next-run":"soon"}]`, `[{"id":"a","performance":{"x":{}}}]`, `[`} {
		if got, err := data(bad).BackupJobs(t.Context()); err == nil {
			t.Errorf("%s is taken as %+v", bad, got)
		}
	}
}

func TestBackupJobIsSent(t *testing.T) {
	var got []proxmox.Request
	c := proxmox.NewClient(fake(func(_ context.Context, r proxmox.Request) (json.RawMessage, error) {
		got = append(got, r)
		return json.RawMessage(`null`), nil
	}))
	v := proxmox.Values{"all": "1", "exclude-path": "/a\n/b", "comment": ""}
	if err := errors.Join(c.CreateBackupJob(t.Context(), "x1", v), c.UpdateBackupJob(t.Context(), "x1", v, []string{"vmid", "pool"})); err != nil {
		t.Fatal(err)
	}
	params := url.Values{"all": {"1"}, "exclude-path": {"/a", "/b"}, "comment": {""}}
	with := func(key, value string) url.Values {
		out := url.Values{key: {value}}
		for k, v := range params {
			out[k] = v
		}
		return out
	}
	want := []proxmox.Request{
		{Method: "POST", Path: "/cluster/backup", Params: with("id", "x1")},
		{Method: "PUT", Path: "/cluster/backup/x1", Params: with("delete", "vmid,pool")},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPool(t *testing.T) {
	got, err := data(`[{"poolid":"lab","members":[{"type":"storage","storage":"local","id":"storage/pve1/local"},{"vmid":"825","type":"lxc"}]}]`).Pool(t.Context(), "lab")
	if d := cmp.Diff([]proxmox.VMID{825}, got.Guests()); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := data(`[{"poolid":"other"}]`).Pool(t.Context(), "lab"); !errors.Is(err, proxmox.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

func TestMigration(t *testing.T) {
	got, err := data(`{"running":1,"allowed-nodes":["pve2"],"not-allowed-nodes":{"pve3":{"blocking-ha-resources":[{"sid":"ct:102","cause":"resource-affinity"}]}}}`).
		Migration(t.Context(), guest, "")
	if err != nil || !got.Running || len(got.Allowed) != 1 || got.NotAllowed["pve3"].Blocking[0].Resource != "ct:102" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestStorageCalls checks the requests that are in no recording.
func TestStorageCalls(t *testing.T) {
	const upid = `"UPID:pve1:00001CBA:00073E13:6B03F223:download:x:root@pam:"`
	tests := []struct {
		name string
		call func(context.Context, *proxmox.Client) error
		want string
	}{
		{"appliance", func(ctx context.Context, c *proxmox.Client) error {
			_, err := c.DownloadAppliance(ctx, "pve1", "local", "a.tar.zst")
			return err
		}, "POST /nodes/pve1/aplinfo storage=local&template=a.tar.zst"},
		{"url", func(ctx context.Context, c *proxmox.Client) error {
			_, err := c.DownloadURL(ctx, "pve1", "local", proxmox.DownloadParams{
				URL: "https://x/a.tar.xz", Content: "vztmpl", File: "a.tar.xz", Algorithm: "sha256", Checksum: "00ff", Insecure: true,
			})
			return err
		}, "POST /nodes/pve1/storage/local/download-url checksum=00ff&checksum-algorithm=sha256&content=vztmpl&filename=a.tar.xz&url=https://x/a.tar.xz&verify-certificates=0"},
		{"image", func(ctx context.Context, c *proxmox.Client) error {
			_, err := c.PullImage(ctx, "pve1", "local", "docker.io/library/caddy:2", "caddy_2")
			return err
		}, "POST /nodes/pve1/storage/local/oci-registry-pull filename=caddy_2&reference=docker.io/library/caddy:2"},
		{"delete", func(ctx context.Context, c *proxmox.Client) error {
			_, err := c.DeleteVolume(ctx, "pve1", "local", "local:vztmpl/a.tar.zst")
			return err
		}, "DELETE /nodes/pve1/storage/local/content/local%3Avztmpl%2Fa.tar.zst "},
		{"migrate", func(ctx context.Context, c *proxmox.Client) error {
			_, err := c.Migrate(ctx, guest, proxmox.MigrateParams{Target: "pve2", Restart: true, Timeout: 90 * time.Second, Storages: []string{"a:b", "c"}})
			return err
		}, "POST /nodes/pve1/lxc/812/migrate restart=1&target=pve2&target-storage=a:b,c&timeout=90"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			err := tt.call(t.Context(), proxmox.NewClient(fake(func(_ context.Context, r proxmox.Request) (json.RawMessage, error) {
				text, err := url.QueryUnescape(r.Params.Encode())
				got = r.String() + " " + text
				return json.RawMessage(upid), err
			})))
			if err != nil || got != tt.want {
				t.Errorf("got  %s\nwant %s\n%v", got, tt.want, err)
			}
		})
	}
}

func TestAppliances(t *testing.T) {
	got, err := data(`[{"template":"debian-13-standard_13.1-2_amd64.tar.zst","package":"debian-13-standard","version":"13.1-2","sha512sum":"ab","infopage":"x"}]`).
		Appliances(t.Context(), "pve1")
	want := []proxmox.Appliance{{File: "debian-13-standard_13.1-2_amd64.tar.zst", Package: "debian-13-standard", Version: "13.1-2", SHA512: "ab"}}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Error(d, err)
	}
	if _, err := data(`{"a":1}`).Appliances(t.Context(), "pve1"); err == nil || !strings.Contains(err.Error(), "not a list") {
		t.Errorf("error is %v", err)
	}
}

func FuzzBackupJob(f *testing.F) {
	for _, sc := range loadScenarios(f) {
		for _, st := range sc.Steps {
			if strings.HasPrefix(st.Path, "/cluster/backup/") && st.Response.Status == 200 {
				var body struct{ Data json.RawMessage }
				if json.Unmarshal(st.Response.Body, &body) == nil {
					f.Add([]byte(body.Data))
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		j, err := data(string(text)).BackupJob(context.Background(), "x")
		if err == nil && j.ID == "" {
			t.Errorf("%q has no id", text)
		}
	})
}
