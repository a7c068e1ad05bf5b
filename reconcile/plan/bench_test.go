//go:build unix

package plan_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// fleet is a spec of n containers and a live state that is in sync with it.
func fleet(b *testing.B, n int) (*spec.State, *plan.Live) {
	b.Helper()
	want, have := &spec.State{Cluster: spec.Cluster{Owner: "tend"}}, nothing()
	for i := range n {
		id := proxmox.VMID(1000 + i)
		r, ok := setting.Container.Decode(map[string]any{
			"rootfs":  map[string]any{"storage": "local", "size": "8GiB"},
			"mounts":  map[string]any{"/data": map[string]any{"storage": "local", "size": "16GiB"}},
			"network": map[string]any{"eth0": map[string]any{"bridge": "vmbr0", "ipv4": "dhcp"}},
			"memory":  "1GiB",
		}, nil, func(at setting.Path, err error) { b.Errorf("%s: %v", at, err) })
		if !ok {
			b.Fatal("settings do not decode")
		}
		want.Containers = append(want.Containers, &spec.Container{
			Name: fmt.Sprintf("c%d", id), ID: id, Node: "pve1", Settings: r, Power: spec.Stopped,
		})
		have.Containers[id] = &plan.Observed{
			Ref: proxmox.Ref{Node: "pve1", ID: id}, Name: fmt.Sprintf("c%d", id), Tags: []string{"tend"}, Managed: true,
			Config: proxmox.Config{Digest: "d", Current: proxmox.Values{
				"arch": "amd64", "hostname": fmt.Sprintf("c%d", id), "memory": "1024", "swap": "512", "ostype": "debian",
				"unprivileged": "1", "tags": "tend", "rootfs": fmt.Sprintf("local:%d/vm-%d-disk-0.raw,size=8G", id, id),
				"mp0":  fmt.Sprintf("local:%d/vm-%d-disk-1.raw,mp=/data,size=16G", id, id),
				"net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth",
			}},
		}
	}
	return want, have
}

// cpu is the processor time that this process has used, which the load of the machine changes less than the clock.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCompute is what a plan costs once everything is read: decoding the live configurations, and
// comparing. The collection of garbage is part of the processor time.
func BenchmarkCompute(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			want, have := fleet(b, n)
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				for _, o := range have.Containers {
					if err := o.Understand(); err != nil {
						b.Fatal(err)
					}
				}
				if p := plan.Compute(want, have, plan.Policy{}); !p.Synced() || p.InSync != n {
					b.Fatalf("the plan is not empty: %v", p)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
		})
	}
}
