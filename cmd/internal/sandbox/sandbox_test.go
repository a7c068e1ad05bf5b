package sandbox_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

var quiet = slog.New(slog.DiscardHandler)

func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new/folder/sandbox.yaml")
	b, err := sandbox.Open(file, quiet)
	if err != nil {
		t.Fatal(err)
	}
	c := proxmox.NewClient(b.Transport())
	if nodes, err := c.Nodes(t.Context()); err != nil || len(nodes) != 1 || nodes[0].Name != "pve1" {
		t.Errorf("got nodes %v, %v", nodes, err)
	}
	u, err := c.Create(t.Context(), "pve1", proxmox.CreateParams{
		ID: 100, Template: "local:vztmpl/alpine-3.22-default_20250617_amd64.tar.xz", Values: proxmox.Values{"rootfs": "tank:1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.WaitTask(t.Context(), u, proxmox.WaitOptions{}); err != nil {
		t.Fatal(err)
	}
	b.Close()
	again, err := sandbox.Open(file, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	list, err := proxmox.NewClient(again.Transport()).Containers(t.Context(), "pve1")
	if err != nil || len(list) != 1 || list[0].ID != 100 {
		t.Errorf("after it was opened again: %v, %v", list, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read the file: %v, %v", info.Mode(), err)
	}
}

// TestActsAsToken shows that the sandbox refuses what a node refuses a token.
func TestActsAsToken(t *testing.T) {
	b, err := sandbox.Open(filepath.Join(t.TempDir(), "s.yaml"), quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, err = proxmox.NewClient(b.Transport()).Create(t.Context(), "pve1", proxmox.CreateParams{
		ID: 100, Template: "local:vztmpl/alpine-3.22-default_20250617_amd64.tar.xz",
		Values: proxmox.Values{"rootfs": "tank:1", "unprivileged": "1", "features": "keyctl=1"},
	})
	if err == nil || !strings.Contains(err.Error(), "only allowed for root@pam") {
		t.Errorf("got %v", err)
	}
}

// TestOwnState takes a state of somebody's own, which knows no token for tend.
func TestOwnState(t *testing.T) {
	lab, err := os.ReadFile("../../../testdata/pve/lab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "lab.yaml")
	if err := os.WriteFile(file, lab, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := sandbox.Open(file, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := proxmox.NewClient(b.Transport()).ClusterStatus(t.Context()); err != nil {
		t.Error(err)
	}
	served, err := sandbox.Serve(file, true, sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	want := []string{"felhom@pve!agent", "felhom@pve!none", "felhom@pve!weak", "root@pam!lab"}
	if diff := cmp.Diff(want, served.Tokens()); diff != "" {
		t.Error(diff)
	}
}

func TestBadState(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(file, []byte("nodes: [1, 2"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sandbox.Open(file, quiet); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	if _, err := sandbox.Open(t.TempDir(), quiet); err == nil {
		t.Error("a folder is taken for a state")
	}
}
