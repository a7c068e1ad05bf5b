package load_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/felhom/tend/spec/load"
)

// many is a spec of n containers, as large as those of a homelab usually are.
func many(n int) string {
	var b strings.Builder
	b.WriteString("defaults: {node: pve1, rootfs: {storage: local-zfs, size: 8GiB}}\nprofiles: {docker: {features: {nesting: true}}}\ncontainers:\n")
	for i := range n {
		fmt.Fprintf(&b, `  web-%d:
    id: %d
    use: [docker]
    from: {template: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"}
    tags: [web, production]
    cores: 4
    memory: 4GiB
    swap: 512MiB
    mounts:
      /data: {storage: local-zfs, size: 64GiB, backup: true}
    network:
      eth0: {bridge: vmbr0, ipv4: 10.%d.%d.20/16, gateway4: 10.%d.0.1, firewall: true}
    startOnBoot: true
    startup: {order: 2, up: 30s}
`, i, 100+i, i/250, i%250, i/250)
	}
	return b.String()
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			text := many(n)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				s, err := load.Load(one(text), load.Options{})
				if err != nil || len(s.Containers) != n {
					b.Fatal(err)
				}
			}
		})
	}
}
