package notify

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox/secret"
)

func hidden(text string) config.Hidden { return config.Hidden{Secret: secret.New(text)} }

// written are secrets in files whose names are the secrets.
func written(path string) (secret.Text, error) { return secret.New(path), nil }

// test sends a test message by one channel and returns what became of it.
func test(t *testing.T, c config.Channel) error {
	t.Helper()
	c.Name = "phone"
	n, err := New(config.Notify{Channels: []config.Channel{c}}, written, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	return n.Test(t.Context(), &w.Report)[0].Err
}

// TestSignature is the example of https://www.standardwebhooks.com and of its libraries.
func TestSignature(t *testing.T) {
	key, err := readKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", written)
	if err != nil {
		t.Fatal(err)
	}
	got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, bad := range []string{"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", "whsec_!"} {
		if _, err := readKey("key", func(string) (secret.Text, error) { return secret.New(bad), nil }); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("%q is a key, or repeated: %v", bad, err)
		}
	}
}

// TestWebhook: a message arrives as JSON with a signature that can be checked; redirects and refusals are errors that
// do not repeat the address.
func TestWebhook(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	var body []byte
	var head http.Header
	code := http.StatusNoContent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		head = r.Header
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	}))
	defer s.Close()
	hook := config.Channel{Webhook: config.NotifyWebhook{URLFile: s.URL + "/hook/hunter2", SecretFile: "whsec_" + base64.StdEncoding.EncodeToString(key)}}
	if err := test(t, hook); err != nil {
		t.Fatal(err)
	}
	var m Message
	if err := json.Unmarshal(body, &m); err != nil || m.Events[0].Change != Test || m.Cluster != "home" || !strings.Contains(string(body), `"text":"test: this is a test`) {
		t.Errorf("it arrives as %s: %v", body, err)
	}
	if at, err := strconv.ParseInt(head.Get("webhook-timestamp"), 10, 64); err != nil || time.Since(time.Unix(at, 0)).Abs() > time.Hour {
		t.Errorf("its time is %d: %v", at, err)
	}
	if got, want := head.Get("webhook-signature"), sign(secret.New(string(key)), m.ID, head.Get("webhook-timestamp"), body); got != want || head.Get("webhook-id") != m.ID {
		t.Errorf("its signature is %q, want %q", got, want)
	}
	for _, code = range []int{http.StatusFound, http.StatusUnauthorized, http.StatusInternalServerError} {
		err := test(t, hook)
		if e, ok := errors.AsType[*outward.StatusError](err); !ok || e.Code != code || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d: %v", code, err)
		}
	}
	s.Close()
	if err := test(t, hook); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a server that is off: %v", err)
	}
}

// TestServices: the service gets title and text by its own API.
func TestServices(t *testing.T) {
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.Method+" "+r.URL.Path+" "+r.Header.Get("Title")+" "+string(body))
		_, _ = io.WriteString(w, `{"id":1}`)
	}))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	for _, tt := range []struct{ url, want string }{
		{"ntfy://" + host + "/mytopic?scheme=http", "POST /mytopic home: this is a test test: this is a test"},
		{"gotify://" + host + "/Aabcdefgh.1jklm?disabletls=yes", `POST /message`},
	} {
		got = nil
		if err := test(t, config.Channel{URL: hidden(tt.url)}); err != nil {
			t.Errorf("%s: %v", tt.url, err)
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], tt.want) || !strings.Contains(got[0], "All is well") {
			t.Errorf("%s: the server gets %q", tt.url, got)
		}
	}
}

// TestFailures: a service that refuses, or that nobody answers for, is an error, whatever else the library makes of it.
func TestFailures(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"ok":false,"description":"123:hunter2 may not"}`)
	}))
	host := strings.TrimPrefix(s.URL, "http://")
	for range 2 {
		for _, address := range []string{"ntfy://" + host + "/mytopic?scheme=http", "gotify://" + host + "/Aabcdefgh.1jklm?disabletls=yes"} {
			if err := test(t, config.Channel{URL: hidden(address)}); err == nil {
				t.Errorf("%s: says that it was sent", address)
			}
		}
		bot, err := newTelegram(secret.New("telegram://123:hunter2@telegram?chats=@a"))
		if err != nil {
			t.Fatal(err)
		}
		bot.api = s.URL
		if err := bot.send(t.Context(), Message{}, "a", "b"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("telegram: %v", err)
		}
		s.Close() // and again
	}
}

// TestTelegram: each chat gets title and text from the bot.
func TestTelegram(t *testing.T) {
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = append(got, r.URL.Path+" "+string(body))
	}))
	defer s.Close()
	bot, err := newTelegram(secret.New("telegram://123:abc@telegram?chats=@a,-42"))
	if err != nil {
		t.Fatal(err)
	}
	bot.api = s.URL
	if err := bot.send(t.Context(), Message{}, "title", "text"); err != nil {
		t.Fatal(err)
	}
	want := []string{`/bot123:abc/sendMessage {"chat_id":"@a","text":"title\ntext"}`, `/bot123:abc/sendMessage {"chat_id":"-42","text":"title\ntext"}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{"telegram://123:abc@telegram", "telegram://telegram?chats=@a", "telegram:%"} {
		if _, err := newTelegram(secret.New(bad)); err == nil {
			t.Errorf("%s is one", bad)
		}
	}
}

// The keys that stand in the URLs of services, which must not be told to anybody.
const (
	hex64     = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	gotifyKey = "Aabcdefgh.1jklm" // 15 characters
	token     = "hunter2Hunter2hunter2Hunter2hunter2h"
)

func secretURLs() []string {
	return []string{
		"bark://:" + token + "@bark.example.com",
		"discord://" + token + "@4711000815",
		"googlechat://chat.googleapis.com/v1/spaces/FOO/messages?key=" + token + "&token=" + token,
		"gotify://127.0.0.1:1/" + gotifyKey,
		"ifttt://" + token + "/?events=tend",
		"join://shoutrrr:" + token + "@join/?devices=d1",
		"lark://open.larksuite.com/" + token + "?secret=" + token,
		"matrix://user:" + token + "@matrix.example.com/?rooms=!room",
		"mattermost://user@127.0.0.1:1/" + token + "/channel",
		"ntfy://user:" + token + "@127.0.0.1:1/topic",
		"opsgenie://api.opsgenie.com/" + token,
		"pushbullet://" + token[:34] + "/channel",
		"pushover://shoutrrr:" + token + "@userkey/?devices=d",
		"rocketchat://user@rocket.example.com/" + token + "/" + token + "/@bob",
		"slack://hook:WNA3PBYV6-F20DUQND3RQ-Webc4MAvoacrpPakR8phF0zi@webhook",
		"teams://11111111-4444-4444-8444-cccccccccccc@22222222-4444-4444-8444-cccccccccccc/33333333012222222222333333333344/44444444-4444-4444-8444-cccccccccccc/V2ESyij_gAljSoUQHvZoZYzlpAoAXExyOl26dlf1xHEx05?host=test.webhook.office.com",
		"telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw@telegram?chats=@c",
		"zulip://bot:" + token + "@example.zulipchat.com/?stream=s&topic=t",
		"notifiarr://" + token,
		"signal://user:" + token + "@signal.example.com:8080/+491510000000/+491520000000",
		"wecom://" + token,
		"pagerduty:///" + hex64[:32],
	}
}

// An echo is a transport that reaches nobody: it repeats the request, with every key that stands in it, in the error or
// the answer. Three services bring a transport of their own; nobody listens at their addresses.
type echo struct{ answer bool }

func (e echo) RoundTrip(r *http.Request) (*http.Response, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %v ", r.Method, r.URL, r.Header)
	if r.Body != nil {
		_, _ = io.Copy(&b, r.Body)
	}
	if !e.answer {
		return nil, errors.New("nobody answers to " + b.String())
	}
	return &http.Response{StatusCode: http.StatusBadRequest, Status: "400 Bad Request", Body: io.NopCloser(&b), Request: r, Header: http.Header{}}, nil
}

// TestSecretsOfServices: whatever goes wrong, no part of a URL that could be a key is in an error, in the log, in what
// fails, or in a printed setting. Every service is made to fail with all it knows.
func TestSecretsOfServices(t *testing.T) {
	before := http.DefaultTransport
	defer func() { http.DefaultTransport = before }()
	for _, answer := range []bool{false, true} {
		http.DefaultTransport = echo{answer}
		for _, address := range secretURLs() {
			scheme, _, _ := strings.Cut(address, ":")
			var log bytes.Buffer
			settings := config.Notify{Channels: []config.Channel{{Name: "phone", URL: hidden(address)}}}
			n, err := New(settings, nil, "", slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
			if err != nil {
				t.Errorf("%s: %v", scheme, err)
				continue
			}
			w := newWorld()
			out := n.Test(t.Context(), &w.Report)[0]
			if out.Err == nil {
				t.Errorf("%s: says that it was sent", scheme)
				continue
			}
			n.outcome(t.Context(), n.lines[0].title(), out.Err)
			printed, _ := yaml.Marshal(settings)
			shown := fmt.Sprintf("%v %s %s %v %+v %#v", out.Err, log.String(), printed, n.Failing(), settings, *n.lines[0])
			for _, key := range []string{token[:30], hex64[:32], gotifyKey, "Webc4MAvoacrpPakR8phF0zi", "V2ESyij", "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw", "33333333012222222222333333333344"} {
				if strings.Contains(shown, key) {
					t.Errorf("%s shows its key: %s", scheme, shown)
				}
			}
			for _, part := range parts(address) {
				if len(part) > 8 && strings.Contains(out.Err.Error(), part) {
					t.Errorf("%s shows %s: %v", scheme, part, out.Err)
				}
			}
		}
	}
}

// TestHang: a service whose server never answers is given up, and is not asked again before it has ended.
func TestHang(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	svc, err := newService(secret.New("ntfy://" + strings.TrimPrefix(s.URL, "http://") + "/topic?scheme=http"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, want := range []string{"no answer in time", "the attempt before has not ended yet"} {
		if err := svc.send(ctx, Message{}, "a", "b"); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A mailServer speaks enough SMTP to take a mail, and keeps what it hears.
type mailServer struct {
	net.Listener
	heard chan string
}

func newMailServer(t *testing.T) mailServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := mailServer{l, make(chan string, 1)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.serve(c)
		}
	}()
	return s
}

func (s mailServer) serve(c net.Conn) {
	defer c.Close()
	var heard strings.Builder
	defer func() { s.heard <- heard.String() }()
	in := bufio.NewScanner(c)
	say := func(text string) { _, _ = io.WriteString(c, text+"\r\n") }
	say("220 hello")
	for data := false; in.Scan(); {
		heard.WriteString(in.Text() + "\n")
		switch verb, _, _ := strings.Cut(in.Text(), " "); {
		case data && in.Text() == ".":
			data = false
			say("250 taken")
		case data:
		case verb == "EHLO":
			say("250-hello\r\n250 AUTH PLAIN LOGIN")
		case verb == "DATA":
			data = true
			say("354 go on")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

func (s mailServer) port() int { return s.Addr().(*net.TCPAddr).Port }

// TestMail: a mail arrives with its headers; a title cannot add any.
func TestMail(t *testing.T) {
	s := newMailServer(t)
	c := config.Channel{Title: "{{.Title}}\r\nBcc: eve@example.com ä", Mail: config.Mail{Host: "127.0.0.1", Port: s.port(), TLS: "none", From: "tend <tend@example.com>", To: []string{"anna@example.com", "bert@example.com"}}}
	if err := test(t, c); err != nil {
		t.Fatal(err)
	}
	heard := <-s.heard
	for _, want := range []string{"MAIL FROM:<tend@example.com>", "RCPT TO:<anna@example.com>", "RCPT TO:<bert@example.com>", "Auto-Submitted: auto-generated", "this is a test", "Message-ID: <tend_"} {
		if !strings.Contains(heard, want) {
			t.Errorf("no %q in:\n%s", want, heard)
		}
	}
	if strings.Contains(heard, "\nBcc:") || strings.Contains(heard, "RCPT TO:<eve") {
		t.Errorf("the title adds a header:\n%s", heard)
	}
}

// TestMailWithoutTLS: where the server offers no TLS, neither password nor mail is sent.
func TestMailWithoutTLS(t *testing.T) {
	s := newMailServer(t)
	c := config.Channel{Mail: config.Mail{Host: "127.0.0.1", Port: s.port(), From: "tend@example.com", To: []string{"anna@example.com"}, User: "tend", PasswordFile: "hunter2"}}
	err := test(t, c)
	if err == nil {
		t.Fatal("it is sent")
	}
	if heard := <-s.heard; strings.Contains(heard, "AUTH") || strings.Contains(heard, "MAIL") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v, after:\n%s", err, heard)
	}
}

// TestPingServer: a good pass is a GET, a bad one a POST with the reason.
func TestPingServer(t *testing.T) {
	var got string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.URL.Path + " " + string(body)
	}))
	defer s.Close()
	p, err := newPinger(config.DeadMan{URLFile: s.URL + "/uuid"}, written)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		b    beat
		want string
	}{{beat{true, "fine"}, "GET /uuid "}, {beat{false, "no route"}, "POST /uuid/fail no route"}} {
		if err := p.send(t.Context(), tt.b); err != nil || got != tt.want {
			t.Errorf("%q, want %q: %v", got, tt.want, err)
		}
	}
}

// TestNewFaults: what cannot work is found when the settings are read, all of it, and without repeating a secret.
func TestNewFaults(t *testing.T) {
	for _, tt := range []struct {
		c    config.Channel
		want string
	}{
		{config.Channel{URL: hidden("nfty://hunter2")}, "did you mean ntfy://?"},
		{config.Channel{URL: hidden("hunter2")}, "is no URL of a service"},
		{config.Channel{URL: hidden("smtp://a:hunter2@b/?from=a&to=b")}, "a channel with mail:"},
		{config.Channel{URL: hidden("https://example.com/hunter2")}, "a channel with webhook:"},
		{config.Channel{URL: hidden("pushbullet://hunter2")}, "failed to initialize"},
		{config.Channel{Webhook: config.NotifyWebhook{URL: hidden("hunter2.example.com")}}, "begins with https://"},
		{config.Channel{URL: hidden("ntfy://ntfy.sh/a"), Events: []string{"fire"}}, `there is no "fire", but source node`},
		{config.Channel{URL: hidden("ntfy://ntfy.sh/a"), Template: "{{.Secret}}"}, "can't evaluate field Secret"},
		{config.Channel{URL: hidden("ntfy://ntfy.sh/a"), Template: "{{"}, "template: "},
		{config.Channel{URL: hidden("ntfy://ntfy.sh/a"), Title: "{{with .Nothing}}{{end}}"}, "can't evaluate field Nothing"},
		{config.Channel{URL: hidden("ntfy://ntfy.sh/a"), Title: "{{if false}}x{{end}}"}, "gives an empty text"},
	} {
		tt.c.Name = "phone"
		_, err := New(config.Notify{Channels: []config.Channel{tt.c}}, nil, "", slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "notify: channel phone: ") || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}
