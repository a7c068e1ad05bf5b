package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/felhom/tend/cmd/internal/app"
	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/proxmox/privileged/helper"
	"github.com/felhom/tend/proxmox/privileged/lane"
	"github.com/felhom/tend/proxmox/sim"
)

// The users of these tests, who have no name and no rights anywhere.
const (
	agentUser    = 64_101
	strangerUser = 64_102
)

const helperSpec = `
cluster: {name: home, owner: tend}
defaults:
  node: pve1
  from: {template: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"}
  rootfs: {storage: local-zfs, size: 1GiB}
containers:
  media:
    id: 101
    cores: 2
    features: {nesting: true, keyctl: true}
    mounts: {/media: {hostPath: /mnt/usb/films, readOnly: true}}
    devices: {/dev/dri/renderD128: {gid: 104, mode: "0660"}}
    hookScript: local:snippets/hook.sh
    lxc: [{lxc.tty.max: "4"}, {lxc.init.cmd: "/sbin/init KEY=hush-raw"}]
    env: {PASSWORD: hush-env}
    init: {password: {env: LAB_PASSWORD}}
  plain: {id: 102}
  late: {id: 103, features: {nesting: true}}
`

// helperChange is what the second apply changes, in containers that are there.
var helperChange = strings.NewReplacer(
	"lxc.tty.max: \"4\"", "lxc.tty.max: \"6\"",
	"late: {id: 103, features: {nesting: true}}", `late:
    id: 103
    features: {nesting: true, keyctl: true}
    hookScript: local:snippets/hook.sh
    devices: {/dev/dri/card0: {}}
    mounts: {/films: {hostPath: /mnt/usb/films}}
    lxc: [{lxc.tty.max: "2"}]`,
)

// A helperStand is a node (the simulator) with a helper that acts as root on it, and room for those who call.
type helperStand struct {
	t                                 *testing.T
	program, dir, socket, audit, spec string
	endpoint, fingerprint             string
	sim                               *sim.Sim
	stderr                            lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newHelperStand starts the node and tend helper itself, as systemd would but for the socket, whose path is given.
func newHelperStand(t *testing.T) *helperStand {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can be three users at once: the helper, its agent and a stranger")
	}
	dir, err := os.MkdirTemp("", "tend-helper-") // a folder of the test's own is for root alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(dir, 0o755))
	h := &helperStand{
		t: t, dir: dir, program: filepath.Join(dir, "tend"), socket: filepath.Join(dir, "run", "helper.sock"),
		audit: filepath.Join(dir, "log", "audit.log"), spec: filepath.Join(dir, "spec.yaml"),
	}
	must(os.Mkdir(filepath.Dir(h.audit), 0o700))
	must(copyProgram(h.program))
	must(os.WriteFile(h.spec, []byte(helperSpec), 0o644))
	st, err := sim.ParseState(sandbox.Start())
	must(err)
	st.Snippets = append(st.Snippets, "local:snippets/hook.sh")
	h.sim, err = sim.New(st, sim.Options{})
	must(err)
	t.Cleanup(h.sim.Close)
	sv, err := h.sim.Serve("127.0.0.1:0")
	must(err)
	t.Cleanup(func() { _ = sv.Close(t.Context()) })
	h.endpoint, h.fingerprint = sv.URL(), sv.Fingerprint
	h.serve()
	return h
}

// copyProgram makes a program of this test that anyone may run: where go test puts it is for root alone.
func copyProgram(to string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(self)
	if err != nil {
		return err
	}
	defer from.Close()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		return err
	}
	return f.Close()
}

func (h *helperStand) serve() {
	h.t.Helper()
	s := app.Streams{
		In: strings.NewReader(""), Out: &h.stderr, Err: &h.stderr, Env: func(string) string { return "" },
		Backend: func() (lane.Backend, error) { return h.sim.Root("pve1"), nil },
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	code := make(chan int, 1)
	go func() {
		code <- app.Run(ctx, []string{"helper", "--socket", h.socket, "--audit-log", h.audit, "--user", "64101", "--log-level", "info"}, s)
	}()
	h.t.Cleanup(func() {
		cancel()
		if c := <-code; c != 0 {
			h.t.Errorf("the helper ended with exit code %d\n%s", c, h.stderr.String())
		}
		if _, err := os.Stat(h.socket); err == nil {
			h.t.Error("the socket is still there")
		}
	})
	waitUntil(h.t.Fatalf, func() bool {
		c, err := net.Dial("unix", h.socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, "the helper does not listen\n%s", &h.stderr)
}

// as runs the program as a user, and returns its exit code and what it printed.
func (h *helperStand) as(uid uint32, args ...string) (int, string, string) {
	h.t.Helper()
	home := filepath.Join(h.dir, "home"+args[0]+string(rune('0'+uid%10)))
	if err := os.MkdirAll(home, 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Chown(home, int(uid), int(uid)); err != nil {
		h.t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(h.t.Context(), h.program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = home, &out, &errs
	cmd.Env = []string{
		"HOME=" + home, "TEND_STATE_DIR=" + home, "TEND_ENDPOINT=" + h.endpoint, "TEND_FINGERPRINT=" + h.fingerprint,
		"TEND_TOKEN=root@pam!sandbox=5a4db07e-0000-4000-8000-000000000000", "LAB_PASSWORD=hush-password",
		"TEND_LANE=helper", "TEND_HELPER_SOCKET=" + h.socket, "COLUMNS=160",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, NoSetGroups: false}}
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// records are the lines of the audit log.
func (h *helperStand) records() []helper.Record {
	h.t.Helper()
	text, err := os.ReadFile(h.audit)
	if err != nil {
		h.t.Fatal(err)
	}
	if strings.Contains(string(text), "hush") {
		h.t.Errorf("the audit log holds a secret:\n%s", text)
	}
	var out []helper.Record
	for line := range strings.Lines(string(text)) {
		var r helper.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			h.t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// rootOperations is how many steps of the plan are for root.
func (h *helperStand) rootOperations(uid uint32) int {
	h.t.Helper()
	code, out, errs := h.as(uid, "plan", "-o", "json", "--restart", h.spec)
	var p struct {
		Summary    struct{ Blocked int }
		Containers []struct{ Steps []struct{ Root bool } }
	}
	if err := json.Unmarshal([]byte(out), &p); err != nil || code != 2 || p.Summary.Blocked > 0 {
		h.t.Fatalf("plan: exit code %d, %v\n%s%s", code, err, out, errs)
	}
	n := 0
	for _, c := range p.Containers {
		for _, s := range c.Steps {
			if s.Root {
				n++
			}
		}
	}
	return n
}

// TestHelper lets an agent without rights apply what only root@pam may set, through the socket of a helper that acts as
// root: a create with everything, and changes of what is there. Another user is refused, and each is written down.
func TestHelper(t *testing.T) {
	t.Parallel()
	h := newHelperStand(t)
	applied := 0
	apply := func(want []string) {
		t.Helper()
		n := h.rootOperations(agentUser)
		if code, out, errs := h.as(agentUser, "apply", "--yes", "--restart", h.spec); code != 0 {
			t.Fatalf("apply: exit code %d\n%s%s\n%s", code, out, errs, h.stderr.String())
		}
		if code, out, errs := h.as(agentUser, "plan", h.spec); code != 0 {
			t.Errorf("a second plan: exit code %d\n%s%s", code, out, errs)
		}
		all := h.records()
		got := all[applied:]
		applied = len(all)
		if n != len(want) || len(got) != n {
			t.Errorf("the plan has %d operations for root, and the audit log %d lines: %+v", n, len(got), got)
		}
		var what []string
		for _, r := range got {
			what = append(what, r.What)
			if r.Outcome != helper.Done || r.UID != agentUser || r.PID == 0 || r.Claim.Plan == "" || r.Claim.Commit == "" || r.ID == "" {
				t.Errorf("written: %+v", r)
			}
		}
		slices.Sort(what)
		if !slices.Equal(what, want) {
			t.Errorf("done: %q\nwant: %q", what, want)
		}
	}
	apply([]string{"create container 101 on pve1", "write 2 raw lines of container 101 on pve1"})
	text := h.sim.State().Containers[101].Config
	for _, line := range []string{
		"features: keyctl=1,nesting=1\n", "mp0: /mnt/usb/films,mp=/media,ro=1\n", "dev0: /dev/dri/renderD128,gid=104",
		"hookscript: local:snippets/hook.sh\n", "lxc.tty.max: 4\n", "lxc.init.cmd: /sbin/init KEY=hush-raw\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("%q is missing:\n%s", line, text)
		}
	}
	if err := os.WriteFile(h.spec, []byte(helperChange.Replace(helperSpec)), 0o644); err != nil {
		t.Fatal(err)
	}
	apply([]string{
		"set dev0, features, hookscript of container 103 on pve1", "set mp0 of container 103 on pve1",
		"write 1 raw lines of container 103 on pve1", "write 2 raw lines of container 101 on pve1",
	})
	if log := h.stderr.String(); strings.Contains(log, "hush") || !strings.Contains(log, "request carried out") {
		t.Errorf("the log of the helper:\n%s", log)
	}
	h.strangers(applied)
}

// strangers are let in by neither the file system nor the helper.
func (h *helperStand) strangers(applied int) {
	h.t.Helper()
	if err := os.WriteFile(h.spec, []byte(strings.ReplaceAll(helperSpec, "101", "201")), 0o644); err != nil {
		h.t.Fatal(err)
	}
	call := func(want string) {
		h.t.Helper()
		before := h.sim.State().Containers
		if code, out, errs := h.as(strangerUser, "plan", h.spec); code != 3 || !strings.Contains(errs, "what only root@pam may do is blocked") {
			h.t.Errorf("plan: exit code %d\n%s%s", code, out, errs)
		}
		if code, out, _ := h.as(strangerUser, "doctor"); code != 3 || !strings.Contains(out, want) {
			h.t.Errorf("doctor: exit code %d, want %q\n%s", code, want, out)
		}
		if len(h.sim.State().Containers) != len(before) {
			h.t.Error("something was made")
		}
	}
	call("permission denied")
	if n := len(h.records()); n != applied {
		h.t.Errorf("%d lines of who did not get through to the helper", n-applied)
	}
	if err := os.Chmod(h.socket, 0o666); err != nil { // as a socket whose user is not there yet
		h.t.Fatal(err)
	}
	call("tend helper refuses (wrong-user)")
	got := h.records()[applied:]
	if len(got) != 2 {
		h.t.Errorf("want a line for each call, got %+v", got)
	}
	for _, r := range got {
		if r.Outcome != helper.Refused || r.Code != helper.WrongUser || r.UID != strangerUser || r.PID == 0 {
			h.t.Errorf("written: %+v", r)
		}
	}
	if code, out, errs := h.as(agentUser, "doctor"); code != 0 || !strings.Contains(out, "acts as root on pve1") ||
		!strings.Contains(out, "sensors of pve1") || !strings.Contains(out, "below tank") { // read as root, through the socket
		h.t.Errorf("doctor of the agent: exit code %d\n%s%s", code, out, errs)
	}
}
