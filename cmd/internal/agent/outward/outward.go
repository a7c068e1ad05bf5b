// Package outward sends requests of the agent to the services of others: it bounds what a request may
// take, and tells what went wrong without the address, which often is a secret itself.
package outward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox/secret"
)

// CheckURL says what is wrong with the address of a web service. The error does not repeat it.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("is no address that begins with https:// or http://")
	}
	return nil
}

// A StatusError is an answer other than yes.
type StatusError struct {
	Code int
	Body []byte // its beginning; may be empty
}

// Error is "answers 401 Unauthorized".
func (e *StatusError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("answers %d %s", e.Code, http.StatusText(e.Code)))
}

// The bounds of a request.
const (
	Timeout = 15 * time.Second // for it and its answer
	maxBody = 4 << 10          // of the answer, which is only read for what it says of an error
)

// NewClient makes the client for [Send]. It follows no redirects: what is sent is for the one who was named.
func NewClient() *http.Client {
	return &http.Client{
		Timeout:       Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A Request is what is sent.
type Request struct {
	Method string
	URL    secret.Text
	Header http.Header
	Body   []byte
}

// Send sends a request; nil: the answer is one of 2xx. The error is a *StatusError where there is another answer, and
// never holds the address.
func Send(ctx context.Context, c *http.Client, r Request) error {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL.Reveal(), bytes.NewReader(r.Body))
	if err != nil {
		return errors.New("the address cannot be read")
	}
	for k, v := range r.Header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "tend")
	resp, err := c.Do(req)
	if err != nil {
		return bare(err, req.URL)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody)) // what is missing is no matter
	if resp.StatusCode/100 != 2 {
		return &StatusError{resp.StatusCode, body}
	}
	return nil
}

// bare is an error of package net/http without the address, whose path and query may hold a key.
func bare(err error, address *url.URL) error {
	e, ok := errors.AsType[*url.Error](err)
	switch {
	case !ok:
		return errors.New("the request cannot be sent")
	case e.Timeout():
		return errors.New("no answer in time")
	}
	text := e.Err.Error()
	if path := address.RequestURI(); len(path) > 1 {
		text = strings.ReplaceAll(text, path, "/"+secret.Mask)
	}
	return errors.New(text)
}

// Brief is a text in one line of at most so many characters.
func Brief(text string, limit int) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return text
}

// Pause waits before another try, from half of a time to all of it, and reports whether the context is still alive.
// The time is first at first, and doubles with each try up to limit.
func Pause(ctx context.Context, try int, first, limit time.Duration) bool {
	d := min(limit, first<<min(try, 20))
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
