package sim

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/felhom/tend/proxmox"
)

// crowd is the lab node with many containers.
func crowd(t testing.TB, n int) *State {
	st := lab(t)
	st.Storages["local-btrfs"].Total = 1 << 44
	for i := range n {
		id := proxmox.VMID(1000 + i)
		st.Containers[id] = &Container{Node: "pve1", Config: fmt.Sprintf("arch: amd64\ncores: 2\nhostname: ct%d\nmemory: 512\n"+
			"mp0: local-btrfs:%d/vm-%d-disk-1.raw,mp=/data,size=8G\nnet0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:%02X:%02X:%02X,ip=dhcp,type=veth\n"+
			"onboot: 1\nostype: debian\nrootfs: local-btrfs:%d/vm-%d-disk-0.raw,size=4G\nswap: 512\ntags: tend\nunprivileged: 1\n",
			id, id, id, i>>16, i>>8&255, i&255, id, id)}
		for d := range 2 {
			st.Volumes[fmt.Sprintf("local-btrfs:%d/vm-%d-disk-%d.raw", id, id, d)] = &Volume{Size: 4 << 30, Used: 1 << 20}
		}
	}
	return st
}

// Many clients at once: creates, changes, starts, snapshots and destroys of as many containers, next to readers.
func TestConcurrentUse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "state.yaml")
	s := start(t, lab(t), Options{File: file})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			id := strconv.Itoa(200 + i)
			path := "/nodes/pve1/lxc/" + id
			for _, step := range []struct {
				method, path string
				form         map[string]string
			}{
				{"POST", "/nodes/pve1/lxc", map[string]string{
					"vmid": id, "ostemplate": "local:vztmpl/debian-13-lab_13.1-1_amd64.tar.zst",
					"rootfs": "local-btrfs:0.1",
				}},
				{"PUT", path + "/config", map[string]string{"mp0": "local-btrfs:0.1,mp=/a"}},
				{"POST", path + "/status/start", nil},
				{"PUT", path + "/config", map[string]string{"net0": "name=eth0,bridge=vmbr0"}},
				{"POST", path + "/snapshot", map[string]string{"snapname": "one"}},
				{"POST", path + "/snapshot/one/rollback", map[string]string{"start": "1"}},
				{"DELETE", path + "/snapshot/one", nil},
				{"DELETE", path, map[string]string{"force": "1"}},
			} {
				data, err := request(s, rootToken, step.method, step.path, step.form)
				if err != nil {
					t.Errorf("%s %s: %v", step.method, step.path, err)
					return
				}
				var upid string
				if json.Unmarshal(data, &upid) == nil {
					if status := taskEnd(s, upid); status != "" && status != "OK" {
						t.Errorf("%s %s: task: %s", step.method, step.path, status)
					}
				}
			}
		})
		wg.Go(func() {
			for range 20 {
				for _, path := range []string{"/nodes/pve1/lxc", "/cluster/resources", "/nodes/pve1/tasks", "/nodes/pve1/storage"} {
					if _, err := request(s, "felhom@pve!agent", "GET", path, nil); err != nil {
						t.Errorf("GET %s: %v", path, err)
					}
				}
			}
		})
	}
	wg.Wait()
	if len(s.guests) != 0 || len(s.st.Volumes) != 0 || len(s.owned) != 0 || len(s.flocks) != 0 {
		t.Errorf("left: %d containers, %d volumes, %d owners, %d locks", len(s.guests), len(s.st.Volumes), len(s.owned), len(s.flocks))
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseState(raw); err != nil {
		t.Error(err)
	}
}

// Changes of one container at once are serial: each finds the digest of the one before, or is refused.
func TestDigestSerialises(t *testing.T) {
	s := start(t, lab(t), Options{})
	create(t, s, "101", nil)
	digest, _ := config(t, s, "101")["digest"].(string)
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 16 {
		wg.Go(func() {
			_, err := request(s, rootToken, "PUT", "/nodes/pve1/lxc/101/config", map[string]string{"memory": strconv.Itoa(600 + i), "digest": digest})
			if err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d changes of the same digest succeeded", won)
	}
}

func BenchmarkConfigRead(b *testing.B) {
	s := start(b, crowd(b, 1000), Options{})
	tr := s.As(rootToken)
	r := proxmox.Request{Method: "GET", Path: "/nodes/pve1/lxc/1500/config"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.Do(context.Background(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList(b *testing.B) {
	for _, n := range []int{100, 10000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := start(b, crowd(b, n), Options{})
			tr := s.As("felhom@pve!agent")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := tr.Do(context.Background(), proxmox.Request{Method: "GET", Path: "/nodes/pve1/lxc"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkChangeWithFile(b *testing.B) {
	for _, n := range []int{100, 10000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := start(b, crowd(b, n), Options{File: filepath.Join(b.TempDir(), "state.yaml")})
			i := 0
			for b.Loop() {
				i++
				if _, err := request(s, rootToken, "PUT", "/nodes/pve1/lxc/1050/config", map[string]string{"memory": strconv.Itoa(512 + i%512)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStart(b *testing.B) {
	st := crowd(b, 10000)
	raw, err := st.Marshal()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		st, err := ParseState(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := New(st, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadAllHTTPS is what a plan reads: the list, and each container's config over kept connections.
func BenchmarkReadAllHTTPS(b *testing.B) {
	const n = 1000
	s := start(b, crowd(b, n), Options{})
	sv := listen(b, s)
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 8, MaxConnsPerHost: 8,
	}}
	get := func(path string) {
		req, err := http.NewRequest("GET", sv.URL()+"/api2/json"+path, nil)
		if err != nil {
			b.Error(err)
			return
		}
		req.Header.Set("Authorization", rootSecret)
		resp, err := client.Do(req)
		if err != nil {
			b.Error(err)
			return
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
			b.Errorf("%s: %s %v", path, resp.Status, err)
		}
	}
	for b.Loop() {
		get("/nodes/pve1/lxc")
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < n; i += 8 {
					get("/nodes/pve1/lxc/" + strconv.Itoa(1000+i) + "/config")
				}
			})
		}
		wg.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/container")
}
