package git

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"

	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git/repo"
)

// classify is the one place that tells by an error what kind of trouble it is. Errors that say so themselves stay as
// they are.
func classify(err error) *source.Error {
	if e, ok := errors.AsType[*source.Error](err); ok {
		return e
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the request's URL, which ends in what nobody has written
	}
	e := &source.Error{Class: source.Damaged, Err: err}
	if cert, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		e.Class = source.Untrusted
		e.Hint = "name the authority that signed it as CA file, once it is known to be the right one"
		if len(cert.UnverifiedCertificates) > 0 {
			e.Key = certificatePrint(cert.UnverifiedCertificates[0])
			e.Err = fmt.Errorf("the certificate with SHA-256 fingerprint %s is not trusted: %w", e.Key, cert.Err)
		}
		return e
	}
	switch {
	case isNetwork(err):
		e.Class = source.Unreachable
	case errors.Is(err, repo.ErrTooLarge):
		e.Class = source.TooLarge
		e.Hint = "keep what is no spec out of the repository, or raise the limit"
	case errors.Is(err, repo.ErrNoPath):
		e.Class = source.NotFound
	case errors.Is(err, plumbing.ErrObjectNotFound):
		e.Err = fmt.Errorf("the repository is not whole: %w", err)
	}
	return e
}

func certificatePrint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// isNetwork reports whether a connection is to blame: nobody answers, or it ends too early.
func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*ssh.ExitMissingError](err); ok {
		return true
	}
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, context.DeadlineExceeded, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
