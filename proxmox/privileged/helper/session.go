package helper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"time"

	"github.com/felhom/tend/proxmox/privileged"
)

// A session is one connection.
type session struct {
	*Server
	conn net.Conn
	peer Peer
	word string
	seq  uint64 // of the last message
}

// An arrival is a message as it came, or why there is none.
type arrival struct {
	body []byte
	err  error
}

// converse greets and answers until the client leaves, the server ends or something does not belong here. The
// connection is read while a request is carried out, too: a caller that leaves before its turn has come is not served.
// One that leaves later is: what was begun is brought to its end, as Proxmox does with its tasks.
func (s *Server) converse(ctx, hard context.Context, conn net.Conn, peer Peer) {
	c := session{Server: s, conn: conn, peer: peer, word: s.word()}
	gone, leave := context.WithCancelCause(ctx)
	arrivals, over := make(chan arrival), make(chan struct{})
	defer func() {
		_ = conn.Close()
		leave(errGone)
		<-over
	}()
	go func() {
		defer close(over)
		defer leave(errGone)
		c.read(gone, arrivals)
	}()
	if !c.send(Greeting{Protocol: Protocol, Node: s.o.Node, Version: s.o.Version, Session: c.word}) {
		return
	}
	for {
		select {
		case in := <-arrivals:
			a := c.handle(gone, hard, in)
			if !c.send(a) || a.Refusal != nil && a.Refusal.ends() {
				return
			}
		case <-gone.Done():
			return
		}
	}
}

var errGone = errors.New("the caller has left")

// read reads messages until there are no more.
func (c *session) read(gone context.Context, arrivals chan<- arrival) {
	for {
		n, err := readLength(c.conn, maxMessage)
		if err != nil && !errors.Is(err, errOversized) {
			return
		}
		in := arrival{err: err}
		if err == nil {
			_ = c.conn.SetReadDeadline(time.Now().Add(bodyTime))
			in.body, in.err = readBody(c.conn, n)
			_ = c.conn.SetReadDeadline(time.Time{}) // a request may take hours
		}
		select {
		case arrivals <- in:
		case <-gone.Done():
			return
		}
		if in.err != nil {
			return
		}
	}
}

// send sends a greeting or an answer, and reports whether it went. From then on the client is to go on: the deadline of
// that is set before, so that it is never set over that of a message which has begun.
func (c *session) send(v any) bool {
	text, err := frame(v)
	if err != nil {
		return false
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(idleTime)) // a connection that is closed says so when it is used
	_ = c.conn.SetWriteDeadline(time.Now().Add(sendTime))
	_, err = c.conn.Write(text)
	return err == nil
}

// handle answers one message, and records it.
func (c *session) handle(gone, hard context.Context, in arrival) answer {
	c.seq++
	rec := Record{Peer: c.peer, Time: time.Now()}
	r, refusal := c.understand(gone, in, &rec)
	if refusal == nil && privileged.Quiet(r) {
		return c.carryOutQuietly(hard, r, rec)
	}
	if refusal == nil {
		end, err := c.turns.take(gone, r.Target())
		if err == nil {
			defer end()
			err = gone.Err() // the turn may have come at the same moment
		}
		if err != nil {
			refusal = c.left()
		}
	}
	if refusal == nil {
		if err := c.o.Audit.begin(rec); err != nil {
			refusal = &Refusal{Unrecorded, "the audit log cannot be written, and nothing is done without it: " + err.Error()}
		}
	}
	if refusal != nil {
		rec.Code, rec.Error = refusal.Code, scrub(refusal.Text, r)
		c.o.Audit.refuse(rec)
		c.o.Log.WarnContext(gone, "request refused", rec.attr())
		return answer{Seq: c.seq, Refusal: refusal}
	}
	return c.carryOut(hard, r, rec)
}

// left is the refusal of what was not begun because nobody waits for it any more, or because the server ends.
func (c *session) left() *Refusal {
	return &Refusal{Closing, "the caller left before it was its turn, or the helper ends"}
}

// carryOut hands a request to the lane.
func (c *session) carryOut(hard context.Context, r privileged.Request, rec Record) answer {
	begin := time.Now()
	result, err := c.o.Doer.Do(hard, r)
	rec.conclude(r, result, err, time.Since(begin))
	if werr := c.o.Audit.end(rec); werr != nil {
		c.o.Log.ErrorContext(hard, "audit log not written", slog.Any("err", werr), rec.attr())
	}
	c.o.Log.InfoContext(hard, "request carried out", rec.attr())
	a := answer{Seq: c.seq, Result: &result}
	if err != nil {
		a.Failure = failureOf(err)
	}
	return a
}

// carryOutQuietly hands on what comes all the time and changes nothing: the log would be of nothing else, and the disk
// never rest. What fails is recorded.
func (c *session) carryOutQuietly(hard context.Context, r privileged.Request, rec Record) answer {
	begin := time.Now()
	result, err := c.o.Doer.Do(hard, r)
	if err == nil {
		return answer{Seq: c.seq, Result: &result}
	}
	rec.conclude(r, result, err, time.Since(begin))
	if werr := c.o.Audit.end(rec); werr != nil {
		c.o.Log.ErrorContext(hard, "audit log not written", slog.Any("err", werr), rec.attr())
	}
	c.o.Log.WarnContext(hard, "request failed", rec.attr())
	return answer{Seq: c.seq, Result: &result, Failure: failureOf(err)}
}

var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// understand reads a message and the request in it, and writes what it learns into the record. The request is not nil as
// soon as there is one, even if it is refused.
func (c *session) understand(ctx context.Context, in arrival, rec *Record) (privileged.Request, *Refusal) {
	if errors.Is(in.err, errOversized) {
		return nil, &Refusal{Oversized, in.err.Error()}
	}
	if in.err != nil {
		return nil, &Refusal{Malformed, "it does not end: " + in.err.Error()}
	}
	if err := c.rate.Wait(ctx); err != nil { // who is too fast waits, and its connections are counted
		return nil, c.left()
	}
	m, refusal := c.message(in.body, rec)
	if refusal != nil {
		return nil, refusal
	}
	r, err := privileged.Unmarshal(m.Request)
	if err != nil {
		return nil, &Refusal{codeOf(err), err.Error()}
	}
	rec.describe(r)
	if err := r.Validate(); err != nil {
		return r, &Refusal{Invalid, shorten(fmt.Sprintf("%v: %v", r, err), maxSaid)}
	}
	if node := r.Target().Node; node != c.o.Node {
		return r, &Refusal{WrongNode, fmt.Sprintf("%v: this node is %s", r, c.o.Node)}
	}
	return r, nil
}

// message reads a message and sees that it is new: it belongs to this connection, comes next in it, and its id was
// never here.
func (c *session) message(body []byte, rec *Record) (message, *Refusal) {
	var m message
	if err := privileged.Decode(body, &m); err != nil {
		return m, &Refusal{Malformed, "it is not a message of session, seq, id, claim and request"}
	}
	if !idForm.MatchString(m.ID) || len(m.Claim.Plan) > maxClaim || len(m.Claim.Commit) > maxClaim {
		return m, &Refusal{Malformed, "its id is not of 32 hexadecimal digits, or its claim too long"}
	}
	rec.ID, rec.Claim = m.ID, m.Claim
	switch {
	case m.Session != c.word:
		return m, &Refusal{Replayed, "it was made for another connection"}
	case m.Seq != c.seq:
		return m, &Refusal{Replayed, fmt.Sprintf("it is number %d, and number %d is next", m.Seq, c.seq)}
	case !c.ids.add(m.ID):
		return m, &Refusal{Replayed, "its id was sent before"}
	}
	return m, nil
}
