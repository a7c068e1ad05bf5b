package app

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// volumeFlag is --destroy-volume: the consent to destroy one volume of one container, which may be given
// several times.
type volumeFlag map[proxmox.VMID][]string

// String implements pflag.Value.
func (v *volumeFlag) String() string {
	var out []string
	for id, volumes := range *v {
		for _, volume := range volumes {
			out = append(out, fmt.Sprintf("%d:%s", id, volume))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// Type implements pflag.Value.
func (*volumeFlag) Type() string { return "ID:VOLUME" }

// Set implements pflag.Value.
func (v *volumeFlag) Set(s string) error {
	id, volume, _ := strings.Cut(s, ":")
	n, err := strconv.Atoi(id)
	if err != nil || !strings.Contains(volume, ":") {
		return fmt.Errorf("%q is not a container and its volume: write for example 101:local-zfs:subvol-101-disk-1", s)
	}
	if *v == nil {
		*v = volumeFlag{}
	}
	(*v)[proxmox.VMID(n)] = append((*v)[proxmox.VMID(n)], volume)
	return nil
}
