package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/history"
)

// A Client asks an agent over its local socket.
type Client struct {
	http *http.Client
	path string
}

// answerTime is how long an agent may take to answer, and maxAnswer how much it may say.
const (
	answerTime = 15 * time.Second
	maxAnswer  = 64 << 20
)

// Dial returns a client of the agent that listens on a socket; nothing is sent yet.
func Dial(path string) *Client {
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	return &Client{&http.Client{Transport: t, Timeout: answerTime}, path}
}

// Report returns the agent's report.
func (c *Client) Report(ctx context.Context) (*report.Report, error) {
	r := &report.Report{}
	return r, c.ask(ctx, http.MethodGet, "/v1/report", nil, r)
}

// Runs returns at most n runs with ids below before (0: the newest), newest first.
func (c *Client) Runs(ctx context.Context, before uint64, n int) (Runs, error) {
	var page Runs
	q := url.Values{"before": {strconv.FormatUint(before, 10)}, "n": {strconv.Itoa(n)}}
	return page, c.ask(ctx, http.MethodGet, "/v1/runs?"+q.Encode(), nil, &page)
}

// Run returns a run; the error is [history.ErrNotFound] where there is none.
func (c *Client) Run(ctx context.Context, id uint64) (history.Record, error) {
	var r history.Record
	return r, c.ask(ctx, http.MethodGet, "/v1/runs/"+strconv.FormatUint(id, 10), nil, &r)
}

// Do asks for an action: reconcile, suspend (id, reason, for or until), resume (id) or approve (hash).
func (c *Client) Do(ctx context.Context, action string, form url.Values) error {
	return c.ask(ctx, http.MethodPost, "/actions/"+action, form, nil)
}

// ask sends a request and decodes the answer. What the agent refuses is an error in its own words.
func (c *Client) ask(ctx context.Context, method, path string, form url.Values, to any) error {
	r, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := c.http.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the URL in it means nothing to a person
		}
		return fmt.Errorf("ask the agent on %s: %w", c.path, err)
	}
	defer res.Body.Close()
	body := json.NewDecoder(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode >= http.StatusBadRequest {
		var p problem
		if body.Decode(&p) != nil || p.Error == "" {
			p.Error = res.Status
		}
		if res.StatusCode == http.StatusNotFound && method == http.MethodGet {
			return history.ErrNotFound
		}
		return errors.New(p.Error)
	}
	if to == nil {
		return nil
	}
	if err := body.Decode(to); err != nil {
		return fmt.Errorf("understand the agent on %s: %w", c.path, err)
	}
	return nil
}
