package notify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/felhom/tend/proxmox/secret"
	"github.com/felhom/tend/spec/setting"
)

// A sender takes messages to one place.
type sender interface {
	// send delivers a message, or says why not in words that hold no secret. It may be called again with the same.
	send(ctx context.Context, m Message, title, text string) error
}

// A service is one of those that shoutrrr knows.
type service struct {
	url    secret.Text
	scheme string
	busy   atomic.Bool // an attempt that was given up is still under way
}

// titled are the services that have a place for a title. The others get it as the first line of the text.
var titled = []string{
	"bark", "discord", "gotify", "join", "matrix", "ntfy", "pushbullet", "pushover", "slack", "teams",
}

// loginFirst are the services whose client asks the server for a session before it is ready, so that they are not
// tried when the settings are read.
var loginFirst = []string{"matrix"}

// maxText bounds the text for a service, in characters: the least that one of them takes (Pushover).
const maxText = 1000

// newSender makes the sender of a service's URL. It connects to nothing.
func newSender(address secret.Text) (sender, error) {
	if strings.HasPrefix(address.Reveal(), "telegram:") {
		return newTelegram(address)
	}
	return newService(address)
}

// newService makes a service of its URL. It connects to nothing.
func newService(address secret.Text) (*service, error) {
	scheme, err := parseService(address)
	if err != nil {
		return nil, err
	}
	s := &service{url: address, scheme: scheme}
	if !slices.Contains(loginFirst, scheme) {
		_, err = s.locate()
	}
	return s, err
}

// parseService finds the service of a URL. The error repeats nothing of it.
func parseService(address secret.Text) (string, error) {
	u, err := url.Parse(address.Reveal())
	if err != nil || u.Scheme == "" {
		return "", errors.New("is no URL of a service, such as ntfy://ntfy.sh/topic")
	}
	scheme, _, _ := strings.Cut(u.Scheme, "+")
	switch scheme {
	case "smtp":
		return "", errors.New("mail is sent by a channel with mail: in place of an smtp:// URL")
	case "generic", "http", "https":
		return "", errors.New("a web service is told by a channel with webhook: in place of a URL of its own")
	case "logger":
		return "", errors.New("logger:// tells nobody: everything stands in the log anyway")
	}
	known := (&router.ServiceRouter{}).ListServices()
	slices.Sort(known)
	if slices.Contains(known, scheme) {
		return scheme, nil
	}
	if n := setting.Nearest(scheme, known); n != "" {
		return "", fmt.Errorf("its service is not known: did you mean %s://?", n)
	}
	return "", fmt.Errorf("its service is not known: there are %s", strings.Join(known, ", "))
}

func (s *service) locate() (types.Service, error) {
	svc, err := (&router.ServiceRouter{}).Locate(s.url.Reveal())
	if err != nil {
		return nil, s.scrub(err)
	}
	return svc, nil
}

// send delivers a message. The library takes no context, so an attempt may outlast the one of its caller; until it
// has ended there is no other.
func (s *service) send(ctx context.Context, _ Message, title, text string) error {
	if s.busy.Swap(true) {
		return errors.New("the attempt before has not ended yet")
	}
	done := make(chan error, 1)
	go func() {
		defer s.busy.Store(false)
		done <- s.attempt(title, text)
	}()
	select {
	case <-ctx.Done():
		return errors.New("no answer in time")
	case err := <-done:
		return err
	}
}

func (s *service) attempt(title, text string) (err error) {
	defer func() { // other people's code with other people's answers must not stop the agent
		if p := recover(); p != nil {
			err = s.scrub(fmt.Errorf("%s: %v", s.scheme, p))
		}
	}()
	svc, err := s.locate()
	if err != nil {
		return err
	}
	params := types.Params{}
	if slices.Contains(titled, s.scheme) {
		params.SetTitle(title)
	} else {
		text = title + "\n" + text
	}
	if err := svc.Send(shorten(text), &params); err != nil {
		return s.scrub(err)
	}
	return nil
}

// shorten is a text that services take.
func shorten(text string) string {
	if r := []rune(text); len(r) > maxText {
		return string(r[:maxText-1]) + "…"
	}
	return text
}

var (
	addresses = regexp.MustCompile(`\b([a-zA-Z][a-zA-Z0-9+.-]*)://[^\s"']*`)
	notPart   = regexp.MustCompile(`[^\pL\pN_]+`)
)

// scrub leaves out of an error everything that stands in the URL of the service, since any part of it may be a key,
// and the library puts it into errors in many forms.
func (s *service) scrub(err error) error {
	text := addresses.ReplaceAllString(err.Error(), "${1}://"+secret.Mask)
	for _, part := range parts(s.url.Reveal()) {
		text = strings.ReplaceAll(text, part, secret.Mask)
	}
	return errors.New(brief(text))
}

// parts are the pieces of a URL but for its scheme, written as they are and escaped, longest first.
func parts(address string) []string {
	_, rest, _ := strings.Cut(address, ":")
	var out []string
	add := func(text string) {
		for _, t := range []string{text, url.QueryEscape(text), url.PathEscape(text)} {
			if len(t) >= 3 {
				out = append(out, t)
			}
		}
	}
	forms := []string{rest}
	if plain, err := url.PathUnescape(rest); err == nil {
		forms = append(forms, plain)
	}
	if u, err := url.Parse(address); err == nil {
		password, _ := u.User.Password()
		forms = append(forms, u.User.Username(), password, u.Host, u.Path, u.Fragment)
		for _, v := range u.Query() {
			forms = append(forms, v...)
		}
	}
	for _, f := range forms {
		add(f)
		for _, piece := range strings.FieldsFunc(f, func(r rune) bool { return strings.ContainsRune("/@:?&=#", r) }) {
			add(piece)
		}
		for _, piece := range notPart.Split(f, -1) {
			add(piece)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(out)
}
