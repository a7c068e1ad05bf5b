package forge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox/secret"
)

// A site is a repository at a forge.
type site struct {
	forge      string
	api        string // without a slash at the end
	repository string // "owner/name"; of GitLab, any number of groups before the name
}

// newSite finds where statuses of a repository go.
func newSite(c config.CommitStatus, repository string) (site, error) {
	s := site{c.Forge, strings.TrimRight(c.API, "/"), strings.Trim(c.Repository, "/")}
	if s.api == "" || s.repository == "" {
		e, err := transport.NewEndpoint(repository)
		if err != nil || e.Host == "" {
			return s, errors.New("the address of the repository names no forge: write api: and repository: OWNER/NAME, too")
		}
		s.api = cmp.Or(s.api, apiOf(c.Forge, e))
		s.repository = cmp.Or(s.repository, strings.Trim(strings.TrimSuffix(strings.TrimRight(e.Path, "/"), ".git"), "/"))
	}
	if err := outward.CheckURL(s.api); err != nil {
		return s, fmt.Errorf("api: %w", err)
	}
	if u, _ := url.Parse(s.api); u.Scheme == "http" && !net.ParseIP(u.Hostname()).IsLoopback() && u.Hostname() != "localhost" {
		return s, errors.New("http:// would send the token for everyone to read: write api: https://… where the forge has it")
	}
	if n := strings.Count(s.repository, "/"); n < 1 || n > 1 && s.forge != "gitlab" {
		return s, fmt.Errorf("repository: %q is not OWNER/NAME; write api: and repository:, too, where the forge is below a path of its server", s.repository)
	}
	return s, nil
}

// apiOf is where a forge has its interface. The port of https is that of the interface, too; that of ssh is not.
func apiOf(forge string, e *transport.Endpoint) string {
	scheme, host := "https", e.Host
	if e.Protocol == "http" || e.Protocol == "https" {
		scheme = e.Protocol
		if e.Port != 0 {
			host = fmt.Sprintf("%s:%d", e.Host, e.Port)
		}
	}
	switch {
	case forge == "github" && host == "github.com":
		return "https://api.github.com"
	case forge == "github":
		return scheme + "://" + host + "/api/v3"
	case forge == "gitlab":
		return scheme + "://" + host + "/api/v4"
	}
	return scheme + "://" + host + "/api/v1"
}

// A body is what is posted. GitLab has the same words but for the name, and for a failure.
type body struct {
	State       State  `json:"state"`
	Context     string `json:"context,omitempty"`
	Name        string `json:"name,omitempty"`
	Description string `json:"description"`
	TargetURL   string `json:"target_url,omitempty"`
}

// post sends a status.
//
// GitHub: https://docs.github.com/rest/commits/statuses, Gitea and Forgejo: repoCreateStatus of their API, GitLab:
// https://docs.gitlab.com/api/commits/#set-commit-pipeline-status.
func (p *Poster) post(ctx context.Context, s Status) error {
	b := body{State: s.State, Context: p.name(), Description: s.Summary, TargetURL: p.target}
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	place := "/repos/" + escape(p.site.repository) + "/statuses/" + url.PathEscape(s.Commit)
	switch p.site.forge {
	case "github":
		h.Set("Accept", "application/vnd.github+json")
		h.Set("X-GitHub-Api-Version", "2022-11-28")
		h.Set("Authorization", "Bearer "+p.token.Reveal())
	case "gitlab":
		h.Set("Private-Token", p.token.Reveal())
		place = "/projects/" + url.PathEscape(p.site.repository) + "/statuses/" + url.PathEscape(s.Commit)
		b.Context, b.Name = "", b.Context
		if s.State == Failure {
			b.State = "failed"
		}
	default:
		h.Set("Authorization", "token "+p.token.Reveal())
	}
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	err = outward.Send(ctx, p.client, outward.Request{Method: http.MethodPost, URL: secret.New(p.site.api + place), Header: h, Body: text})
	if p.site.forge == "gitlab" && stands(err) {
		return nil
	}
	return err
}

// stands reports whether GitLab refuses a status because it is the one that it has: it counts pending after pending as a
// step that its machine of states does not know.
func stands(err error) bool {
	e, ok := errors.AsType[*outward.StatusError](err)
	return ok && e.Code == http.StatusBadRequest && bytes.Contains(e.Body, []byte("Cannot transition status"))
}

func escape(repository string) string {
	owner, name, _ := strings.Cut(repository, "/")
	return url.PathEscape(owner) + "/" + url.PathEscape(name)
}

// name is under what a status stands.
func (p *Poster) name() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.context != "":
		return p.context
	case p.cluster != "":
		return "tend/" + p.cluster
	}
	return "tend"
}

// explain is an error with what the forge says of it, and what to do. The token is not in it.
func (p *Poster) explain(err error) string {
	text := err.Error()
	e, ok := errors.AsType[*outward.StatusError](err)
	if !ok {
		return strings.ReplaceAll(text, p.token.Reveal(), secret.Mask)
	}
	var answer struct {
		Message json.RawMessage `json:"message"` // of GitLab sometimes not a text
	}
	if json.Unmarshal(e.Body, &answer) == nil && len(answer.Message) > 0 {
		text += ": " + strings.Trim(string(answer.Message), `"`)
	}
	switch e.Code {
	case http.StatusUnauthorized:
		text += "; the token is not known to " + p.site.api
	case http.StatusForbidden, http.StatusNotFound:
		text += "; the token may not set statuses of " + p.site.repository + ", or there is no such repository or commit"
	}
	return outward.Brief(strings.ReplaceAll(text, p.token.Reveal(), secret.Mask), 300)
}
