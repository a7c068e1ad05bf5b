package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A fault is an answer other than 200: the status, the text as Proxmox dies with it (with its newline), and
// the texts by parameter (pve-common Exception.pm).
type fault struct {
	status int
	text   string
	params map[string]string
	bare   bool // answered by the HTTP layer, without a body
}

func (f *fault) Error() string { return strings.TrimSuffix(f.text, "\n") }

// perlText is the text that Perl makes of the exception when it is put into another message
// (Exception.pm, stringify).
func (f *fault) perlText() string {
	text := f.text
	if f.status != 0 && f.status != 500 {
		text = fmt.Sprintf("%d %s", f.status, text)
	}
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for _, k := range slices.Sorted(maps.Keys(f.params)) {
		text += k + ": " + f.params[k] + "\n"
	}
	return text
}

// dief is Perl's die with a text that ends in a newline: status 500.
func dief(format string, args ...any) error {
	return &fault{status: 500, text: fmt.Sprintf(format, args...) + "\n"}
}

// dieAt is Perl's die with a text without a newline, to which Perl adds the place.
func dieAt(file string, line int, format string, args ...any) error {
	return dief("%s at /usr/share/perl5/PVE/%s line %d.", fmt.Sprintf(format, args...), file, line)
}

// paramErrors is raise_param_exc: status 400 and a text for each parameter.
func paramErrors(params map[string]string) error {
	return &fault{status: 400, text: "Parameter verification failed.\n", params: params}
}

func paramError(key, text string) error { return paramErrors(map[string]string{key: text}) }

// forbidden is raise_perm_exc: status 403.
func forbidden(what string) error {
	text := "Permission check failed"
	if what != "" {
		text += " (" + what + ")"
	}
	return &fault{status: 403, text: text + "\n"}
}

// asFault gives the answer for an error: its own if it is a fault, else status 500 with its text.
func asFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	return &fault{status: 500, text: err.Error() + "\n"}
}

// perlString is the text of an error inside a Perl string, with its newline.
func perlString(err error) string { return asFault(err).perlText() }

// prefixed is die "$prefix $@".
func prefixed(prefix string, err error) error {
	return &fault{status: 500, text: prefix + " " + perlString(err)}
}
