package hook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox/secret"
	"github.com/felhom/tend/reconcile/source/hook"
)

const shared = "hunter2-hunter2"

func sum(body string) string {
	mac := hmac.New(sha256.New, []byte(shared))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// TestVectorOfGitHub is the one of GitHub's own documentation ("Validating webhook deliveries"): the signature holds, so
// that what is wrong with it is that it is no JSON.
func TestVectorOfGitHub(t *testing.T) {
	h := header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")
	s := secret.New("It's a Secret to Everybody")
	if _, err := hook.Read(h, []byte("Hello, World!"), s); !errors.Is(err, hook.ErrMalformed) {
		t.Error(err)
	}
	if _, err := hook.Read(h, []byte("Hello, World?"), s); !errors.Is(err, hook.ErrSignature) {
		t.Error(err)
	}
}

const (
	github = `{"ref":"refs/heads/main","before":"aaa","after":"bbb","repository":{"full_name":"Me/Home","clone_url":"https://github.com/Me/Home.git","ssh_url":"git@github.com:Me/Home.git"}}`
	gitea  = `{"ref":"refs/tags/v1.0.0","before":"000","after":"bbb","repository":{"full_name":"me/home","clone_url":"https://git.example.com/gitea/me/home.git","ssh_url":"ssh://git@git.example.com:2222/me/home.git"}}`
	gitlab = `{"object_kind":"push","ref":"refs/heads/main","before":"aaa","after":"bbb","project":{"path_with_namespace":"team/sub/home","git_http_url":"https://gitlab.example.com/team/sub/home.git","git_ssh_url":"git@gitlab.example.com:team/sub/home.git"}}`
)

func TestRead(t *testing.T) {
	form := "payload=" + url.QueryEscape(github)
	tests := []struct {
		name   string
		header http.Header
		body   string
		want   hook.Event
	}{
		{
			"GitHub", header("X-GitHub-Event", "push", "X-GitHub-Delivery", "d1", "X-Hub-Signature-256", "sha256="+sum(github)), github,
			hook.Event{Forge: hook.GitHub, Name: "push", Delivery: "d1", Ref: "refs/heads/main", Before: "aaa", After: "bbb"},
		},
		{
			"GitHub, as a form", header("X-GitHub-Event", "push", "Content-Type", "application/x-www-form-urlencoded", "X-Hub-Signature-256", "sha256="+sum(form)), form,
			hook.Event{Forge: hook.GitHub, Name: "push", Ref: "refs/heads/main", Before: "aaa", After: "bbb"},
		},
		{
			"Gitea", header("X-Gitea-Event", "push", "X-Gitea-Delivery", "d2", "X-Gitea-Signature", sum(gitea), "X-Hub-Signature-256", "sha256="+sum(gitea), "X-GitHub-Event", "push"), gitea,
			hook.Event{Forge: hook.Gitea, Name: "push", Delivery: "d2", Ref: "refs/tags/v1.0.0", Before: "000", After: "bbb"},
		},
		{
			"Forgejo", header("X-Forgejo-Event", "push", "X-Forgejo-Signature", sum(gitea)), gitea,
			hook.Event{Forge: hook.Gitea, Name: "push", Ref: "refs/tags/v1.0.0", Before: "000", After: "bbb"},
		},
		{
			"GitLab", header("X-Gitlab-Event", "Push Hook", "X-Gitlab-Event-UUID", "d3", "X-Gitlab-Token", shared), gitlab,
			hook.Event{Forge: hook.GitLab, Name: "Push Hook", Delivery: "d3", Ref: "refs/heads/main", Before: "aaa", After: "bbb"},
		},
		{
			"a ping", header("X-GitHub-Event", "ping", "X-Hub-Signature-256", "sha256="+sum(`{"zen":"x"}`)), `{"zen":"x"}`,
			hook.Event{Forge: hook.GitHub, Name: "ping"},
		},
		{
			"a tag that is created, by its short name", header("X-GitHub-Event", "create", "X-Hub-Signature-256", "sha256="+sum(`{"ref":"v1"}`)), `{"ref":"v1"}`,
			hook.Event{Forge: hook.GitHub, Name: "create"},
		},
	}
	for _, tt := range tests {
		got, err := hook.Read(tt.header, []byte(tt.body), secret.New(shared))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got.Paths = nil
		if diff := cmp.Diff(tt.want, got); diff != "" || got.Pushed() != (tt.want.Ref != "") {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct {
		name   string
		header http.Header
		secret string
		want   error
	}{
		{"nothing", header(), shared, hook.ErrUnsigned},
		{"an event alone", header("X-GitHub-Event", "push"), shared, hook.ErrUnsigned},
		{"no secret", header("X-Gitlab-Token", ""), "", hook.ErrNoSecret},
		{"no secret, signed with none", header("X-Hub-Signature-256", "sha256="+hex.EncodeToString(hmac.New(sha256.New, nil).Sum(nil))), "", hook.ErrNoSecret},
		{"another body", header("X-Hub-Signature-256", "sha256="+sum(github+" ")), shared, hook.ErrSignature},
		{"another secret", header("X-Hub-Signature-256", "sha256="+sum(github)), "other", hook.ErrSignature},
		{"SHA-1", header("X-Hub-Signature-256", "sha1="+sum(github)[:40]), shared, hook.ErrSignature},
		{"the old header", header("X-Hub-Signature", "sha1="+sum(github)[:40]), shared, hook.ErrUnsigned},
		{"cut off", header("X-Gitea-Signature", sum(github)[:62]), shared, hook.ErrSignature},
		{"no hexadecimal", header("X-Gitea-Signature", "zz"), shared, hook.ErrSignature},
		{"one good and one bad", header("X-Gitea-Signature", sum("x"), "X-Hub-Signature-256", "sha256="+sum(github)), shared, hook.ErrSignature},
		{"a wrong token", header("X-Gitlab-Token", "hunter"), shared, hook.ErrSignature},
	}
	for _, tt := range tests {
		if e, err := hook.Read(tt.header, []byte(github), secret.New(tt.secret)); !errors.Is(err, tt.want) || e.Pushed() {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
	for _, body := range []string{"", "null", "[]", `{"ref":5}`, "{", `"x"`} {
		e, err := hook.Read(header("X-Hub-Signature-256", "sha256="+sum(body)), []byte(body), secret.New(shared))
		if e.Pushed() || err != nil && !errors.Is(err, hook.ErrMalformed) {
			t.Errorf("%q: %+v, %v", body, e, err)
		}
	}
}

func TestConcerns(t *testing.T) {
	read := func(h http.Header, body string) hook.Event {
		e, err := hook.Read(h, []byte(body), secret.New(shared))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	hub := read(header("X-Hub-Signature-256", "sha256="+sum(github)), github)
	tea := read(header("X-Gitea-Signature", sum(gitea)), gitea)
	lab := read(header("X-Gitlab-Token", shared), gitlab)
	tests := []struct {
		event   hook.Event
		address string
		want    bool
	}{
		{hub, "https://github.com/me/home.git", true},
		{hub, "https://github.com/me/home/", true},
		{hub, "git@github.com:me/home.git", true},
		{hub, "ssh://git@github.com/me/home", true},
		{hub, "https://github.com/me/home2.git", false},
		{hub, "https://github.com/you/home.git", false},
		{tea, "http://10.0.0.5:3000/gitea/me/home.git", true},
		{tea, "ssh://git@10.0.0.5:2222/me/home.git", true},
		{tea, "ssh://git@10.0.0.5:2222/me/other.git", false},
		{lab, "git@gitlab.example.com:team/sub/home.git", true},
		{lab, "git@gitlab.example.com:team/home.git", false},
		{hook.Event{}, "https://github.com/me/home.git", false},
	}
	for _, tt := range tests {
		if got := tt.event.Concerns(tt.address); got != tt.want {
			t.Errorf("%s, of %q: got %t", tt.address, tt.event.Paths, got)
		}
	}
}

func TestReceive(t *testing.T) {
	r := hook.NewReceiver(secret.New(shared))
	send := func(method, body, signature string) error {
		req := httptest.NewRequest(method, "/", strings.NewReader(body))
		req.Header.Set("X-Hub-Signature-256", "sha256="+signature)
		_, err := r.Receive(req)
		return err
	}
	large := strings.Repeat(" ", hook.MaxBody) + "{}"
	tests := []struct {
		name, method, body, signature string
		want                          error
		status                        int
	}{
		{"GET", "GET", github, sum(github), hook.ErrMethod, 405},
		{"large", "POST", large, sum(large), hook.ErrTooLarge, 413},
		{"forged", "POST", github, sum(""), hook.ErrSignature, 401},
		{"good, and the forged one is not known", "POST", github, sum(github), nil, 202},
		{"again", "POST", github, sum(github), hook.ErrReplayed, 200},
		{"another", "POST", gitea, sum(gitea), nil, 202},
		{"nonsense", "POST", "x", sum("x"), hook.ErrMalformed, 400},
	}
	for _, tt := range tests {
		if err := send(tt.method, tt.body, tt.signature); !errors.Is(err, tt.want) || hook.Status(err) != tt.status {
			t.Errorf("%s: got %v, status %d", tt.name, err, hook.Status(err))
		}
	}
	// What is remembered is bounded, and the latest is.
	for i := range 3000 {
		body := fmt.Sprintf(`{"n":%d}`, i)
		if err := send("POST", body, sum(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := send("POST", `{"n":2999}`, sum(`{"n":2999}`)); !errors.Is(err, hook.ErrReplayed) {
		t.Error(err)
	}
	if err := send("POST", github, sum(github)); err != nil {
		t.Errorf("what came long ago is still remembered: %v", err)
	}
}
