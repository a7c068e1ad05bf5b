package helper_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/helper"
)

const (
	digest = "0123456789abcdef0123456789abcdef01234567"
	word   = "WORD"
)

var ref = proxmox.Ref{Node: "pve1", ID: 101}

func unlock(id proxmox.VMID) privileged.Unlock {
	return privileged.Unlock{Ref: proxmox.Ref{Node: "pve1", ID: id}, Lock: "backup"}
}

// doer answers requests with a function and keeps them.
type doer struct {
	do   func(context.Context, privileged.Request) (privileged.Result, error)
	mu   sync.Mutex
	done []privileged.Request
}

func (d *doer) Do(ctx context.Context, r privileged.Request) (privileged.Result, error) {
	d.mu.Lock()
	d.done = append(d.done, r)
	d.mu.Unlock()
	if d.do == nil {
		return privileged.Result{Changed: true}, nil
	}
	return d.do(ctx, r)
}

func (d *doer) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.done)
}

func openLog(t *testing.T, path string, o helper.LogOptions) *helper.Log {
	t.Helper()
	l, err := helper.OpenLog(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // a test may have closed it
	return l
}

// lines are the records of an audit log.
func lines(t *testing.T, path string) []helper.Record {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []helper.Record
	for line := range bytes.Lines(text) {
		var r helper.Record
		if err := privileged.Decode(line, &r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out = append(out, r)
	}
	return out
}

// pipes is a listener whose connections live in this process, so that time can be that of a test.
type pipes struct {
	c    chan net.Conn
	once sync.Once
	end  chan struct{}
}

func newPipes() *pipes { return &pipes{c: make(chan net.Conn), end: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.c:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.end) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.c <- there
	return here
}

// A stand is a server that runs, and what stands around it.
type stand struct {
	t     *testing.T
	pipes *pipes
	doer  *doer
	audit string
	stop  context.CancelFunc
	ended chan error
}

// run runs a server of pipes, for the user 1000.
func run(t *testing.T, d *doer, change ...func(*helper.Options)) *stand {
	t.Helper()
	s := &stand{t: t, pipes: newPipes(), doer: d, audit: filepath.Join(t.TempDir(), "audit.log"), ended: make(chan error, 1)}
	o := helper.Options{
		Doer: d, Node: "pve1", Version: "test", Audit: openLog(t, s.audit, helper.LogOptions{}),
		Allow: func() (uint32, error) { return 1000, nil },
	}
	for _, c := range change {
		c(&o)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	server := helper.NewServer(o).As(helper.Peer{UID: 1000, PID: 42}).Say(word)
	go func() { s.ended <- server.Serve(ctx, s.pipes) }()
	t.Cleanup(func() {
		cancel()
		if err := <-s.ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// A talk is a connection, as its client sees it.
type talk struct {
	*stand
	conn net.Conn
}

func (s *stand) talk() *talk {
	s.t.Helper()
	c := &talk{stand: s, conn: s.pipes.dial()}
	s.t.Cleanup(func() { _ = c.conn.Close() })
	var g helper.Greeting
	if err := json.Unmarshal(c.read(), &g); err != nil || g.Node != "pve1" || g.Session != word || g.Protocol != helper.Protocol || g.Version != "test" {
		s.t.Fatalf("greeted with %+v, %v", g, err)
	}
	return c
}

func (c *talk) read() []byte {
	c.t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(c.conn, head[:]); err != nil {
		c.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c.conn, body); err != nil {
		c.t.Fatal(err)
	}
	return body
}

func frame(body string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(body)))) + body
}

func (c *talk) write(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// message is a message as a client writes it; fields are put in place of its own.
func message(seq uint64, r privileged.Request, fields map[string]any) string {
	text, err := privileged.Marshal(r)
	if err != nil {
		panic(err)
	}
	m := map[string]any{"session": word, "seq": seq, "id": fmt.Sprintf("%032x", seq), "request": json.RawMessage(text)}
	for k, v := range fields {
		m[k] = v
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return frame(string(body))
}

type reply struct {
	Seq     uint64
	Result  *privileged.Result
	Refusal *helper.Refusal
	Failure map[string]any
}

func (c *talk) reply() (r reply) {
	c.t.Helper()
	if err := json.Unmarshal(c.read(), &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// closed insists that the server has closed the connection.
func (c *talk) closed() {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(time.Hour))
	if n, err := c.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		c.t.Errorf("it is still open: read %d, %v", n, err)
	}
}

// TestRefusals sends what is not to be done; each gets an answer with its code, a line in the audit log, and nothing
// is done.
func TestRefusals(t *testing.T) {
	invalid, elsewhere := unlock(101), unlock(101)
	invalid.Lock, elsewhere.Ref.Node = "a b", "pve2"
	request := func(text string) map[string]any { return map[string]any{"request": json.RawMessage(text)} }
	tests := []struct {
		name string
		text string
		code helper.Code
		open bool // the connection goes on
	}{
		{"no JSON", frame("hello"), helper.Malformed, false},
		{"nothing", frame(""), helper.Malformed, false},
		{"an unknown field", message(1, unlock(101), map[string]any{"user": "root"}), helper.Malformed, false},
		{"two values", frame(`{}{}`), helper.Malformed, false},
		{"no id", message(1, unlock(101), map[string]any{"id": ""}), helper.Malformed, false},
		{"a long claim", message(1, unlock(101), map[string]any{"claim": map[string]string{"plan": strings.Repeat("x", 1000)}}), helper.Malformed, false},
		{"too long", string(binary.BigEndian.AppendUint32(nil, helper.MaxMessage+1)), helper.Oversized, false},
		{"much too long", "GET / HTTP/1.1\r\n"[:4], helper.Oversized, false},
		{"of another connection", message(1, unlock(101), map[string]any{"session": "OTHER"}), helper.Replayed, false},
		{"of no connection", message(1, unlock(101), map[string]any{"session": ""}), helper.Replayed, false},
		{"out of order", message(2, unlock(101), nil), helper.Replayed, false},
		{"no request", message(1, unlock(101), request(`null`)), helper.Unknown, true},
		{"a request that is a text", message(1, unlock(101), request(`"rm"`)), helper.Malformed, false},
		{"a request with more", message(1, unlock(101), request(`{"version":1,"kind":"unlock","request":{"Argv":["sh"]}}`)), helper.Malformed, false},
		{"an unknown kind", message(1, unlock(101), request(`{"version":1,"kind":"shell","request":{}}`)), helper.Unknown, true},
		{"another version", message(1, unlock(101), request(`{"version":2,"kind":"unlock","request":{}}`)), helper.Unknown, true},
		{"against the rules", message(1, invalid, nil), helper.Invalid, true},
		{"elsewhere", message(1, elsewhere, nil), helper.WrongNode, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := run(t, &doer{})
			c := s.talk()
			c.write(tt.text)
			if r := c.reply(); r.Refusal == nil || r.Refusal.Code != tt.code || r.Refusal.Text == "" || r.Seq != 1 {
				t.Fatalf("want %s, got %+v", tt.code, r)
			}
			if tt.open {
				c.write(message(2, unlock(101), nil))
				if r := c.reply(); r.Result == nil || r.Refusal != nil {
					t.Errorf("afterwards: %+v", r)
				}
			} else {
				c.closed()
			}
			log := lines(t, s.audit)
			if log[0].Outcome != helper.Refused || log[0].Code != tt.code || log[0].UID != 1000 || log[0].PID != 42 || log[0].Error == "" {
				t.Errorf("written: %+v", log[0])
			}
			if want := map[bool]int{true: 1}[tt.open]; s.doer.count() != want || len(log) != 1+want {
				t.Errorf("%d were done, and %d lines written", s.doer.count(), len(log))
			}
		})
	}
}

// TestReplay repeats a request on its own connection and on another.
func TestReplay(t *testing.T) {
	s := run(t, &doer{})
	c := s.talk()
	first := message(1, unlock(101), nil)
	c.write(first)
	c.reply()
	c.write(first)
	if r := c.reply(); r.Refusal == nil || r.Refusal.Code != helper.Replayed {
		t.Errorf("the same once more: %+v", r)
	}
	c.closed()
	c = s.talk()
	c.write(first) // the word of the session is the same in this test: the id is what is left
	if r := c.reply(); r.Refusal == nil || r.Refusal.Code != helper.Replayed || !strings.Contains(r.Refusal.Text, "id") {
		t.Errorf("on another connection: %+v", r)
	}
	if s.doer.count() != 1 {
		t.Errorf("it was done %d times", s.doer.count())
	}
}

// TestWords sees that no two sessions have the same word.
func TestWords(t *testing.T) {
	path, _ := serve(t, &doer{}, nil)
	seen := map[string]bool{}
	for range 20 {
		g, err := (&helper.Client{Path: path}).Greet(t.Context())
		if err != nil || len(g.Session) < 26 || seen[g.Session] {
			t.Fatalf("%+v, %v", g, err)
		}
		seen[g.Session] = true
	}
}

// serve runs a server on a real socket for whoever runs the test.
func serve(t *testing.T, d *doer, allow func() (uint32, error)) (socket, audit string) {
	t.Helper()
	dir := t.TempDir()
	socket, audit = filepath.Join(dir, "s"), filepath.Join(dir, "audit.log")
	if allow == nil {
		allow = func() (uint32, error) { return uint32(os.Getuid()), nil }
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Skipf("no unix sockets here: %v", err)
	}
	s := helper.NewServer(helper.Options{Doer: d, Node: "pve1", Version: "test", Allow: allow, Audit: openLog(t, audit, helper.LogOptions{})})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return socket, audit
}
