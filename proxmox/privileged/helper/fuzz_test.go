package helper_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/helper"
)

// A tape is a connection that says a fixed text, keeps what it is told, and ends once it is asked for more than there is
// and nothing is under way: only then the server has set a deadline.
type tape struct {
	net.Conn
	mu     sync.Mutex
	rest   []byte
	heard  []byte
	asked  *sync.Cond
	waits  bool
	closed bool
}

func newTape(text []byte) *tape {
	c := &tape{rest: text}
	c.asked = sync.NewCond(&c.mu)
	return c
}

func (c *tape) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.rest) == 0 && !c.waits && !c.closed {
		c.asked.Wait()
	}
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *tape) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard, p...)
	return len(p), nil
}

func (c *tape) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = !t.IsZero()
	c.asked.Broadcast()
	return nil
}

func (c *tape) SetWriteDeadline(time.Time) error { return nil }

func (c *tape) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.asked.Broadcast()
	return nil
}

// answers are what was told, each of which must be whole.
func (c *tape) answers(t *testing.T) (out []reply) {
	for i := 0; len(c.heard) > 0; i++ {
		if len(c.heard) < 4 || len(c.heard) < 4+int(binary.BigEndian.Uint32(c.heard)) {
			t.Fatalf("half an answer: %q", c.heard)
		}
		n := 4 + int(binary.BigEndian.Uint32(c.heard))
		var r reply
		if err := json.Unmarshal(c.heard[4:n], &r); err != nil {
			t.Fatalf("%q: %v", c.heard[4:n], err)
		}
		if c.heard = c.heard[n:]; i > 0 { // after the greeting
			out = append(out, r)
		}
	}
	return out
}

// one is a listener of one connection.
type one struct {
	*pipes
	conn net.Conn
}

func (l *one) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	return l.pipes.Accept()
}

// FuzzServe sends anything to a server: it never panics, answers each message once, and hands on nothing but requests of
// the closed list that keep their rules and are for its node.
func FuzzServe(f *testing.F) {
	whole := privileged.Create{Node: "pve1", Params: proxmox.CreateParams{
		ID: 101, Template: "local:vztmpl/d.tar.zst", Password: proxmox.NewSecret("geheim"), SSHKeys: []string{"ssh-ed25519 AAAA me"},
		Values: proxmox.Values{"features": "keyctl=1", "mp0": "/srv,mp=/srv", "dev0": "/dev/null", "hookscript": "local:snippets/a.sh"},
	}}
	requests := []privileged.Request{
		whole, unlock(101),
		privileged.SetConfig{Ref: ref, Update: proxmox.Update{Set: proxmox.Values{"dev0": "/dev/null"}, Delete: []string{"hookscript"}, Digest: digest}},
		privileged.SetRaw{Ref: ref, Digest: digest, Lines: []proxmox.RawLine{{Key: "lxc.tty.max", Value: "4"}}},
		privileged.Exec{Ref: ref, Argv: []string{"fsfreeze", "-f", "/"}, Timeout: time.Minute},
		privileged.ReadHealth{Node: "pve1", Disk: "/dev/sda"},
		privileged.ReadHealth{Node: "pve1", Sensors: true},
		privileged.ReadHealth{Node: "pve1", Disks: true},
		privileged.Mount{Node: "pve1", Owner: "tend", Mount: proxmox.HostMount{Name: "usb", Device: "UUID=ab-cd", Path: "/mnt/usb"}},
		privileged.PutSnippet{Node: "pve1", Volume: "local:snippets/a.sh", Content: []byte("x"), SHA256: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"},
	}
	var chain string
	for i, r := range requests {
		f.Add([]byte(message(1, r, nil)))
		chain += message(uint64(i+1), r, nil)
	}
	f.Add([]byte(chain))
	f.Add([]byte(message(1, unlock(101), nil) + message(1, unlock(101), nil)))
	f.Add([]byte("\x00\x00\x00\x02{}\xff\xff\xff\xff"))
	log, err := helper.OpenLog(filepath.Join(f.TempDir(), "audit.log"), helper.LogOptions{Size: 1 << 20, Keep: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = log.Close() })
	f.Fuzz(func(t *testing.T, text []byte) {
		d := &doer{do: func(context.Context, privileged.Request) (privileged.Result, error) {
			return privileged.Result{}, errors.New("no")
		}}
		s := helper.NewServer(helper.Options{
			Doer: d, Node: "pve1", Audit: log.Careless(), Allow: func() (uint32, error) { return 1000, nil }, Idle: time.Nanosecond,
		})
		c := newTape(text)
		if err := s.As(helper.Peer{UID: 1000}).Say(word).Serve(t.Context(), &one{newPipes(), c}); err != nil {
			t.Fatal(err)
		}
		carried := 0
		for _, a := range c.answers(t) {
			if (a.Result != nil) == (a.Refusal != nil) {
				t.Fatalf("answered %+v", a)
			}
			if a.Result != nil {
				carried++
			}
		}
		if carried != len(d.done) {
			t.Fatalf("%d answers for %d requests", carried, len(d.done))
		}
		for _, r := range d.done {
			inList(t, r)
		}
	})
}

// inList insists that a request is one that a lane may get: its commands are of its row, too.
func inList(t *testing.T, r privileged.Request) {
	switch r.(type) {
	case privileged.Create, privileged.SetConfig, privileged.SetRaw, privileged.Unlock, privileged.Exec, privileged.Mount, privileged.PutSnippet, privileged.ReadHealth, privileged.ReadMounts, privileged.ReadSnippets,
		privileged.Lead, privileged.KeepLead:
	default:
		t.Fatalf("%T is handed on", r)
	}
	row, ok := privileged.Lookup(r.Row())
	if err := r.Validate(); err != nil || !ok || r.Target().Node != "pve1" {
		t.Fatalf("%v is handed on: %v", r, err)
	}
	for _, c := range privileged.Commands(r) {
		if !slices.Contains(row.Runs, c.Argv[0]) {
			t.Fatalf("%v runs %v", r, c)
		}
	}
}
