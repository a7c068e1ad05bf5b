package proxmox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// A Client speaks the API of Proxmox VE in Go types. It holds no state but its transport and is safe for use
// by many goroutines.
//
// Every method is one request, unless it says otherwise. Where a method returns a [UPID], Proxmox runs a task
// and has checked little so far: wait for the task with [Client.WaitTask] or a [TaskWatcher] to know how it
// ended. Where a method returns only an error, the change was made, or refused, when it returns.
type Client struct {
	t Transport
}

// NewClient makes a client that sends its requests over t.
func NewClient(t Transport) *Client { return &Client{t: t} }

// get reads path into out.
func (c *Client) get(ctx context.Context, path string, params url.Values, out any) error {
	r := Request{Method: "GET", Path: path, Params: params}
	data, err := c.t.Do(ctx, r)
	if err != nil {
		return err
	}
	if err := decode(data, out); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return nil
}

// change sends a mutation that is carried out when its answer comes.
func (c *Client) change(ctx context.Context, method, path string, p params) error {
	_, err := c.t.Do(ctx, Request{Method: method, Path: path, Params: p.values()})
	return err
}

// task sends a mutation that Proxmox runs as a task.
func (c *Client) task(ctx context.Context, method, path string, p params) (UPID, error) {
	r := Request{Method: method, Path: path, Params: p.values()}
	data, err := c.t.Do(ctx, r)
	if err != nil {
		return UPID{}, err
	}
	return taskOf(r, data)
}

// taskOf reads the UPID out of the answer to a mutation. What was accepted without one may run all the same.
func taskOf(r Request, data json.RawMessage) (UPID, error) {
	var text string
	err := decode(data, &text)
	if err != nil {
		return UPID{}, fmt.Errorf("%s: %w: %w", r, ErrOutcomeUnknown, err)
	}
	u, err := ParseUPID(text)
	if err != nil {
		return UPID{}, fmt.Errorf("%s: %w: answer %w", r, ErrOutcomeUnknown, err)
	}
	return u, nil
}

// params builds the parameters of a request; what has its zero value is left out.
type params url.Values

func (p params) values() url.Values { return url.Values(p) }

func (p params) text(key, value string) {
	if value != "" {
		url.Values(p).Set(key, value)
	}
}

func (p params) flag(key string, value bool) {
	if value {
		p.text(key, "1") // the only form that a form body takes for true
	}
}

func (p params) number(key string, value int64) {
	if value != 0 {
		p.text(key, strconv.FormatInt(value, 10))
	}
}

func (p params) list(key string, values []string) { p.text(key, strings.Join(values, ",")) }

// all adds settings as they are, empty ones too.
func (p params) all(v Values) {
	for key, value := range v {
		url.Values(p).Set(key, value)
	}
}

// escape percent-encodes an element of a path, ":" and "!" included, which stand in UPIDs.
func escape(element string) string {
	return strings.ReplaceAll(url.QueryEscape(element), "+", "%20")
}

func nodePath(node, tail string) string { return "/nodes/" + escape(node) + tail }
