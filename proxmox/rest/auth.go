package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/felhom/tend/proxmox"
)

// An authenticator puts credentials on a request.
type authenticator interface {
	sign(ctx context.Context, req *http.Request) error
}

// tokenAuth is an API token. It needs no CSRF token.
type tokenAuth struct{ token proxmox.Secret }

// tokenScheme stands before a token in the header of a request.
const tokenScheme = "PVEAPIToken="

func (a tokenAuth) sign(_ context.Context, req *http.Request) error {
	req.Header.Set("Authorization", tokenScheme+a.token.Reveal())
	return nil
}

// noAuth signs nothing, for the request that obtains a ticket.
type noAuth struct{}

func (noAuth) sign(context.Context, *http.Request) error { return nil }

// ticketLife is how long a ticket is used. Proxmox takes it for two hours.
const ticketLife = time.Hour

// ticketAuth is a user and password; it obtains a ticket at the first request and a new one in time.
type ticketAuth struct {
	t        *Transport
	user     string
	password proxmox.Secret

	mu      sync.Mutex
	ticket  proxmox.Secret
	csrf    proxmox.Secret
	expires time.Time
}

func (a *ticketAuth) sign(ctx context.Context, req *http.Request) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().After(a.expires) {
		if err := a.login(ctx); err != nil {
			return fmt.Errorf("log in as %s: %w", a.user, err)
		}
	}
	// a cookie as net/http writes it would lack the escapes that pveproxy undoes
	req.Header.Set("Cookie", "PVEAuthCookie="+strings.ReplaceAll(url.QueryEscape(a.ticket.Reveal()), "+", "%20"))
	if req.Method != "GET" {
		req.Header.Set("CSRFPreventionToken", a.csrf.Reveal())
	}
	return nil
}

// login obtains a ticket. It changes nothing on the node, so that a broken login is unreachable at worst.
func (a *ticketAuth) login(ctx context.Context) error {
	r := proxmox.Request{Method: "POST", Path: "/access/ticket", Params: url.Values{
		"username": {a.user}, "password": {a.password.Reveal()},
	}}
	answer, err := a.t.send(ctx, r, noAuth{})
	if err == nil {
		err = answer.err(r, a.t.Endpoint())
	}
	if errors.Is(err, proxmox.ErrOutcomeUnknown) {
		return fmt.Errorf("%w: %s", proxmox.ErrUnreachable, r)
	}
	if err != nil {
		return err
	}
	var data struct {
		Ticket  string `json:"ticket"`
		CSRF    string `json:"CSRFPreventionToken"`
		NeedTFA any    `json:"NeedTFA"`
	}
	if err := json.Unmarshal(answer.data(), &data); err != nil || data.Ticket == "" {
		return errors.New("the answer holds no ticket")
	}
	if data.NeedTFA != nil {
		return fmt.Errorf("%w: this user needs a second factor; use an API token", proxmox.ErrUnauthorized)
	}
	a.ticket, a.csrf = proxmox.NewSecret(data.Ticket), proxmox.NewSecret(data.CSRF)
	a.expires = time.Now().Add(ticketLife)
	return nil
}
