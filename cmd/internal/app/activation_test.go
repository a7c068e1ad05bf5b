package app_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/felhom/tend/cmd/internal/app"
	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/proxmox/privileged/helper"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/sim"
)

// labHelper is tend helper on a simulated node, as a process of its own that takes its socket as systemd hands it over.
func labHelper() {
	st, err := sim.ParseState(sandbox.Start())
	if err != nil {
		panic(err)
	}
	node, err := sim.New(st, sim.Options{})
	if err != nil {
		panic(err)
	}
	if err := os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())); err != nil { // only systemd knows it before
		panic(err)
	}
	s := app.System()
	s.Backend = func() (lane.Backend, error) { return node.Root("pve1"), nil }
	os.Exit(app.Run(context.Background(), append([]string{"helper"}, os.Args[1:]...), s))
}

// TestActivation starts the helper by its socket, twice: it takes the one that is handed over, ends when nobody calls, and
// leaves the socket, in which the next call waits for the next helper.
func TestActivation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Skipf("no unix sockets here: %v", err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for range 2 {
		greeted := make(chan error, 1)
		go func() { // it may call before there is a helper
			_, err := (&helper.Client{Path: path}).Greet(t.Context())
			greeted <- err
		}()
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), "lab-helper", "--socket", filepath.Join(dir, "other"), "--user", strconv.Itoa(os.Getuid()),
			"--audit-log", filepath.Join(dir, "audit.log"), "--idle-timeout", "300ms")
		cmd.Env = append(os.Environ(), "LISTEN_FDS=1")
		cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []*os.File{f}, &out, &out
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, &out)
		}
		if err := <-greeted; err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "other")); err == nil {
			t.Error("it made a socket of its own")
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}
