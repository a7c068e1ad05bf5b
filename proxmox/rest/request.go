package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

type httpProtocols = map[string]func(string, *tls.Conn) http.RoundTripper

// maxBody bounds an answer. The largest, the inventory of a cluster, takes about 500 bytes a guest.
const maxBody = 64 << 20

// once sends a request a single time.
func (t *Transport) once(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", r, context.Cause(ctx))
	}
	begin := time.Now()
	a, err := t.send(ctx, r, t.auth)
	if err == nil {
		err = a.err(r, t.Endpoint())
	}
	t.opts.Logger.DebugContext(ctx, "api request", "method", r.Method, "path", r.Path,
		"status", a.status, "dur", time.Since(begin))
	if err != nil {
		return nil, err
	}
	return a.data(), nil
}

// An answer is what came back over HTTP.
type answer struct {
	status   int
	reason   string // the reason phrase of the status line, where Proxmox puts the first line of its text
	kind     string // media type
	location string
	body     []byte
	fields   map[string]json.RawMessage // of the body, where it is an object
}

// data is the part of the answer that counts: "null" where Proxmox has nothing to say, nil where it is absent.
func (a answer) data() json.RawMessage { return a.fields["data"] }

// send carries a request to the node and reads the answer in whole.
func (t *Transport) send(ctx context.Context, r proxmox.Request, auth authenticator) (answer, error) {
	limited, cancel := context.WithTimeoutCause(ctx, t.opts.Timeout, errTimeout)
	defer cancel()
	var connected bool // a connection was had, so that bytes of the request may have left
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
	req, err := t.request(httptrace.WithClientTrace(limited, trace), r)
	if err != nil {
		return answer{}, fmt.Errorf("%s: %w", r, err)
	}
	if err := auth.sign(ctx, req); err != nil {
		return answer{}, err
	}
	resp, err := t.pool().RoundTrip(req)
	if err != nil {
		return answer{}, t.broken(ctx, limited, r, connected, err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, location: resp.Header.Get("Location")}
	_, a.reason, _ = strings.Cut(resp.Status, " ")
	a.kind, _, _ = mime.ParseMediaType(resp.Header.Get("Content-Type"))
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return a, t.broken(ctx, limited, r, connected, err)
	}
	if len(a.body) > maxBody || json.Unmarshal(a.body, &a.fields) != nil {
		a.fields = nil
	}
	return a, nil
}

var errTimeout = errors.New("no answer in time")

// request builds the HTTP request. The parameters of DELETE go in the query, since pveproxy refuses a body
// there; every value is percent-encoded in full, since it splits forms at ";" as well as at "&" and cuts a
// value at the next raw "=" (pve-http-server AnyEvent.pm, decode_urlencoded).
func (t *Transport) request(ctx context.Context, r proxmox.Request) (*http.Request, error) {
	form := encodeForm(r.Params)
	target := t.base.String() + r.Path
	var body io.Reader
	if r.Method == "POST" || r.Method == "PUT" {
		body = strings.NewReader(form)
	} else if form != "" {
		target += "?" + form
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, err
	}
	if req.ContentLength > 0 {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("User-Agent", "tend")
	return req, nil
}

// encodeForm writes a blank as %20: "+" stands for itself in paths, and one spelling is enough.
func encodeForm(v url.Values) string { return strings.ReplaceAll(v.Encode(), "+", "%20") }

// broken makes an error of a request that was not answered. net/http itself sends a POST, PUT or DELETE again
// only if not a single byte of it was written (net/http transport.go, shouldRetryRequest), so that after its
// error a mutation was sent once or, before there was a connection, not at all.
func (t *Transport) broken(ctx, limited context.Context, r proxmox.Request, connected bool, err error) error {
	if ctx.Err() != nil && (r.IsRead() || !connected) {
		return fmt.Errorf("%s: %w", r, context.Cause(ctx))
	}
	if limited.Err() != nil {
		err = context.Cause(limited)
	}
	if certErr := t.certError(err); certErr != nil {
		return certErr
	}
	class := proxmox.ErrUnreachable
	if connected && !r.IsRead() {
		class = proxmox.ErrOutcomeUnknown
	}
	return &brokenError{request: r.String(), endpoint: t.Endpoint(), class: class, err: err}
}

// A brokenError is a request without an answer.
type brokenError struct {
	request, endpoint string
	class, err        error
}

func (e *brokenError) Error() string {
	if e.class == proxmox.ErrOutcomeUnknown {
		return fmt.Sprintf("%s: the connection to %s broke, and whether it was carried out is unknown: %v", e.request, e.endpoint, e.err)
	}
	return fmt.Sprintf("%s: %s is unreachable: %v", e.request, e.endpoint, e.err)
}

func (e *brokenError) Unwrap() []error { return []error{e.class, e.err} }

// An AnswerError is an answer that no Proxmox API gives: there is something else at the endpoint, or in
// between. Where it answers a mutation, it matches [proxmox.ErrOutcomeUnknown].
type AnswerError struct {
	Request  string // "GET /version"
	Endpoint string
	Status   int
	Problem  string // "the answer is a page of HTML"

	class error
}

// Error says what came in place of an answer, and from where.
func (e *AnswerError) Error() string {
	return fmt.Sprintf("%s: %s does not answer as Proxmox VE does: %s (status %d)", e.Request, e.Endpoint, e.Problem, e.Status)
}

// Unwrap returns proxmox.ErrOutcomeUnknown or nil.
func (e *AnswerError) Unwrap() error { return e.class }

// err is nil for an answer that holds data.
func (a answer) err(r proxmox.Request, endpoint string) error {
	problem := a.problem()
	if problem == "" && a.status == 200 {
		return nil
	}
	if problem == "" || a.isHop() {
		return proxmox.NewAPIError(r, a.status, a.reason, a.body)
	}
	e := &AnswerError{Request: r.String(), Endpoint: endpoint, Status: a.status, Problem: problem}
	if !r.IsRead() && (a.status < 300 || a.status >= 500) {
		e.class = proxmox.ErrOutcomeUnknown
	}
	return e
}

// isHop reports whether the status is that of a proxy whose next hop failed, or of a login page; such come
// with a page of HTML, or with nothing.
func (a answer) isHop() bool { return a.status == 401 || a.status >= 502 }

// problem says why the answer is none of Proxmox's, if so.
func (a answer) problem() string {
	trimmed := bytes.TrimSpace(a.body)
	switch {
	case a.status >= 300 && a.status < 400:
		return fmt.Sprintf("it redirects to %q; give the address of the API itself", withoutQuery(a.location))
	case len(a.body) > maxBody:
		return fmt.Sprintf("the answer is larger than %d MiB", maxBody>>20)
	case len(trimmed) == 0 && a.status == 200:
		return "the answer is empty"
	case len(trimmed) == 0:
		return "" // as Proxmox answers 401, and 400 to a malformed header
	case a.fields != nil:
		if a.status == 200 && a.data() == nil {
			return `the answer has no "data"`
		}
		return ""
	case trimmed[0] == '<':
		return "the answer is a page of HTML"
	case trimmed[0] == '{':
		return "the answer is cut off, or no JSON"
	}
	return fmt.Sprintf("the answer is no JSON but %q", a.kind)
}

// withoutQuery drops what may be secret in a URL.
func withoutQuery(s string) string {
	s, _, _ = strings.Cut(s, "?")
	return s
}
