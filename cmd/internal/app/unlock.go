package app

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// unlockFlag is --unlock: the consent to recover one container that is stuck, with the snapshot where it is to be rolled
// back. It may be given several times.
type unlockFlag map[proxmox.VMID]string

// String implements pflag.Value.
func (u *unlockFlag) String() string {
	var out []string
	for id, snapshot := range *u {
		out = append(out, strings.TrimSuffix(id.String()+":"+snapshot, ":"))
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// Type implements pflag.Value.
func (*unlockFlag) Type() string { return "ID[:SNAPSHOT]" }

// Set implements pflag.Value.
func (u *unlockFlag) Set(s string) error {
	id, snapshot, _ := strings.Cut(s, ":")
	n, err := strconv.Atoi(id)
	if err != nil || n < int(proxmox.MinVMID) || n > int(proxmox.MaxVMID) || strings.HasSuffix(s, ":") {
		return fmt.Errorf("%q is no container: write for example 101, or 101:nightly", s)
	}
	if *u == nil {
		*u = unlockFlag{}
	}
	(*u)[proxmox.VMID(n)] = snapshot
	return nil
}
