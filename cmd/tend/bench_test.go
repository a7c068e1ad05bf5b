//go:build linux

// Benchmarks of whole verbs: the binary as it is shipped, in a process of its own, against a simulated node in this
// one that is reached over HTTPS.
package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/spec/load"
)

// measureVar names the file into which this binary, run as a helper, writes what a command used.
const measureVar = "TEND_BENCH_MEASURE"

func TestMain(m *testing.M) {
	if file := os.Getenv(measureVar); file != "" {
		os.Exit(measure(file, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// A usage is what a process used.
type usage struct {
	CPU  time.Duration
	Peak int64 // resident memory at most, in KiB
}

// measure runs a command. Linux counts the memory of a process from that of its parent at the time of the fork, so
// the parent must be small, which this helper is and the benchmark with its simulated node is not.
func measure(file string, args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	text, err := json.Marshal(usage{time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Maxrss})
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// build makes the binary as make build does.
func build(b *testing.B) string {
	b.Helper()
	binary := filepath.Join(b.TempDir(), "tend")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// A shop runs one verb again and again.
type shop struct {
	binary, dir string
	env         []string
	total       usage // of CPU all, of memory the most
}

// run runs the binary and fails where it does not say that all is well.
func (s *shop) run(b *testing.B, args ...string) {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	file := filepath.Join(s.dir, "usage.json")
	cmd := exec.Command(self, append([]string{s.binary}, args...)...)
	cmd.Env = append(append(os.Environ(), s.env...), "HOME="+s.dir, "TEND_STATE_DIR="+s.dir, measureVar+"="+file)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		b.Fatalf("tend %s: %v\n%s", strings.Join(args, " "), err, &out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	var u usage
	if err := json.Unmarshal(text, &u); err != nil {
		b.Fatal(err)
	}
	s.total.CPU, s.total.Peak = s.total.CPU+u.CPU, max(s.total.Peak, u.Peak)
}

func (s *shop) report(b *testing.B) {
	b.ReportMetric(float64(s.total.CPU.Milliseconds())/float64(b.N), "cpu-ms/op")
	b.ReportMetric(float64(s.total.Peak)/1024, "peak-MiB")
}

// specOf is a spec of n containers with a root file system, a volume and an interface each, which are not started:
// a file for each.
func specOf(b *testing.B, n int) string {
	b.Helper()
	dir := b.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	write("cluster.yaml", `cluster: {name: bench}
defaults:
  node: pve1
  state: stopped
  from: {template: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"}
`)
	for i := range n {
		write(fmt.Sprintf("ct%05d.yaml", i), fmt.Sprintf(`containers:
  ct%d:
    id: %d
    rootfs: {storage: local-zfs, size: 4GiB}
    mounts:
      /data: {storage: tank, size: 1GiB}
    network:
      eth0: {bridge: vmbr0}
`, i, 1000+i))
	}
	return dir
}

// serve runs a node with room for thousands, and leaves the binary the way to it.
func (s *shop) serve(b *testing.B, o sim.Options) *sim.Sim {
	b.Helper()
	st, err := sim.ParseState(sandbox.Start())
	if err != nil {
		b.Fatal(err)
	}
	for _, storage := range st.Storages {
		storage.Total = 1 << 50
	}
	node, err := sim.New(st, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(node.Close)
	sv, err := node.Serve("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = sv.Close(b.Context()) })
	s.env = []string{
		"TEND_ENDPOINT=" + sv.URL(), "TEND_FINGERPRINT=" + sv.Fingerprint,
		"TEND_TOKEN=tend@pve!apply=5a4db07e-0000-4000-8000-000000000001",
	}
	return node
}

func BenchmarkValidate(b *testing.B) {
	binary := build(b)
	for _, n := range []int{100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, dir := &shop{binary: binary, dir: b.TempDir()}, specOf(b, n)
			for b.Loop() {
				s.run(b, "validate", dir)
			}
			s.report(b)
		})
	}
}

// BenchmarkPlan is a plan with nothing to do.
func BenchmarkPlan(b *testing.B) {
	binary := build(b)
	for _, n := range []int{20, 100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s, dir := &shop{binary: binary, dir: b.TempDir()}, specOf(b, n)
			node := s.serve(b, sim.Options{})
			prepare(b, node, dir)
			before := node.Requests()
			for b.Loop() {
				s.run(b, "plan", dir)
			}
			s.report(b)
			b.ReportMetric(float64(node.Requests()-before)/float64(b.N*n), "requests/container")
		})
	}
}

// prepare makes the containers of a spec, past HTTPS.
func prepare(b *testing.B, node *sim.Sim, dir string) {
	b.Helper()
	want, err := load.Path(dir, load.Options{})
	if err != nil {
		b.Fatal(err)
	}
	c := proxmox.NewClient(node.As("tend@pve!apply"))
	r := reconcile.Reconciler{Client: c, Executor: execute.Executor{
		Watcher: proxmox.NewTaskWatcher(c, proxmox.WatchOptions{Delay: -1}), // tasks have ended when they are looked at
	}}
	if out, err := r.Once(b.Context(), want); err != nil || !out.Converged() {
		b.Fatalf("prepare: %v", err)
	}
}

// createTime is how long a node takes for a create when tend has four of them under way, as it does by default: on a
// real node of two cores (9.2.11, November 2026) twenty creates took 0.51 to 0.58 s each, however many were under
// way at once.
const createTime = 4 * 550 * time.Millisecond

// BenchmarkApply makes 100 containers, whose tasks take what they take on a node, and reads them back.
func BenchmarkApply(b *testing.B) {
	const n = 100
	s, dir := &shop{binary: build(b)}, specOf(b, n)
	requests := 0
	for b.Loop() {
		b.StopTimer()
		s.dir = b.TempDir()
		node := s.serve(b, sim.Options{WorkerTime: func(worker string) time.Duration {
			if worker == "vzcreate" {
				return createTime
			}
			return 0
		}})
		b.StartTimer()
		s.run(b, "apply", "--yes", dir)
		requests += node.Requests()
	}
	s.report(b)
	b.ReportMetric(float64(requests)/float64(b.N*n), "requests/container")
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N*n), "s/container")
}
