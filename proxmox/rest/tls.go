package rest

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// A TLSError is a certificate that is not trusted. Nothing was sent.
type TLSError struct {
	Host      string // host and port
	Presented string // SHA-256 fingerprint of the certificate that was presented, with colons
	Pinned    string // the fingerprint that was wanted, if one was
	Err       error  // ErrWrongPin, or why the certificate is not trusted (crypto/x509)
}

// ErrWrongPin is the reason of a [*TLSError] where a fingerprint was wanted and another one was presented.
var ErrWrongPin = errors.New("certificate is not the pinned one")

// Error says why, and shows the fingerprint that was presented. Where the node itself shows the same (pvenode cert
// info), it is what to put into [Options.Fingerprint].
func (e *TLSError) Error() string {
	why := "is not the pinned one (" + e.Pinned + ")"
	if e.Pinned == "" {
		why = fmt.Sprintf("is not trusted (%v)", e.Err)
	}
	return fmt.Sprintf("the certificate of %s %s: its SHA-256 fingerprint is %s", e.Host, why, e.Presented)
}

// Unwrap returns the reason.
func (e *TLSError) Unwrap() error { return e.Err }

func tlsConfig(o Options, host string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case o.Fingerprint != "":
		pin, err := parseFingerprint(o.Fingerprint)
		if err != nil {
			return nil, err
		}
		// the pin takes the place of the chain of authorities; a handshake proves the key all the same
		cfg.InsecureSkipVerify = true
		cfg.VerifyConnection = func(s tls.ConnectionState) error {
			leaf := s.PeerCertificates[0]
			if sha256.Sum256(leaf.Raw) != pin {
				return &TLSError{Host: host, Presented: fingerprint(leaf), Pinned: formatFingerprint(pin[:]), Err: ErrWrongPin}
			}
			return nil
		}
	case o.Insecure:
		o.Logger.WarnContext(context.Background(), "certificate is not checked: the token can be read by anyone in between", "endpoint", host)
		cfg.InsecureSkipVerify = true
	case o.CAFile != "":
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read certificate authorities: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read certificate authorities: %s holds no certificate in PEM", o.CAFile)
		}
	}
	return cfg, nil
}

// certError finds the reason in a failed handshake, if it is the certificate.
func (t *Transport) certError(err error) error {
	var pinned *TLSError
	if errors.As(err, &pinned) {
		return pinned
	}
	var bad *tls.CertificateVerificationError
	if errors.As(err, &bad) && len(bad.UnverifiedCertificates) > 0 {
		return &TLSError{Host: t.base.Host, Presented: fingerprint(bad.UnverifiedCertificates[0]), Err: bad.Err}
	}
	return nil
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return formatFingerprint(sum[:])
}

func formatFingerprint(b []byte) string {
	parts := make([]string, len(b))
	for i := range b {
		parts[i] = strings.ToUpper(hex.EncodeToString(b[i : i+1]))
	}
	return strings.Join(parts, ":")
}

func parseFingerprint(s string) (sum [sha256.Size]byte, err error) {
	b, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(strings.TrimSpace(s)))
	if err != nil || len(b) != len(sum) {
		return sum, fmt.Errorf("fingerprint %q is not a SHA-256: 64 hexadecimal digits, with colons or without", s)
	}
	return [sha256.Size]byte(b), nil
}
