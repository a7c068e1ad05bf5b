package load_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/felhom/tend/spec/load"
)

// layers are the defaults and profile of the containers below.
const layers = "defaults: {node: pve1, rootfs: {storage: local-zfs, size: 8GiB}}\nprofiles: {docker: {features: {nesting: true}}}\n"

// written is a container, as large as those of a homelab usually are.
func written(i int) string {
	return fmt.Sprintf(`  web-%d:
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

// onDisk is a spec of n containers in files of so many each, and its size in bytes.
func onDisk(b *testing.B, n, each int) (dir string, size int) {
	b.Helper()
	dir = b.TempDir()
	write := func(name, text string) {
		size += len(text)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	write("cluster.yaml", layers)
	for i := 0; i < n; i += each {
		var text strings.Builder
		text.WriteString("containers:\n")
		for j := range each {
			text.WriteString(written(i + j))
		}
		write(fmt.Sprintf("containers-%05d.yaml", i), text.String())
	}
	return dir, size
}

// BenchmarkLoad reads specs from the disk: a file for each container, and one file for all.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		for _, each := range []int{1, n} {
			b.Run(fmt.Sprintf("%d/files=%d", n, n/each), func(b *testing.B) {
				dir, size := onDisk(b, n, each)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					s, err := load.Path(dir, load.Options{})
					if err != nil || len(s.Containers) != n {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
