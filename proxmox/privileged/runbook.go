package privileged

import (
	"fmt"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// Runbook is how a person does by hand, as root on the node, what a request asks for: commands, and comments where
// something is no command. A password is asked for, and values of an environment are hidden.
func Runbook(r Request) []string {
	var out []string
	note := func(format string, args ...any) { out = append(out, "# "+fmt.Sprintf(format, args...)) }
	switch r := r.(type) {
	case Create:
		if len(r.Params.SSHKeys) > 0 {
			note("first put the SSH keys into %s, one a line", KeysFile(r.Params.ID))
		}
	case SetRaw:
		note("edit /etc/pve/lxc/%d.conf while nothing else works on the container, and no line lock: stands in it", r.Ref.ID)
		note("the lxc lines before the first [section] shall be these, at the end of that part:")
		for _, l := range r.Lines {
			note("%v", hidden(l))
		}
	case PutSnippet:
		note("put the script (SHA-256 %s) at the path that this prints, and make it executable (chmod 755):", r.SHA256)
	case Mount:
		out = append(out, mountRunbook(r)...)
	case Lead:
		verb := "mkdir"
		if r.Resign {
			verb = "rmdir"
		}
		out = append(out, verb+" "+quote(LeadLock(r.Owner)))
	case KeepLead:
		out = append(out, "touch "+quote(LeadLock(r.Owner)))
	case Unlock:
		note("only if no task works on the container: its lock %s would be taken from under it", r.Lock)
	}
	for _, c := range Commands(r) {
		out = append(out, c.String())
	}
	return out
}

// hidden hides what may be secret in a raw line: the value of a variable.
func hidden(l proxmox.RawLine) proxmox.RawLine {
	if l.Key == "lxc.environment" || strings.HasPrefix(l.Key, "lxc.environment.") {
		name, _, _ := strings.Cut(l.Value, "=")
		l.Value = name + "=•••"
	}
	return l
}
