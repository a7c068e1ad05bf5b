package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
)

// Contract holds a transport against what [proxmox.Transport] promises, so that code which is tested on one
// transport may rely on any other. The transport must lead to the lab, the node pve1 of testdata/pve/lab.yaml,
// as root@pam with an API token; container 970 is made there and removed.
func Contract(t *testing.T, tr proxmox.Transport) {
	tests := []struct {
		name string
		test func(*testing.T, proxmox.Transport)
	}{
		{"answers", contractAnswers},
		{"errors", contractErrors},
		{"cancelled", contractCancelled},
		{"concurrent", contractConcurrent},
		{"guest", contractGuest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, tr) })
	}
}

func contractAnswers(t *testing.T, tr proxmox.Transport) {
	data, err := tr.Do(t.Context(), proxmox.Request{Method: "GET", Path: "/version"})
	if err != nil || !json.Valid(data) {
		t.Fatalf("got %s, %v", data, err)
	}
	v, err := proxmox.NewClient(tr).Version(t.Context())
	if err != nil || v.Release != "9.2" {
		t.Errorf("version is %+v, %v", v, err)
	}
}

func contractErrors(t *testing.T, tr proxmox.Transport) {
	tests := []struct {
		name   string
		r      proxmox.Request
		status int
		class  error
		param  string
	}{
		{"no guest", proxmox.Request{Method: "GET", Path: "/nodes/pve1/lxc/971/config"}, 500, proxmox.ErrNoGuest, ""},
		{"no guest to change", proxmox.Request{Method: "PUT", Path: "/nodes/pve1/lxc/971/config", Params: url.Values{"cores": {"1"}}}, 500, proxmox.ErrNoGuest, ""},
		{"no storage", proxmox.Request{Method: "GET", Path: "/nodes/pve1/storage/nosuch/content"}, 500, proxmox.ErrNotFound, ""},
		{"unknown path", proxmox.Request{Method: "GET", Path: "/no/such"}, 501, nil, ""},
		{"unknown method", proxmox.Request{Method: "PUT", Path: "/version"}, 501, nil, ""},
		{"unknown parameter", proxmox.Request{Method: "GET", Path: "/nodes/pve1/lxc", Params: url.Values{"bogus": {"1"}}}, 400, proxmox.ErrInvalid, "bogus"},
		{"escaped element of a path", proxmox.Request{Method: "GET", Path: "/nodes/pve1/lxc/a%20b%3F/config"}, 400, proxmox.ErrInvalid, "vmid"},
		{"root only", proxmox.Request{Method: "POST", Path: "/nodes/pve1/lxc/971/status/start", Params: url.Values{"skiplock": {"1"}}}, 400, proxmox.ErrForbidden, "skiplock"},
	}
	for _, tt := range tests {
		_, err := tr.Do(t.Context(), tt.r)
		var api *proxmox.APIError
		if !errors.As(err, &api) {
			t.Errorf("%s: error is %v", tt.name, err)
			continue
		}
		if api.Status != tt.status || api.Method != tt.r.Method || api.Path != tt.r.Path {
			t.Errorf("%s: error is %+v", tt.name, api)
		}
		if tt.class != nil && !errors.Is(err, tt.class) || tt.class == nil && errors.Unwrap(api) != nil {
			t.Errorf("%s: error %v unwraps to %v", tt.name, err, errors.Unwrap(api))
		}
		if tt.param != "" && api.Params[tt.param] == "" {
			t.Errorf("%s: parameters are %v", tt.name, api.Params)
		}
	}
}

// What was cancelled before it was sent is not unreachable, and was not carried out.
func contractCancelled(t *testing.T, tr proxmox.Transport) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, method := range []string{"GET", "POST"} {
		_, err := tr.Do(ctx, proxmox.Request{Method: method, Path: "/version"})
		if !errors.Is(err, context.Canceled) || errors.Is(err, proxmox.ErrUnreachable) {
			t.Errorf("%s: error is %v", method, err)
		}
	}
}

func contractConcurrent(t *testing.T, tr proxmox.Transport) {
	c := proxmox.NewClient(tr)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := c.Storages(t.Context(), "pve1"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// contractGuest follows a container through its life; every value must arrive as it was sent.
func contractGuest(t *testing.T, tr proxmox.Transport) {
	c, ctx := proxmox.NewClient(tr), t.Context()
	ref := proxmox.Ref{Node: "pve1", ID: 970}
	run := func(u proxmox.UPID, err error) error {
		t.Helper()
		if err != nil {
			return err
		}
		_, err = c.WaitTask(ctx, u, proxmox.WaitOptions{First: 5 * time.Millisecond})
		return err
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(run(c.Create(ctx, ref.Node, proxmox.CreateParams{
		ID: ref.ID, Template: "local:vztmpl/lab-busybox_1.36-1_amd64.tar.zst", Password: proxmox.NewSecret("pass;word&=+"),
		Values: proxmox.Values{"ostype": "unmanaged", "unprivileged": "1", "rootfs": "local-btrfs:1", "swap": "0"},
	})))
	const text = "a;b=c,d&e+f %41 \"ü\"\n\nend"
	must(c.SetConfig(ctx, ref, proxmox.Update{Set: proxmox.Values{"description": text, "tags": "a;b"}}))
	cfg, err := c.Config(ctx, ref)
	must(err)
	if got := cfg.Current["description"]; got != text+"\n" {
		t.Errorf("description is %q, want %q", got, text+"\n")
	}
	if err := c.SetConfig(ctx, ref, proxmox.Update{Set: proxmox.Values{"cores": "2"}, Digest: "0123456789012345678901234567890123456789"}); !errors.Is(err, proxmox.ErrModified) {
		t.Errorf("with another digest: %v", err)
	}
	must(c.SetConfig(ctx, ref, proxmox.Update{Set: proxmox.Values{"cores": "2"}, Delete: []string{"tags"}, Digest: cfg.Digest}))
	must(run(c.Start(ctx, ref)))
	if _, err := c.Start(ctx, ref); !errors.Is(err, proxmox.ErrAlready) {
		t.Errorf("second start: %v", err)
	}
	if err := run(c.DeleteSnapshot(ctx, ref, "nosuch", false)); !errors.Is(err, proxmox.ErrNotFound) || errors.Is(err, proxmox.ErrNoGuest) {
		t.Errorf("delete of no snapshot: %v", err)
	}
	must(run(c.Destroy(ctx, ref, proxmox.DestroyParams{Force: true, Purge: true}))) // in the query
	if _, err := c.Status(ctx, ref); !errors.Is(err, proxmox.ErrNoGuest) {
		t.Errorf("status after the end: %v", err)
	}
	var failed *proxmox.TaskError
	if err := run(c.Start(ctx, ref)); !errors.As(err, &failed) || !errors.Is(err, proxmox.ErrNoGuest) || len(failed.Log) == 0 {
		t.Errorf("start after the end: %v", err)
	}
}
