package git

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/felhom/tend/reconcile/source"
)

// maxRefs is how many bytes the list of refs may have.
const maxRefs = 16 << 20

// An httpWire is a smart server of git (gitprotocol-http).
type httpWire struct {
	client *http.Client
	url    string
	auth   Auth
	max    int64
}

func newHTTP(a address, o Options) *httpWire {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: o.CAs, MinVersion: tls.VersionTLS12}
	return &httpWire{
		client: &http.Client{Transport: t, CheckRedirect: sameOrigin},
		url:    strings.TrimSuffix(a.String(), "/"),
		auth:   o.Auth,
		max:    o.Limits.Pack,
	}
}

// sameOrigin follows a redirect on the same server alone: elsewhere neither credentials nor requests belong.
func sameOrigin(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		to := *next.URL
		to.User, to.RawQuery, to.Path = nil, "", strings.TrimSuffix(to.Path, "/info/refs")
		return &source.Error{Class: source.NotFound, Err: fmt.Errorf("it has moved to %s", to.String()), Hint: "if that is right, use this URL"}
	}
	if len(via) >= 5 {
		return errors.New("there are too many redirects")
	}
	return nil
}

func (w *httpWire) close() { w.client.CloseIdleConnections() }

func (w *httpWire) refs(ctx context.Context) (*packp.AdvRefs, error) {
	body, err := w.do(ctx, http.MethodGet, "/info/refs?service=git-upload-pack", nil, "application/x-git-upload-pack-advertisement", maxRefs)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	adv := packp.NewAdvRefs()
	return adv, adv.Decode(body)
}

func (w *httpWire) upload(ctx context.Context, request []byte) (io.ReadCloser, error) {
	return w.do(ctx, http.MethodPost, "/git-upload-pack", request, "application/x-git-upload-pack-result", w.max+maxRefs)
}

// do sends a request, and returns the body of an answer of the given type.
func (w *httpWire) do(ctx context.Context, method, path string, body []byte, accept string, limit int64) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "git/tend") // servers tell git from browsers by it
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
	}
	switch {
	case !w.auth.Bearer.IsZero():
		req.Header.Set("Authorization", "Bearer "+w.auth.Bearer.Reveal())
	case !w.auth.Password.IsZero():
		user := w.auth.User
		if user == "" {
			user = "git"
		}
		req.SetBasicAuth(user, w.auth.Password.Reveal())
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	if err := w.judge(res, accept); err != nil {
		_ = res.Body.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{bound(res.Body, limit), res.Body}, nil
}

// judge is what an answer says that is not the one asked for.
func (w *httpWire) judge(res *http.Response, want string) error {
	e := &source.Error{Err: fmt.Errorf("the server answers %s", res.Status)}
	anonymous := w.auth.Password.IsZero() && w.auth.Bearer.IsZero()
	switch code := res.StatusCode; {
	case code == http.StatusOK && strings.HasPrefix(res.Header.Get("Content-Type"), want):
		return nil
	case code == http.StatusOK:
		e.Class, e.Err = source.Damaged, errors.New("what answers is no git server, or one that speaks the dumb protocol alone")
		e.Hint = "check the URL"
	case code == http.StatusUnauthorized && anonymous:
		e.Class, e.Hint = source.Denied, "it wants a password or token, and there is none"
	case code == http.StatusUnauthorized:
		e.Class, e.Hint = source.Denied, "the password or token is wrong or expired"
	case code == http.StatusForbidden:
		e.Class, e.Hint = source.Denied, "the token may not read the repository"
	case code == http.StatusNotFound && anonymous:
		e.Class, e.Hint = source.NotFound, "check the URL; a private repository looks like this too, without a token"
	case code == http.StatusNotFound:
		e.Class, e.Hint = source.NotFound, "check the URL, and that the token may read this repository"
	default: // too many requests, or trouble of the server's own
		e.Class = source.Unreachable
	}
	return e
}
