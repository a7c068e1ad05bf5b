package sim

import (
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox"
)

const haContainer = "arch: amd64\nhostname: db\nmemory: 512\nostype: debian\nrootfs: local:101/vm-101-disk-0.raw,size=1G\nswap: 0\nunprivileged: 1\n"

// TestHA shows what a client meets at a container that the manager rules.
func TestHA(t *testing.T) {
	st := lab(t)
	st.Containers[101] = &Container{Node: "pve1", Config: haContainer}
	st.Volumes["local:101/vm-101-disk-0.raw"] = &Volume{Size: 1 << 30, Node: "pve1"}
	st.HA = map[proxmox.VMID]string{101: "stopped"}
	s, err := New(st, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := proxmox.NewClient(s.As("root@pam"))
	ref := proxmox.Ref{Node: "pve1", ID: 101}
	state := func() (string, proxmox.PowerState) {
		t.Helper()
		now, err := c.Status(t.Context(), ref)
		if err != nil || !now.HA.Managed {
			t.Fatalf("%+v, %v", now.HA, err)
		}
		list, err := c.Resources(t.Context(), "vm")
		if err != nil || len(list) != 1 || list[0].HAState != now.HA.State {
			t.Fatalf("%+v, %v", list, err)
		}
		return now.HA.State, now.Status
	}
	if want, is := state(); want != "stopped" || is != proxmox.Stopped {
		t.Fatalf("%s, %s", want, is)
	}
	task, err := c.Start(t.Context(), ref)
	if err != nil || task.Type != "hastart" {
		t.Fatalf("%s, %v", task, err)
	}
	if want, is := state(); want != "started" || is != proxmox.Running {
		t.Errorf("after the start: %s, %s", want, is)
	}
	task, err = c.Shutdown(t.Context(), ref, proxmox.ShutdownParams{})
	if err != nil || task.Type != "hastop" {
		t.Fatalf("%s, %v", task, err)
	}
	if want, is := state(); want != "stopped" || is != proxmox.Stopped {
		t.Errorf("after the stop: %s, %s", want, is)
	}
	if _, err := c.Destroy(t.Context(), ref, proxmox.DestroyParams{}); err == nil || !strings.Contains(err.Error(), "used in HA resources") {
		t.Errorf("destroyed: %v", err)
	}
	if _, err := c.Destroy(t.Context(), ref, proxmox.DestroyParams{Purge: true}); err != nil {
		t.Error(err)
	}
	if left := s.State(); len(left.HA)+len(left.Containers) > 0 {
		t.Errorf("left: %v", left.HA)
	}
}

// TestImage shows what an OCI image makes of the parameters of a create.
func TestImage(t *testing.T) {
	st := lab(t)
	alpine := "alpine"
	st.Templates["local:vztmpl/caddy_2.tar"] = &Template{Size: 1 << 20, OSType: &alpine, OCI: &OCI{
		Entrypoint: []string{"/usr/bin/caddy"}, Cmd: []string{"run", "--config", "/etc/a b"}, Env: []string{"A=1", "B=2"},
		WorkingDir: "/srv", UID: "65", StopSignal: "SIGQUIT",
	}}
	st.Templates["local:vztmpl/init_1.tar"] = &Template{Size: 1 << 20, OSType: &alpine, OCI: &OCI{Cmd: []string{"/sbin/init"}}}
	s, err := New(st, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := proxmox.NewClient(s.As("felhom@pve!agent"))
	created := func(id proxmox.VMID, image string) proxmox.ConfigSection {
		t.Helper()
		_, err := c.Create(t.Context(), "pve1", proxmox.CreateParams{ID: id, Template: image, Values: proxmox.Values{
			"rootfs": "local:1", "entrypoint": "/mine", "env": "C=3", "cmode": "shell", "net0": "name=eth0,bridge=vmbr0", "net1": "name=eth1,bridge=vmbr0,host-managed=0",
		}})
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := c.LiveConfig(t.Context(), proxmox.Ref{Node: "pve1", ID: id})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	cfg := created(101, "local:vztmpl/caddy_2.tar")
	for key, want := range map[string]string{
		"entrypoint": `/usr/bin/caddy run --config "/etc/a b"`, "env": "A=1\x00B=2", "cmode": "console", "ostype": "alpine",
	} {
		if cfg.Values[key] != want {
			t.Errorf("%s is %q, want %q", key, cfg.Values[key], want)
		}
	}
	if a, b := cfg.Values["net0"], cfg.Values["net1"]; !strings.Contains(a, "host-managed=1") || !strings.Contains(b, "host-managed=0") {
		t.Errorf("interfaces: %s; %s", a, b)
	}
	lines := []proxmox.RawLine{{Key: "lxc.init.uid", Value: "65"}, {Key: "lxc.init.cwd", Value: "/srv"}, {Key: "lxc.signal.halt", Value: "SIGQUIT"}}
	if len(cfg.Raw) != 3 || cfg.Raw[0] != lines[0] || cfg.Raw[1] != lines[1] || cfg.Raw[2] != lines[2] {
		t.Errorf("raw lines %v, want %v", cfg.Raw, lines)
	}
	cfg = created(102, "local:vztmpl/init_1.tar")
	if cfg.Values["entrypoint"] != "/mine" || cfg.Values["cmode"] != "shell" || cfg.Values["env"] != "C=3" {
		t.Errorf("an image with an init: %v", cfg.Values)
	}
}
