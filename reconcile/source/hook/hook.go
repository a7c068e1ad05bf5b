// Package hook reads what forges (GitHub, Gitea, Forgejo, GitLab) send when somebody pushes. A message says where to look
// and never what is there: whoever forges one, which the secret prevents, causes a look and nothing else.
package hook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/felhom/tend/proxmox/secret"
)

// What can be wrong with a message.
var (
	ErrMethod    = errors.New("send it by POST")
	ErrTooLarge  = errors.New("the message is too large")
	ErrNoSecret  = errors.New("there is no secret, so that nobody can be believed: set one here and at the forge")
	ErrUnsigned  = errors.New("the message is not signed: set the secret at the forge")
	ErrSignature = errors.New("the signature or token is wrong: the secret here and at the forge must be the same")
	ErrMalformed = errors.New("the message cannot be read")
	ErrReplayed  = errors.New("the message was here before")
)

// Status is the HTTP status to answer with: 200 for a message that was here before, for which there is nothing to do.
func Status(err error) int {
	for _, s := range []struct {
		err    error
		status int
	}{
		{ErrMethod, http.StatusMethodNotAllowed},
		{ErrTooLarge, http.StatusRequestEntityTooLarge},
		{ErrNoSecret, http.StatusForbidden},
		{ErrUnsigned, http.StatusUnauthorized},
		{ErrSignature, http.StatusUnauthorized},
		{ErrMalformed, http.StatusBadRequest},
		{ErrReplayed, http.StatusOK},
	} {
		if errors.Is(err, s.err) {
			return s.status
		}
	}
	if err != nil {
		return http.StatusBadRequest
	}
	return http.StatusAccepted
}

// A Forge is what sent a message.
type Forge int

// The forges. Gitea is Forgejo and Gogs too.
const (
	GitHub Forge = iota
	Gitea
	GitLab
)

// String is the forge's name.
func (f Forge) String() string {
	return map[Forge]string{GitHub: "GitHub", Gitea: "Gitea", GitLab: "GitLab"}[f]
}

// An Event is what happened.
type Event struct {
	Forge    Forge
	Name     string   // as the forge calls it: "push", "ping", "Tag Push Hook"
	Delivery string   // the forge's own identifier of the message, which is not signed; may be empty
	Paths    []string // of the repository, by its name and its addresses: "me/home"
	Ref      string   // "refs/heads/main", "refs/tags/v1"; empty where it is about none
	Before   string   // commits; zeros where there was or is none
	After    string
}

// Pushed reports whether a branch or tag was made, moved or removed.
func (e Event) Pushed() bool { return e.Ref != "" }

// Concerns reports whether an event is about the repository at an address. Names of servers are not compared: a forge
// often has other ones inside than outside, and one look too many does no harm.
func (e Event) Concerns(address string) bool {
	path := repositoryPath(address)
	for _, p := range e.Paths {
		if p != "" && (path == p || strings.HasSuffix(path, "/"+p) || strings.HasSuffix(p, "/"+path)) {
			return true
		}
	}
	return false
}

// repositoryPath is the path in a repository's address, as it is compared.
func repositoryPath(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		address = u.Path
	} else if _, path, ok := strings.Cut(address, ":"); ok {
		address = path
	}
	return strings.ToLower(strings.Trim(strings.TrimSuffix(strings.TrimRight(address, "/"), ".git"), "/"))
}

// MaxBody is how large a message may be, in bytes. Forges send the commits of a push with their files; GitHub sends no
// more than 25 MB, and what is larger than this is a push of thousands.
const MaxBody = 5 << 20

// remembered is how many messages are known again.
const remembered = 1024

// A Receiver takes messages that were sent with a secret, each once. It may be used by many goroutines.
type Receiver struct {
	secret secret.Text

	mu   sync.Mutex
	seen map[[sha256.Size]byte]bool
	ring [][sha256.Size]byte // in the order they came; the oldest is at next once it is full
	next int
}

// NewReceiver makes a receiver.
func NewReceiver(s secret.Text) *Receiver {
	return &Receiver{secret: s, seen: map[[sha256.Size]byte]bool{}}
}

// Receive reads a request, which must be closed by its owner. The error is one of those above.
func (r *Receiver) Receive(req *http.Request) (Event, error) {
	if req.Method != http.MethodPost {
		return Event{}, ErrMethod
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, MaxBody+1))
	switch {
	case err != nil:
		return Event{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	case len(body) > MaxBody:
		return Event{}, ErrTooLarge
	}
	e, err := Read(req.Header, body, r.secret)
	if err == nil && !r.first(sha256.Sum256(body)) {
		err = ErrReplayed
	}
	return e, err
}

// first reports whether a message is new, and remembers it.
func (r *Receiver) first(sum [sha256.Size]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[sum] {
		return false
	}
	r.seen[sum] = true
	if len(r.ring) < remembered {
		r.ring = append(r.ring, sum)
		return true
	}
	delete(r.seen, r.ring[r.next])
	r.ring[r.next] = sum
	r.next = (r.next + 1) % remembered
	return true
}

// Read verifies and reads a message. Nothing of it is looked at before it is verified but the headers that this takes.
func Read(h http.Header, body []byte, s secret.Text) (Event, error) {
	if s.IsZero() {
		return Event{}, ErrNoSecret
	}
	e, err := verify(h, body, s)
	if err != nil {
		return Event{}, err
	}
	if err := e.parse(h, body); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return e, nil
}

// verify says who sent a message that was made with the secret. Forgejo and Gitea send the headers of GitHub as well.
func verify(h http.Header, body []byte, s secret.Text) (Event, error) {
	for _, c := range []struct {
		forge                              Forge
		signature, prefix, event, delivery string
	}{
		{Gitea, "X-Forgejo-Signature", "", "X-Forgejo-Event", "X-Forgejo-Delivery"},
		{Gitea, "X-Gitea-Signature", "", "X-Gitea-Event", "X-Gitea-Delivery"},
		{Gitea, "X-Gogs-Signature", "", "X-Gogs-Event", "X-Gogs-Delivery"},
		{GitHub, "X-Hub-Signature-256", "sha256=", "X-GitHub-Event", "X-GitHub-Delivery"},
	} {
		if h.Get(c.signature) == "" {
			continue
		}
		text, ok := strings.CutPrefix(h.Get(c.signature), c.prefix)
		got, err := hex.DecodeString(text)
		mac := hmac.New(sha256.New, []byte(s.Reveal()))
		mac.Write(body)
		if !ok || err != nil || !hmac.Equal(got, mac.Sum(nil)) {
			return Event{}, ErrSignature
		}
		return Event{Forge: c.forge, Name: h.Get(c.event), Delivery: h.Get(c.delivery)}, nil
	}
	token := h.Get("X-Gitlab-Token")
	switch {
	case token == "":
		return Event{}, ErrUnsigned
	case !secret.New(token).Equal(s):
		return Event{}, ErrSignature
	}
	return Event{Forge: GitLab, Name: h.Get("X-Gitlab-Event"), Delivery: h.Get("X-Gitlab-Event-UUID")}, nil
}

// A message is what the forges' messages have in common, and what each has of its own.
type message struct {
	Ref, Before, After string
	Repository         struct {
		FullName string `json:"full_name"`
		CloneURL string `json:"clone_url"`
		SSHURL   string `json:"ssh_url"`
	}
	Project struct {
		Path    string `json:"path_with_namespace"`
		HTTPURL string `json:"git_http_url"`
		SSHURL  string `json:"git_ssh_url"`
	}
}

// parse reads the body, which GitHub sends as a form where it is told to.
func (e *Event) parse(h http.Header, body []byte) error {
	if kind, _, _ := mime.ParseMediaType(h.Get("Content-Type")); kind == "application/x-www-form-urlencoded" {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return err
		}
		body = []byte(form.Get("payload"))
	}
	var m message
	if err := json.Unmarshal(bytes.TrimSpace(body), &m); err != nil {
		return err
	}
	for _, address := range []string{m.Repository.FullName, m.Repository.CloneURL, m.Repository.SSHURL, m.Project.Path, m.Project.HTTPURL, m.Project.SSHURL} {
		if path := repositoryPath(address); path != "" {
			e.Paths = append(e.Paths, path)
		}
	}
	if strings.HasPrefix(m.Ref, "refs/") { // events that are no pushes have short names
		e.Ref, e.Before, e.After = m.Ref, m.Before, m.After
	}
	return nil
}
