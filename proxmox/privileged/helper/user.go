package helper

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// A Peer is who made a connection.
type Peer struct {
	UID uint32 `json:"uid"`
	PID int32  `json:"pid"`
}

// dynamicUsers is where systemd names the users that live as long as their service (DynamicUser=), beside the list of
// users that the C library reads and a static program does not (systemd nss-systemd.c, direct_lookup_name).
const dynamicUsers = "/run/systemd/dynamic-uid/direct:"

// Lookup finds the id of a user, by number or name. It is asked anew for each connection: a user of systemd's comes
// and goes with its service, and its number may be another one's the next time.
func Lookup(name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), nil
	}
	id := ""
	if u, err := user.Lookup(name); err == nil {
		id = u.Uid
	} else if id, err = os.Readlink(dynamicUsers + name); err != nil {
		return 0, fmt.Errorf("there is no user %q on this machine", name)
	}
	n, err := strconv.ParseUint(id, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("user %q has no number that Linux knows: %q", name, id)
	}
	return uint32(n), nil
}

// nameOf is the name of a user, as far as the machine tells; else empty.
func nameOf(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	name, _ := os.Readlink(dynamicUsers + id) // who is nowhere has no name
	return name
}
