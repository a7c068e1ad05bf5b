package sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"time"
)

// certLife is how long the certificate is good, about what a node's own is.
const certLife = 2 * 365 * 24 * time.Hour

// certificate makes a self-signed certificate for the address and for the nodes, and gives its fingerprint.
func (s *Sim) certificate(addr net.Addr) (tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, "", err
	}
	now := time.Now()
	tpl := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "simulated", Organization: []string{"PVE Cluster Node"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certLife), BasicConstraintsValid: true, IsCA: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsUnspecified() {
		tpl.IPAddresses = append(tpl.IPAddresses, tcp.IP)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, n := range s.st.Nodes {
		tpl.DNSNames = append(tpl.DNSNames, name)
		if ip := net.ParseIP(n.IP); ip != nil {
			tpl.IPAddresses = append(tpl.IPAddresses, ip)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	sum := sha256.Sum256(der)
	s.fingerprint = colons(sum[:])
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, s.fingerprint, nil
}

func colons(b []byte) string {
	parts := make([]string, len(b))
	for i, c := range b {
		parts[i] = fmt.Sprintf("%02X", c)
	}
	return strings.Join(parts, ":")
}

// fingerprintText is what GET /nodes says of the certificate.
func (s *Sim) fingerprintText() string {
	if s.fingerprint == "" {
		return colons(make([]byte, sha256.Size))
	}
	return s.fingerprint
}

// quietLog takes what net/http says of clients that break off.
func quietLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
