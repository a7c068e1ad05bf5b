package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/felhom/tend/proxmox/privileged/helper"
)

// A Lane is who does what only root@pam may, as it was found.
type Lane struct {
	Mode    string   // "off", "direct" or "helper"
	Nodes   []string // where somebody acts as root
	Program string   // version of this tend
	Socket  string   // of the helper
	Helper  string   // version of the helper; empty where it was not reached
	Err     error    // why the helper cannot be used
}

// Findings tells whether changes for root can be made, and what to do where they cannot.
func (l Lane) Findings() []Finding {
	const area = "root lane"
	switch {
	case l.Mode == "direct":
		return []Finding{{Level: OK, Area: area, Text: "direct: tend itself acts as root on " + strings.Join(l.Nodes, ", ")}}
	case l.Mode != "helper":
		return []Finding{{
			Level: Note, Area: area, Text: "off: what only root@pam may do is blocked in plans (tend explain root says what that is)",
			Hint: "on a node, write lane: helper and enable tend-helper.socket; plan --root-commands prints what a person can do instead",
		}}
	case l.Err != nil:
		return []Finding{{Blocking, area, fmt.Sprintf("helper: %v", l.Err), laneHint(l)}}
	}
	out := []Finding{{Level: OK, Area: area, Text: fmt.Sprintf("helper: tend helper %s acts as root on %s, on %s", l.Helper, strings.Join(l.Nodes, ", "), l.Socket)}}
	if l.Helper != l.Program {
		out = append(out, Finding{
			Warning, area, fmt.Sprintf("the helper is tend %s, and this is tend %s", l.Helper, l.Program),
			"install the same on both sides, then: systemctl restart tend-helper.service",
		})
	}
	return out
}

// laneHint is what to do about a helper that cannot be used.
func laneHint(l Lane) string {
	var refusal *helper.Refusal
	switch {
	case errors.As(l.Err, &refusal) && refusal.Code == helper.WrongUser:
		return "run as the user that stands after --user in tend-helper.service (tend), or let it be this one"
	case errors.Is(l.Err, fs.ErrNotExist):
		return "systemctl enable --now tend-helper.socket, or name another socket with helperSocket"
	case errors.Is(l.Err, fs.ErrPermission):
		return "only one user may connect to " + l.Socket + ": run as that one, or look at SocketUser= in tend-helper.socket"
	case errors.Is(l.Err, syscall.ECONNREFUSED):
		return "nobody listens any more: systemctl restart tend-helper.socket"
	}
	return "look at what it says: journalctl -u tend-helper.service"
}
