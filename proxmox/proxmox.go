// Package proxmox is a typed client of the Proxmox VE API, for containers.
//
// A [Client] is written once, over a [Transport]: HTTPS with an API token (package rest) or the simulator
// (package sim) carry its requests; what no token may do is the privileged lane's (package privileged). Reads
// return what Proxmox says and nothing made up; a mutation that Proxmox runs as a task returns its [UPID], and
// success is known only after [Client.WaitTask]. The package never decides what should be changed.
//
// Behaviour is that of Proxmox VE 9.2 (pve-manager 9.2.11, pve-container 6.1.10).
package proxmox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
)

// A Transport carries one request to the API and returns the "data" of its answer.
//
// The error of an answer other than 200 is an [*APIError]; that of a request which was not answered matches
// [ErrUnreachable], and [ErrOutcomeUnknown] too where a mutation may have been carried out. A transport may
// repeat a read; it never sends a mutation twice. It is safe for use by many goroutines.
type Transport interface {
	Do(ctx context.Context, r Request) (json.RawMessage, error)
}

// A Request is one call of the API.
type Request struct {
	Method string     // GET, POST, PUT or DELETE
	Path   string     // below /api2/json, each element percent-encoded: "/nodes/pve1/lxc/101/config"
	Params url.Values // query of GET and DELETE, form of POST and PUT; unencoded
}

// IsRead reports whether the request changes nothing.
func (r Request) IsRead() bool { return r.Method == "GET" }

// String is the method and path, without parameters, which may be secret.
func (r Request) String() string { return r.Method + " " + r.Path }

// Format prints String for every verb.
func (r Request) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, 's'), r.String())
}

// A VMID is the number that identifies a guest in a cluster: 100 to 999999999.
type VMID int

// The range of VMIDs (pve-common JSONSchema.pm, pve-vmid).
const (
	MinVMID VMID = 100
	MaxVMID VMID = 999999999
)

// String is the number in decimal.
func (id VMID) String() string { return strconv.Itoa(int(id)) }

// A Ref says where a guest is: its node, for the path of requests, and its VMID.
type Ref struct {
	Node string
	ID   VMID
}

// String is "101 on pve1".
func (r Ref) String() string { return fmt.Sprintf("%d on %s", r.ID, r.Node) }

func (r Ref) path(tail string) string {
	return "/nodes/" + url.PathEscape(r.Node) + "/lxc/" + r.ID.String() + tail
}
