// Package rest carries requests to the API of Proxmox VE over HTTPS.
//
// It authenticates with an API token, or with a ticket for a user and password, and trusts the node's
// certificate by the system's authorities, a file of authorities or the fingerprint of the certificate. Reads
// are repeated when the node cannot be reached; a mutation is never sent twice. It decides nothing by the
// texts of answers (that is proxmox.NewAPIError's), and it never puts a secret into an error or a log.
package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// Options say where the API is, who asks and whom to trust. Endpoint, and either Token or User and Password,
// must be given.
type Options struct {
	// Endpoint is a host name, a host and port, or a URL: "pve1", "pve1:8006", "https://pve1:8006". The port
	// is 8006 unless it says otherwise. It is reached through the proxy of the environment (HTTPS_PROXY), if any.
	Endpoint string

	// Token is an API token, "user@realm!id=secret".
	Token proxmox.Secret
	// User ("root@pam") and Password obtain a ticket, for what tokens may not do.
	User     string
	Password proxmox.Secret

	// Fingerprint is the SHA-256 of the node's certificate in hexadecimal digits, with colons or without.
	// No other certificate is accepted then, and this one is even where it has expired.
	Fingerprint string
	// CAFile holds the certificates of the authorities to trust, in PEM; the system's where empty.
	CAFile string
	// Insecure accepts any certificate, so that anyone in between can read the token.
	Insecure bool

	// MaxInFlight is how many requests may be under way at once: 8 where 0.
	MaxInFlight int
	// Timeout is how long one request may take: 60 s where 0. Proxmox itself gives up after 30 s.
	Timeout time.Duration
	// Retries is how often a read is repeated when the node cannot be reached: 4 where 0, never where
	// negative.
	Retries int

	// Logger takes a line for each request, at level debug, and warnings. Nothing is logged where it is nil.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = 8
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	if o.Retries == 0 {
		o.Retries = 4
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// A Transport is a [proxmox.Transport] over HTTPS. It keeps connections open between requests.
type Transport struct {
	opts Options
	base *url.URL // of the API, up to and including /api2/json
	// pool returns the connections. It is a function so that printing a Transport does not walk through what its
	// connections are changing.
	pool  func() *http.Transport
	auth  authenticator
	slots chan struct{} // holds an element for each request under way
}

var _ proxmox.Transport = (*Transport)(nil)

var tokenForm = regexp.MustCompile(`^[^\s@!=]+@[^\s@!=]+![^\s!=]+=\S+$`)

// New makes a transport. It checks the options and sends nothing yet.
func New(o Options) (*Transport, error) {
	o = o.withDefaults()
	base, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := tlsConfig(o, base.Host)
	if err != nil {
		return nil, err
	}
	t := &Transport{opts: o, base: base, slots: make(chan struct{}, o.MaxInFlight)}
	switch {
	case !o.Token.IsZero() && o.User != "":
		return nil, errors.New("both a token and a user are given: leave one out")
	case !o.Token.IsZero() && !tokenForm.MatchString(o.Token.Reveal()):
		return nil, badToken(o.Token)
	case !o.Token.IsZero():
		t.auth = tokenAuth{o.Token}
	case o.User != "":
		t.auth = &ticketAuth{t: t, user: o.User, password: o.Password}
	default:
		return nil, errors.New("no API token is given")
	}
	pool := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		TLSNextProto:        noHTTP2,
		MaxIdleConns:        o.MaxInFlight,
		MaxIdleConnsPerHost: o.MaxInFlight,
		IdleConnTimeout:     idleTimeout,
	}
	t.pool = func() *http.Transport { return pool }
	return t, nil
}

// badToken says what is wrong with a token without telling it.
func badToken(token proxmox.Secret) error {
	if strings.HasPrefix(token.Reveal(), tokenScheme) {
		return errors.New("the API token begins with " + tokenScheme + ", which is how requests carry it: leave that out and write user@realm!id=secret alone")
	}
	return errors.New("the API token is not of the form user@realm!id=secret")
}

// noHTTP2 keeps net/http from offering HTTP/2, which pveproxy does not speak, but a proxy before it may; a
// request over HTTP/2 may be sent again by net/http itself.
var noHTTP2 = httpProtocols{}

// idleTimeout ends a kept connection before pveproxy does, after 5 s (pve-http-server AnyEvent.pm, new), since
// a mutation that meets the closing of its connection has an unknown outcome.
const idleTimeout = 4 * time.Second

// Close closes kept connections. Requests under way go on.
func (t *Transport) Close() { t.pool().CloseIdleConnections() }

// Endpoint is the URL of the node, without a path where it has none of its own.
func (t *Transport) Endpoint() string { return strings.TrimSuffix(t.base.String(), apiPath) }

// Do sends a request and returns the data of its answer. See [proxmox.Transport] for its errors; beside those
// it returns [*TLSError] where the certificate is not trusted, and [*AnswerError] where the answer is none of
// Proxmox's API.
func (t *Transport) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	for attempt := 0; ; attempt++ {
		data, err := t.once(ctx, r)
		if err == nil || !r.IsRead() || attempt >= t.opts.Retries || !worthRetry(err) {
			return data, err
		}
		if pause(ctx, backoff(attempt)) != nil {
			return nil, err
		}
	}
}

// worthRetry reports whether a read may succeed later. A name that does not exist will not.
func worthRetry(err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return false
	}
	return errors.Is(err, proxmox.ErrUnreachable)
}

// The bounds of the time between the attempts of a read.
const (
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 3 * time.Second
)

// backoff draws from the whole range ("full jitter"), so that clients which a node has lost together do not
// come back together.
func backoff(attempt int) time.Duration {
	top := maxBackoff
	if attempt < 4 {
		top = min(top, firstBackoff<<attempt)
	}
	return rand.N(top) + time.Millisecond
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const (
	apiPath     = "/api2/json"
	defaultPort = "8006"
)

// parseEndpoint makes the URL of the API out of a host, a host and port, or a URL.
func parseEndpoint(s string) (*url.URL, error) {
	text := strings.TrimSpace(s)
	if text == "" {
		return nil, errors.New("no endpoint is given")
	}
	if net.ParseIP(text) != nil && strings.Contains(text, ":") {
		text = "[" + text + "]"
	}
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("endpoint %q is not a host or URL", s)
	case u.Scheme != "https":
		return nil, fmt.Errorf("endpoint %q: Proxmox speaks https only", s)
	case u.Hostname() == "" || strings.ContainsAny(u.Host, " \t"):
		return nil, fmt.Errorf("endpoint %q names no host", s)
	case u.User != nil: // not shown: it may be a password
		return nil, errors.New("the endpoint holds a user: give token, or user and password, by themselves")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("endpoint %q: leave out what follows the path", s)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), defaultPort)
	}
	path := strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(u.Path, "/"), apiPath), "/")
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: path + apiPath}, nil
}
