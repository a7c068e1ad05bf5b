package retention

import (
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// A Shelf is the backups of a container on one storage, told as snapshots, so that the same rules decide about them.
type Shelf struct {
	List    []proxmox.Snapshot
	Volumes map[string]string // of each in List, by its name
}

// Shelve tells backups as snapshots. One that a policy took in place of a snapshot has the policy's marker as its notes,
// whole; it gets the name that the snapshot would have. Any other is named by its volume, which is no snapshot's name, so
// that it is nobody's: never dropped, never counted. So is one that is protected, though it is told as held. One that the
// backup server still writes has no size yet, and is incomplete (pve-storage PBSPlugin.pm, list_volumes, says 1).
func (p Policy) Shelve(list []proxmox.Volume) Shelf {
	out := Shelf{Volumes: map[string]string{}}
	for _, v := range list {
		s := proxmox.Snapshot{Name: v.ID, Time: v.Created, Description: v.Notes}
		if m, ok := ParseMarker(v.Notes); ok && strings.TrimSpace(v.Notes) == m.String() && m.Owner == p.Owner {
			s.Name = Name{Prefix: p.Prefix, Policy: m.Policy, At: v.Created.Truncate(time.Second)}.String()
		}
		if v.Protected {
			s.Description += "\nhold"
		}
		if v.Size <= 1 {
			s.State = "prepare"
		}
		out.List = append(out.List, s)
		out.Volumes[s.Name] = v.ID
	}
	return out
}
