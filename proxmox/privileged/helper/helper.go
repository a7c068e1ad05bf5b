// Package helper carries requests of the closed list over a unix socket, from an agent that is nobody special to a
// process that acts as root on the node.
//
// A [Server] takes connections of one user (and of root), reads typed requests and nothing else, hands them to a
// lane one at a time for each container, and writes each into an audit log. A [Client] is the other end, and acts
// like the lane itself. The server believes nothing that it is told: who calls is asked of the kernel, what is to be
// done is read strictly and held against the rules by the lane, and why is noted as the caller's word.
//
// The conversation: the server greets, with its node, its version and a word that is new for each connection; or
// refuses, and closes. Then each message of the client, which repeats that word, is answered in order. Both are JSON
// after their length in four bytes.
//
// The package runs no command, opens no file but that of the audit log, and knows no network: its sockets are files.
package helper

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/felhom/tend/proxmox/privileged"
)

// Protocol is the version of the conversation: a server and a client of different ones do not talk. That of what is
// asked for is [privileged.Version].
const Protocol = 1

const (
	// maxMessage is how long a message of a client may be, in bytes: a request, and what stands around it.
	maxMessage = privileged.MaxSize + 8<<10
	// maxAnswer is how long an answer may be, in bytes: two outputs as base64, and texts.
	maxAnswer = 8 << 20
	// maxSaid is how long a text of an answer may be, in bytes; the rest is cut off.
	maxSaid = 64 << 10
)

// A Greeting is what a server says first.
type Greeting struct {
	Protocol int    `json:"protocol"`
	Node     string `json:"node"`
	Version  string `json:"version"` // of the program
	// Session is a word that each message repeats: one that was recorded on another connection is none here.
	Session string   `json:"session"`
	Refusal *Refusal `json:"refusal,omitempty"` // the server says no more
}

// A Claim is why something is asked for, as the caller says. It is written into the audit log and decides nothing.
type Claim struct {
	Plan   string `json:"plan,omitempty"`   // hash of the plan that it is a step of
	Commit string `json:"commit,omitempty"` // of the spec
}

// maxClaim is how long each part of a claim may be, in bytes.
const maxClaim = 128

type claimKey struct{}

// WithClaim gives all requests that are made with the context this claim.
func WithClaim(ctx context.Context, c Claim) context.Context {
	return context.WithValue(ctx, claimKey{}, c)
}

func claimOf(ctx context.Context) Claim {
	c, _ := ctx.Value(claimKey{}).(Claim)
	return c
}

// A message is what a client sends.
type message struct {
	Session string          `json:"session"`
	Seq     uint64          `json:"seq"` // 1 for the first of a connection, then one more each
	ID      string          `json:"id"`  // 32 hexadecimal digits, never the same twice
	Claim   Claim           `json:"claim,omitzero"`
	Request json.RawMessage `json:"request"` // see privileged.Marshal
}

// An answer is what a server sends for a message.
type answer struct {
	Seq     uint64             `json:"seq"`
	Result  *privileged.Result `json:"result,omitempty"`
	Failure *failure           `json:"failure,omitempty"`
	Refusal *Refusal           `json:"refusal,omitempty"`
}

// errOversized is the error of a length that no message has.
var errOversized = errors.New("it is longer than a message may be")

const lengthSize = 4

// readLength reads the length of the next message.
func readLength(r io.Reader, limit int) (int, error) {
	var head [lengthSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > uint32(limit) {
		return 0, fmt.Errorf("%w: %d bytes, and %d are allowed", errOversized, n, limit)
	}
	return int(n), nil
}

// readBody reads what follows the length. It takes memory as it comes, not as it is announced.
func readBody(r io.Reader, n int) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(body) < n {
		err = io.ErrUnexpectedEOF
	}
	return body, err
}

// readJSON reads one value, of a side that is believed.
func readJSON(r io.Reader, limit int, into any) error {
	n, err := readLength(r, limit)
	if err != nil {
		return err
	}
	body, err := readBody(r, n)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// frame is a value as it is sent.
func frame(v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	head := binary.BigEndian.AppendUint32(make([]byte, 0, lengthSize+len(body)), uint32(len(body)))
	return append(head, body...), nil
}
