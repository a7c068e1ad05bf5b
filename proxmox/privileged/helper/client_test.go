package helper_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/helper"
	"github.com/felhom/tend/proxmox/privileged/lane"
)

var vzcreate = proxmox.UPID{Node: "pve1", PID: 7, PStart: 9, Start: time.Unix(1795422237, 0).UTC(), Type: "vzcreate", ID: "101", User: "root@pam"}

func classes() []error {
	return []error{
		proxmox.ErrNotFound, proxmox.ErrNoGuest, proxmox.ErrUnauthorized, proxmox.ErrForbidden, proxmox.ErrLocked, proxmox.ErrModified,
		proxmox.ErrExists, proxmox.ErrProtected, proxmox.ErrBusy, proxmox.ErrNoQuorum, proxmox.ErrAlready, proxmox.ErrNothing,
		proxmox.ErrInvalid, proxmox.ErrNoSpace, proxmox.ErrUnreachable, proxmox.ErrOutcomeUnknown, privileged.ErrNotNeeded,
		lane.ErrWrongNode, lane.ErrUnproven, context.Canceled, context.DeadlineExceeded,
	}
}

// TestErrors carries errors over the socket: text, classes and fields are what they were.
func TestErrors(t *testing.T) {
	pct := func(text string) error {
		return privileged.Refused(privileged.Command{Argv: []string{"/usr/sbin/pct", "set", "101"}}, 255, []byte(text))
	}
	failed := func(status string) error {
		return proxmox.NewTaskError(proxmox.TaskStatus{UPID: vzcreate, ExitStatus: status}, []string{"one", "two"})
	}
	all := []error{
		nil,
		errors.New("what nobody knows"),
		pct("CT is locked (backup)"),
		pct("detected modified configuration - file changed by other user? Try again."),
		pct("can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout"),
		pct("400 Parameter verification failed.\nmp0: invalid format\nfeatures: value does not match\n"),
		pct("Permission check failed (/vms/101, VM.Config.Options)"),
		pct("unable to create CT 101 - CT 101 already exists on node 'pve1'"),
		failed("CT is locked (snapshot)"), failed("lvcreate 'x' error: Volume group \"x\" has insufficient free space (1 extents): 2 required."),
		failed("unable to create CT 101 - x"),
		fmt.Errorf("two at once: %w", errors.Join(pct("CT is locked (mounted)"), proxmox.ErrModified)),
	}
	for _, c := range classes() {
		all = append(all, fmt.Errorf("container %v: %w", ref, c))
	}
	var next error
	d := &doer{do: func(context.Context, privileged.Request) (privileged.Result, error) {
		return privileged.Result{Task: vzcreate, Notes: []string{"note"}}, next
	}}
	socket, _ := serve(t, d, nil)
	for _, want := range all {
		next = want
		result, got := (&helper.Client{Path: socket}).Do(t.Context(), unlock(101))
		if result.Task != vzcreate || !slices.Equal(result.Notes, []string{"note"}) {
			t.Errorf("%v: result %+v", want, result)
		}
		if (got == nil) != (want == nil) || got != nil && !strings.HasSuffix(got.Error(), want.Error()) {
			t.Errorf("want %v, got %v", want, got)
			continue
		}
		for _, c := range classes() {
			if errors.Is(got, c) != errors.Is(want, c) {
				t.Errorf("%v: matches %q: want %v", got, c, errors.Is(want, c))
			}
		}
		sameFields[*proxmox.APIError](t, want, got)
		sameFields[*proxmox.TaskError](t, want, got)
	}
}

func sameFields[E error](t *testing.T, want, got error) {
	t.Helper()
	w, wok := errors.AsType[E](want)
	g, gok := errors.AsType[E](got)
	if wok != gok {
		t.Errorf("%v: is a %v: want %v", got, reflect.TypeFor[E](), wok)
		return
	}
	exported := cmp.FilterPath(func(p cmp.Path) bool {
		f, ok := p.Last().(cmp.StructField)
		return ok && f.Name() == "class"
	}, cmp.Ignore())
	if d := cmp.Diff(w, g, exported, cmp.AllowUnexported()); wok && d != "" {
		t.Error(d)
	}
}

// TestRefusedDo is what a caller makes of refusals.
func TestRefusedDo(t *testing.T) {
	socket, _ := serve(t, &doer{}, nil)
	c := &helper.Client{Path: socket}
	elsewhere, invalid := unlock(101), unlock(101)
	elsewhere.Ref.Node, invalid.Lock = "pve2", "mounted"
	for _, tt := range []struct {
		r     privileged.Request
		class error
	}{{elsewhere, lane.ErrWrongNode}, {invalid, proxmox.ErrInvalid}} {
		_, err := c.Do(t.Context(), tt.r)
		if _, ok := errors.AsType[*helper.Refusal](err); !ok || !errors.Is(err, tt.class) || errors.Is(err, proxmox.ErrOutcomeUnknown) {
			t.Errorf("want a refusal that is %v, got %v", tt.class, err)
		}
	}
	huge := privileged.PutSnippet{Node: "pve1", Volume: "local:snippets/x.sh", Content: make([]byte, privileged.MaxSize)}
	if _, err := c.Do(t.Context(), huge); !errors.Is(err, proxmox.ErrInvalid) {
		t.Errorf("too large: %v", err)
	}
}

// TestUnreachable tells what cannot have been done from what may have been.
func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	c := &helper.Client{Path: filepath.Join(dir, "none")}
	if _, err := c.Do(t.Context(), unlock(101)); !errors.Is(err, proxmox.ErrUnreachable) || errors.Is(err, proxmox.ErrOutcomeUnknown) {
		t.Errorf("nobody there: %v", err)
	}
	if _, err := c.Greet(t.Context()); !errors.Is(err, proxmox.ErrUnreachable) {
		t.Errorf("nobody there: %v", err)
	}
	greeting := frame(`{"protocol":1,"node":"pve1","version":"x","session":"W"}`)
	tests := []struct {
		name    string
		say     string
		listen  bool // read the request
		unknown bool
		want    string
	}{
		{"mute", "", false, false, "does not greet"},
		{"babble", frame("hello"), false, false, "does not greet"},
		{"another protocol", frame(`{"protocol":2,"node":"pve1"}`), false, false, "version 2 of the protocol"},
		{"gone after the request", greeting, true, true, "did not answer"},
		{"an answer that ends", greeting, true, true, "did not answer"},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(dir, fmt.Sprint(i))
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Skipf("no unix sockets here: %v", err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = io.WriteString(conn, tt.say)
				if tt.listen {
					_, _ = conn.Read(make([]byte, 1<<16))
				}
				if strings.HasPrefix(tt.name, "an answer") {
					_, _ = io.WriteString(conn, frame(`{"seq":1}`)[:6])
				}
				_ = conn.Close()
			}()
			_, err = (&helper.Client{Path: path}).Do(t.Context(), unlock(101))
			if !errors.Is(err, proxmox.ErrUnreachable) || errors.Is(err, proxmox.ErrOutcomeUnknown) != tt.unknown || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestContext ends the wait of a caller, whose request goes on.
func TestContext(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	d := &doer{do: func(context.Context, privileged.Request) (privileged.Result, error) {
		close(begun)
		<-end
		return privileged.Result{}, nil
	}}
	socket, audit := serve(t, d, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	_, err := (&helper.Client{Path: socket}).Do(ctx, unlock(101))
	if !errors.Is(err, context.Canceled) || !errors.Is(err, proxmox.ErrOutcomeUnknown) {
		t.Errorf("got %v", err)
	}
	if _, err := (&helper.Client{Path: socket}).Do(ctx, unlock(102)); !errors.Is(err, context.Canceled) || errors.Is(err, proxmox.ErrOutcomeUnknown) {
		t.Errorf("with a context that has ended: %v", err)
	}
	close(end)
	d.do = nil
	if _, err := (&helper.Client{Path: socket}).Do(helper.WithClaim(t.Context(), helper.Claim{Plan: "p"}), unlock(101)); err != nil {
		t.Errorf("the next: %v", err)
	}
	log := lines(t, audit)
	if len(log) != 2 || log[1].Claim.Plan != "p" {
		t.Errorf("written: %+v", log)
	}
}
