package git

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
)

// An address is where a repository is.
type address struct {
	scheme string // https, http, ssh or file
	user   string // of ssh
	host   string // with a port, if one is given
	path   string // of a file, absolute; of ssh, as the server is told it
}

// scpLike is user@host:path. What begins with a slash or holds "://" is no such.
var scpLike = regexp.MustCompile(`^(?:([^@/:]+)@)?([^@/:]+|\[[0-9a-fA-F:]+\]):([^/].*|/.*)$`)

func parseAddress(text string) (address, error) {
	switch {
	case text == "":
		return address{}, errors.New("there is no URL")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return address{}, fmt.Errorf("URL %q has control characters", text)
	case filepath.IsAbs(text):
		return address{scheme: "file", path: filepath.Clean(text)}, nil
	}
	if m := scpLike.FindStringSubmatch(text); m != nil && !strings.Contains(text, "://") {
		return address{scheme: "ssh", user: m[1], host: strings.Trim(m[2], "[]"), path: m[3]}.checked()
	}
	u, err := url.Parse(text)
	if err != nil { // its text repeats the URL, with what may be a password in it
		return address{}, errors.New("the URL cannot be read: write https://host/path, ssh://git@host/path, git@host:path or /path")
	}
	if _, has := u.User.Password(); has || u.User != nil && u.Scheme != "ssh" {
		return address{}, fmt.Errorf("the URL of %s holds a name or password, which would be shown: put them into files of their own", u.Host)
	}
	a := address{scheme: u.Scheme, user: u.User.Username(), host: u.Host, path: u.Path}
	switch {
	case u.RawQuery != "" || u.Fragment != "":
		return address{}, fmt.Errorf("the URL of %s has a query or fragment, which may be secret and means nothing to git: leave it out", u.Host)
	case a.scheme == "file":
		if u.Host != "" && u.Host != "localhost" || !filepath.IsAbs(a.path) {
			return address{}, fmt.Errorf("URL %s: write file:///path", text)
		}
		return address{scheme: "file", path: filepath.Clean(a.path)}, nil
	}
	return a.checked()
}

func (a address) checked() (address, error) {
	switch {
	case a.scheme != "https" && a.scheme != "http" && a.scheme != "ssh":
		return a, fmt.Errorf("%q is none of https, ssh, file", a.scheme)
	case a.host == "" || a.path == "" || a.path == "/":
		return a, errors.New("the URL has no host or no path")
	case strings.HasPrefix(a.host, "-") || strings.HasPrefix(a.path, "-") || strings.HasPrefix(a.user, "-"):
		return a, errors.New("a part of the URL begins with a dash")
	}
	return a, nil
}

// allows finds what does not go together with the address.
func (a address) allows(o Options) error {
	credentials := !o.Auth.Password.IsZero() || !o.Auth.Bearer.IsZero()
	switch {
	case !o.Auth.Password.IsZero() && !o.Auth.Bearer.IsZero():
		return errors.New("there are a password and a bearer token: only one can be sent")
	case a.scheme == "http" && !a.loopback() && credentials:
		return fmt.Errorf("over http whoever is in between reads the password of %s: use https", a.host)
	case a.scheme == "http" && !a.loopback() && o.Signers == nil:
		return fmt.Errorf("over http whoever is in between can change what %s says: use https, or ask for signatures", a.host)
	case a.scheme == "ssh" && o.Auth.Key.IsZero():
		return fmt.Errorf("there is no private key for %s: make one (ssh-keygen -t ed25519) and let its public half read the repository", a.host)
	}
	return nil
}

func (a address) loopback() bool {
	host, _, err := net.SplitHostPort(a.host)
	if err != nil {
		host = a.host
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// String is the address as a URL.
func (a address) String() string {
	switch {
	case a.scheme == "file":
		return a.path
	case a.scheme != "ssh":
		return a.scheme + "://" + a.host + a.path
	case strings.HasPrefix(a.path, "/"):
		return "ssh://" + a.at() + a.host + a.path
	}
	return a.at() + a.host + ":" + a.path
}

func (a address) at() string {
	if a.user == "" {
		return ""
	}
	return a.user + "@"
}

// dial is the host with its port, that of ssh where none is given.
func (a address) dial() string {
	if _, _, err := net.SplitHostPort(a.host); err == nil {
		return a.host
	}
	return net.JoinHostPort(strings.Trim(a.host, "[]"), "22")
}
