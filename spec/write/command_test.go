package write_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/pct"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/write"
)

// TestCommand turns a command line into a spec, whose plan is to create what the command would have made.
func TestCommand(t *testing.T) {
	const text = `
# the media server
pct create 120 local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst \
  --hostname media --cores 4 --memory 2048 --unprivileged 1 --features nesting=1 --storage local-zfs --rootfs 12 \
  --mp0 local-zfs:64,mp=/var/lib/jellyfin,backup=1 --net0 name=eth0,bridge=vmbr0,ip=192.168.1.20/24,gw=192.168.1.1 \
  --password 'secret' --ssh-public-keys ~/.ssh/id_ed25519.pub --pool media --tags 'media;video' --arch amd64
pct set 120 --swap 0 --onboot 1
pct start 120
`
	const want = `  media:
    # The command sets a password; write where it is found: init: {password: {file: …}}.
    # The command's --pool media is no setting of the container and was left out.
    # The command adds the SSH keys of ~/.ssh/id_ed25519.pub; write them as init: {sshKeys: […]}.
    id: 120
    node: pve1
    from: {template: local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst}
    tags: [media, video]
    cores: 4
    memory: 2GiB
    swap: 0MiB
    rootfs: {storage: local-zfs, size: 12GiB}
    mounts:
      /var/lib/jellyfin: {storage: local-zfs, size: 64GiB, backup: true}
    network:
      eth0: {bridge: vmbr0, ipv4: 192.168.1.20/24, gateway4: 192.168.1.1}
    features: {nesting: true}
    arch: amd64
    startOnBoot: true
`
	all, err := pct.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	r := write.Spec([]write.Source{write.FromCommand("pve1", all[0])}, write.Options{})
	if len(r.Problems) > 0 {
		t.Error(r.Problems)
	}
	if d := cmp.Diff("containers:\n"+want, string(r.Files["containers/media.yaml"])); d != "" {
		t.Error(d)
	}
	state, err := read(t, r.Files)
	if err != nil {
		t.Fatal(err)
	}
	p := plan.Compute(state, &plan.Live{Nodes: map[string]bool{"pve1": true}}, plan.Policy{})
	if len(p.Lanes) != 1 || len(p.Blocked) > 0 || len(p.Lanes[0].Steps) != 2 {
		t.Fatalf("the plan is %+v", p)
	}
	create := p.Lanes[0].Steps[0].Op.(plan.CreateContainer)
	if d := cmp.Diff(proxmox.Values{
		"hostname": "media", "cores": "4", "memory": "2048", "unprivileged": "1", "features": "nesting=1", "rootfs": "local-zfs:12",
		"mp0": "local-zfs:64,mp=/var/lib/jellyfin,backup=1", "net0": "name=eth0,bridge=vmbr0,gw=192.168.1.1,ip=192.168.1.20/24",
		"tags": "media;tend;video", "arch": "amd64", "swap": "0", "onboot": "1",
	}, create.Values); d != "" {
		t.Error(d)
	}
	if _, ok := p.Lanes[0].Steps[1].Op.(plan.Start); !ok {
		t.Errorf("the second step is %T", p.Lanes[0].Steps[1].Op)
	}
}

// TestCommandOdd writes a spec that loads from commands that no spec can say in full.
func TestCommandOdd(t *testing.T) {
	for _, text := range []string{
		"pct create 101 /root/image.tar.gz --hostname web",
		"pct create 101 - --rootfs local:8",
		"pct create 101 local:vztmpl/a.tar --rootfs 4 --mp0 /srv,mp=/srv --dev0 /dev/net/tun",
		"pct create 101 local:vztmpl/a.tar --storage x --mp0 volume=local:0.5,mp=/srv --onboot yes",
		"pct create 101 local:vztmpl/a.tar --storage local --rootfs 8,acl=1 --unprivileged 0 --template 1 --start",
	} {
		all, err := pct.Parse(text)
		if err != nil {
			continue // says so
		}
		r := write.Spec([]write.Source{write.FromCommand("pve1", all[0])}, write.Options{})
		if _, err := read(t, r.Files); err != nil {
			t.Errorf("%s: %v\n%s", text, err, joinAll(r.Files))
		}
	}
}
