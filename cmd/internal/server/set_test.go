package server_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/felhom/tend/cmd/internal/server"
	"github.com/felhom/tend/proxmox"
)

// TestSet exchanges who may do what on a connection that stays: the token, names, webhooks, TLS.
func TestSet(t *testing.T) {
	o := options(t, well())
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := s.Handler(false, false)
	asks := func(want int, path string, headers ...header) {
		t.Helper()
		method := http.MethodGet
		if path == "/hooks/" {
			method = http.MethodPost
		}
		if got := send(h, method, path, "", headers...); got.Code != want {
			t.Errorf("%s: %d, want %d: %s", path, got.Code, want, got.Body)
		}
	}
	login := send(h, http.MethodPost, "/login", "token="+token)
	session := header{"Cookie", login.Result().Cookies()[0].String()}
	asks(200, "/", session)
	asks(404, "/hooks/", bearer)
	asks(421, "/", bearer, header{"Host", "tend.home"})

	a := o.Access
	a.Hosts = []string{"tend.home"}
	a.Hooks = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
	s.Set(a)
	asks(202, "/hooks/")
	asks(200, "/", bearer, header{"Host", "tend.home"})
	asks(200, "/", session) // the token is the same: nobody need log in again

	a.Token = proxmox.NewSecret("another-token-of-some-length")
	s.Set(a)
	asks(401, "/", session)
	asks(401, "/", bearer)
	asks(200, "/", header{"Authorization", "Bearer another-token-of-some-length"})

	dir := t.TempDir()
	a.Cert = filepath.Join(dir, "cert.pem")
	if a.May(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}) == nil {
		t.Error("a certificate without a key is good")
	}
	a.Key = filepath.Join(dir, "key.pem")
	if a.May(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}) == nil {
		t.Error("a certificate that is not there is good")
	}
}

// TestSetServed turns TLS on and off at one address, and ends streams with the token that let them in, or with the
// listener that they came by, and no others.
func TestSetServed(t *testing.T) {
	o := options(t, well())
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	open := func() (address string, end func()) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(ctx, l) }()
		end = func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			ended <- nil
		}
		t.Cleanup(end)
		return l.Addr().String(), end
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	stream := func(url string) *http.Response {
		t.Helper()
		res, err := client.Get(url + "/events")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}
	first, endFirst := open()
	second, _ := open()
	one, two := stream("http://"+first), stream("http://"+second)
	endFirst()
	if _, err := io.ReadAll(one.Body); err != nil {
		t.Errorf("the stream of a listener that ended: %v", err)
	}
	if _, err := two.Body.Read(make([]byte, 1)); err != nil {
		t.Errorf("the stream of the other: %v", err)
	}

	a := o.Access
	dir := t.TempDir()
	a.Cert, a.Key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, a, 1)
	s.Set(a)
	secure := stream("https://" + second)
	a.Token = proxmox.NewSecret("another-token-of-some-length")
	s.Set(a)
	for _, r := range []*http.Response{two, secure} {
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Errorf("a stream after another token: %v", err)
		}
	}
	a.Cert, a.Key = "", ""
	s.Set(a)
	if res := stream("http://" + second); res.StatusCode != 200 {
		t.Errorf("without TLS again: %d", res.StatusCode)
	}
}
