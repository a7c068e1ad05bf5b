package conformance

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// A Credential is an API token, or a user and password.
type Credential struct {
	Token    string `json:"token"` // "user@realm!id=secret"
	User     string `json:"user"`
	Password string `json:"password"`
}

// HTTPS is an [Endpoint] at a URL. It trusts any certificate and so is for throw-away credentials. It is safe
// for use by many goroutines.
type HTTPS struct {
	url  string
	auth map[string]Credential
	http *http.Transport

	mu      sync.Mutex
	tickets map[string]ticket
}

type ticket struct{ ticket, csrf string }

// NewHTTPS makes an endpoint of a URL and the credentials that scenarios name.
func NewHTTPS(url string, auth map[string]Credential) *HTTPS {
	return &HTTPS{
		url: strings.TrimRight(url, "/"), auth: auth, tickets: map[string]ticket{},
		http: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}},
	}
}

// Close closes kept connections.
func (e *HTTPS) Close() { e.http.CloseIdleConnections() }

// Do sends a call. It never sends it twice, follows no redirect and keeps the reason phrase.
func (e *HTTPS) Do(ctx context.Context, c Call) (Answer, error) {
	target, body := e.url+"/api2/json"+c.Path, ""
	if form := c.Form.Encode(); form != "" {
		if c.Method == "GET" || c.Method == "DELETE" {
			target += "?" + form
		} else {
			body = form
		}
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, target, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if err := e.sign(ctx, req, c.Auth); err != nil {
		return Answer{}, err
	}
	resp, err := e.http.RoundTrip(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{}, err
	}
	_, reason, _ := strings.Cut(resp.Status, " ")
	return Answer{Status: resp.StatusCode, Reason: reason, Body: ParseBody(b)}, nil
}

func (e *HTTPS) sign(ctx context.Context, req *http.Request, name string) error {
	if name == "none" {
		return nil
	}
	cred, ok := e.auth[name]
	switch {
	case !ok:
		return fmt.Errorf("no credential is named %q", name)
	case cred.Token != "":
		req.Header.Set("Authorization", "PVEAPIToken="+cred.Token)
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t, ok := e.tickets[name]
	if !ok {
		var err error
		if t, err = e.login(ctx, cred); err != nil {
			return fmt.Errorf("log in as %s: %w", cred.User, err)
		}
		e.tickets[name] = t
	}
	req.Header.Set("Cookie", "PVEAuthCookie="+escape(t.ticket))
	if req.Method != "GET" {
		req.Header.Set("CSRFPreventionToken", t.csrf)
	}
	return nil
}

func (e *HTTPS) login(ctx context.Context, cred Credential) (ticket, error) {
	a, err := e.Do(ctx, Call{
		Method: "POST", Path: "/access/ticket", Auth: "none",
		Form: url.Values{"username": {cred.User}, "password": {cred.Password}},
	})
	if err != nil {
		return ticket{}, err
	}
	t, _ := dig(a.Body, "data.ticket").(string)
	csrf, _ := dig(a.Body, "data.CSRFPreventionToken").(string)
	if t == "" {
		return ticket{}, errors.New("no ticket: " + a.Reason)
	}
	return ticket{t, csrf}, nil
}

// ParseCredentials reads a file of credentials by name; an entry "host" holds no credential.
func ParseCredentials(b []byte) (map[string]Credential, error) {
	auth := map[string]Credential{}
	if err := json.Unmarshal(b, &auth); err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	delete(auth, "host")
	return auth, nil
}
