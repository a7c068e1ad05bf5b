package privileged

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
)

var (
	// statusText begins the text of an exception that carries a status (pve-common Exception.pm, stringify).
	statusText = regexp.MustCompile(`^([1-5]\d\d) `)
	// chatter are lines on standard error that are no error: of waiting for a lock (pve-common Tools.pm,
	// lock_file_full), of warnings (RESTEnvironment.pm, warn) and of Perl.
	chatter = regexp.MustCompile(`^(?:trying to acquire lock\.\.\.| OK| failed|WARN: .*|perl: warning: .*|\s*(?:LANGUAGE|LC_ALL|LANG) = .*|` +
		`Task finished with \d+ warning\(s\)!|cannot delete '\w+' - not set in current configuration!)$`)
	// usage follows on wrong parameters (pve-common RESTHandler.pm, cli_handler).
	usage = regexp.MustCompile(`^(?:pct|pvesh|pvesm) [a-z_-]+ .*(?:<|\[|FORMAT_OPTIONS)`)
)

// Refused is the error of a command of Proxmox that ended with an exit status other than 0: an [*proxmox.APIError] of
// the text on its standard error, told apart by the one classifier, so that a refusal in the lane and one of the API
// look alike to their callers. It is nil for 0.
//
// Proxmox's tools print the text of an exception and exit with 255 (Perl, die); that of wrong parameters begins with
// its status and has a line for each parameter, and the usage after them.
func Refused(c Command, exit int, stderr []byte) error {
	if exit == 0 {
		return nil
	}
	text := errorText(stderr)
	if text == "" {
		text = "it ended with exit status " + strconv.Itoa(exit) + " and said nothing"
	}
	status := 500
	if m := statusText.FindStringSubmatch(text); m != nil {
		status, _ = strconv.Atoi(m[1])
		text = text[len(m[0]):]
	}
	program := c.Argv[0][strings.LastIndexByte(c.Argv[0], '/')+1:]
	subject := strings.Join(c.Argv[1:min(3, len(c.Argv))], " ")
	return proxmox.NewAPIError(proxmox.Request{Method: program, Path: subject}, status, text, nil)
}

// errorText is what stands on standard error besides chatter and usage.
func errorText(stderr []byte) string {
	var lines []string
	for line := range strings.Lines(string(stderr)) {
		line = strings.TrimRight(line, "\r\n")
		if usage.MatchString(line) {
			break
		}
		if !chatter.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// Warnings are the lines of a command's standard error that warn a person.
func Warnings(stderr []byte) []string {
	var out []string
	for line := range strings.Lines(string(stderr)) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "WARN: "); ok && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}
