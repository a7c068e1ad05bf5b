package proxmox

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// A UPID names a task of a node, running or ended. It is comparable; the zero value names no task.
type UPID struct {
	Node   string    // the node on which the task runs, and where it is asked for
	PID    uint32    // process id of the worker
	PStart uint64    // start of that process in clock ticks after the boot
	Start  time.Time // start of the task, to the second, in UTC
	Type   string    // worker type: "vzcreate"
	ID     string    // what the task works on, often a VMID; may be empty
	User   string    // "user@realm" or "user@realm!token"
}

// The grammar is that of pve-common UPID.pm, decode. The start of the process may have nine digits.
var upidText = regexp.MustCompile(`^UPID:([a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?):` +
	`([0-9A-Fa-f]{8}):([0-9A-Fa-f]{8,9}):([0-9A-Fa-f]{8}):([^:\s/]+):([^:\s/]*):([^:\s/]+):$`)

// ParseUPID reads a UPID in the form in which Proxmox returns it.
func ParseUPID(s string) (UPID, error) {
	m := upidText.FindStringSubmatch(s)
	if m == nil {
		return UPID{}, fmt.Errorf("%q is not a task id (UPID)", s)
	}
	// the grammar leaves nothing that could fail: 8 and 9 hexadecimal digits fit
	pid, _ := strconv.ParseUint(m[2], 16, 32)
	pstart, _ := strconv.ParseUint(m[3], 16, 64)
	start, _ := strconv.ParseInt(m[4], 16, 64)
	return UPID{
		Node: m[1], PID: uint32(pid), PStart: pstart, Start: time.Unix(start, 0).UTC(),
		Type: m[5], ID: m[6], User: m[7],
	}, nil
}

// IsZero reports whether u names no task.
func (u UPID) IsZero() bool { return u == UPID{} }

// String is the UPID as Proxmox writes it, or empty for the zero value.
func (u UPID) String() string {
	if u.IsZero() {
		return ""
	}
	return fmt.Sprintf("UPID:%s:%08X:%08X:%08X:%s:%s:%s:", u.Node, u.PID, u.PStart, u.Start.Unix(), u.Type, u.ID, u.User)
}

// MarshalText writes the UPID as [UPID.String] does.
func (u UPID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads what MarshalText writes; an empty text gives the zero value.
func (u *UPID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*u = UPID{}
		return nil
	}
	v, err := ParseUPID(string(b))
	if err != nil {
		return err
	}
	*u = v
	return nil
}
