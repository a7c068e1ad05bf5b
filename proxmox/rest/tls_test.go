package rest_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/rest"
)

func gzipped(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.Bytes()
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func withColons(s string) string {
	var parts []string
	for i := 0; i < len(s); i += 2 {
		parts = append(parts, strings.ToUpper(s[i:i+2]))
	}
	return strings.Join(parts, ":")
}

// serveCert runs a node with a certificate of its own that ends at a time and names a host.
func serveCert(t *testing.T, end time.Time, host string) *httptest.Server {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host},
		NotBefore: end.Add(-time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
	}
	if host != "" {
		template.IPAddresses, template.DNSNames = nil, []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(answer(200, `{"data":1}`))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestTrust(t *testing.T) {
	valid := serveCert(t, time.Now().Add(time.Hour), "")
	expired := serveCert(t, time.Now().Add(-time.Hour), "")
	other := serveCert(t, time.Now().Add(time.Hour), "pve2")
	tests := []struct {
		name   string
		server *httptest.Server
		opts   func(s *httptest.Server) rest.Options
		want   string // in the error; none where empty
	}{
		{"pin", valid, func(s *httptest.Server) rest.Options { return rest.Options{Fingerprint: fp(s)} }, ""},
		{"pin with colons", valid, func(s *httptest.Server) rest.Options { return rest.Options{Fingerprint: withColons(fp(s))} }, ""},
		{"pin of an expired one", expired, func(s *httptest.Server) rest.Options { return rest.Options{Fingerprint: fp(s)} }, ""},
		{"wrong pin", valid, func(*httptest.Server) rest.Options { return rest.Options{Fingerprint: fp(other)} }, "is not the pinned one (" + withColons(fp(other)) + ")"},
		{"wrong pin, insecure", valid, func(*httptest.Server) rest.Options { return rest.Options{Fingerprint: fp(other), Insecure: true} }, "is not the pinned one"},
		{"unknown authority", valid, func(*httptest.Server) rest.Options { return rest.Options{} }, "unknown authority"},
		{"authority", valid, func(s *httptest.Server) rest.Options { return rest.Options{CAFile: caFile(t, s)} }, ""},
		{"another authority", valid, func(*httptest.Server) rest.Options { return rest.Options{CAFile: caFile(t, other)} }, "unknown authority"},
		{"expired", expired, func(s *httptest.Server) rest.Options { return rest.Options{CAFile: caFile(t, s)} }, "expired"},
		{"another host", other, func(s *httptest.Server) rest.Options { return rest.Options{CAFile: caFile(t, s)} }, "127.0.0.1"},
		{"insecure", expired, func(*httptest.Server) rest.Options { return rest.Options{Insecure: true} }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.opts(tt.server)
			o.Endpoint, o.Token = tt.server.URL, proxmox.NewSecret(token)
			tr, err := rest.New(o)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			_, err = tr.Do(t.Context(), proxmox.Request{Method: "PUT", Path: "/x"})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var bad *rest.TLSError
			if !errors.As(err, &bad) || errors.Is(err, proxmox.ErrUnreachable) {
				t.Fatalf("error is %v", err)
			}
			shown := withColons(fp(tt.server))
			if bad.Presented != shown || !strings.Contains(err.Error(), tt.want) || !strings.HasSuffix(err.Error(), "fingerprint is "+shown) {
				t.Errorf("error is %v", err)
			}
			if pinned := bad.Pinned != ""; pinned != errors.Is(err, rest.ErrWrongPin) {
				t.Errorf("error is %v, and that of a wrong pin: %v", err, !pinned)
			}
		})
	}
}

func fp(s *httptest.Server) string { return fingerprint(s.TLS.Certificates[0].Certificate[0]) }

func caFile(t *testing.T, s *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: s.TLS.Certificates[0].Certificate[0]}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestInsecureWarns(t *testing.T) {
	var log bytes.Buffer
	_, err := rest.New(rest.Options{Endpoint: "pve1", Token: proxmox.NewSecret(token), Insecure: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("logged %q, %v", &log, err)
	}
}
