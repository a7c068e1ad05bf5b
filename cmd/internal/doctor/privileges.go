package doctor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/rest"
)

// A need is a privilege that some of tend's work takes.
type need struct {
	privilege, path string
	why             string // what does not work without it
	level           Level  // how bad its lack is
}

// needs are those of the work on containers (pve-container API2/LXC.pm and LXC.pm, check_ct_modify_config_perm).
func needs() []need {
	return []need{
		{"VM.Audit", "/vms", "to see containers at all", Failed},
		{"VM.Allocate", "/vms", "to create and destroy containers", Blocking},
		{"VM.Config.Disk", "/vms", "to create containers, add and grow volumes", Blocking},
		{"VM.Config.CPU", "/vms", "to set cores and CPU limits", Blocking},
		{"VM.Config.Memory", "/vms", "to set memory and swap", Blocking},
		{"VM.Config.Network", "/vms", "to set interfaces, host name and DNS", Blocking},
		{"VM.Config.Options", "/vms", "to set features, tags, start options and all else", Blocking},
		{"VM.PowerMgmt", "/vms", "to start, stop and restart", Blocking},
		{"Datastore.AllocateSpace", "/storage", "to make volumes", Blocking},
		{"Datastore.Audit", "/storage", "to see storages and templates before a create is tried", Warning},
		{"SDN.Use", "/sdn", "to plug interfaces into bridges", Blocking},
		{"Sys.Audit", "/nodes", "to read the nodes' clocks, and to follow many tasks with one request", Warning},
		{"VM.Snapshot", "/vms", "to take and delete snapshots", Warning},
		{"VM.Snapshot.Rollback", "/vms", "to roll back to a snapshot, as with --task", Note},
		{"VM.Clone", "/vms", "to make containers as clones", Note},
		{"VM.Backup", "/vms", "to recreate containers (lifecycle.recreate), and to restore backups of others", Note},
		{"VM.Migrate", "/vms", "to move containers to another node", Note},
		{"Datastore.AllocateTemplate", "/storage", "to download templates and pull images", Note},
		{"Sys.AccessNetwork", "/nodes", "to download templates from a URL and to pull images", Note},
		{"Sys.Modify", "/", "to create privileged containers, and to keep backup jobs", Note},
	}
}

func (d *Doctor) privileges(ctx context.Context) {
	have, err := d.client.Permissions(ctx, "")
	if err != nil {
		d.add(Warning, "privileges", hint(err), "cannot be read: %v", err)
		return
	}
	missing := 0
	for _, n := range needs() {
		if have.Allows(n.path, n.privilege) {
			continue
		}
		missing++
		hint := "add it to the role of the token and, where privileges are separated, of its user; tend doctor --role PATH prints the roles that a spec needs"
		if below := partly(have, n); below != "" {
			d.add(Note, "privileges", "", "%s is there on %s only: needed %s", n.privilege, below, n.why)
			continue
		}
		if n.level == Note {
			hint = ""
		}
		d.add(n.level, "privileges", hint, "%s on %s is missing: needed %s", n.privilege, n.path, n.why)
	}
	if missing == 0 {
		d.add(OK, "privileges", "", "all that tend uses are there")
	}
	d.add(Note, "privileges", "", "whatever the token, only root@pam may set features other than nesting, bind mounts, devices and hook scripts")
}

// partly names the paths below the one of a need, or of pools, that have the privilege.
func partly(have proxmox.Permissions, n need) string {
	var below []string
	for _, path := range slices.Sorted(maps.Keys(have)) {
		if _, listed := have[path][n.privilege]; listed && strings.HasPrefix(path, strings.TrimSuffix(n.path, "/")+"/") || listed && strings.HasPrefix(path, "/pool/") {
			below = append(below, path)
		}
	}
	if len(below) > 3 {
		below = append(below[:3], "…")
	}
	return strings.Join(below, ", ")
}

// hint is what to do about an error.
func hint(err error) string {
	var api *proxmox.APIError
	var cert *rest.TLSError
	switch {
	case errors.As(err, &cert):
		return config.Trust(cert.Presented)
	case errors.Is(err, proxmox.ErrUnauthorized):
		return "the token is wrong, expired or disabled: look at its id and secret (pveum user token list USER)"
	case errors.As(err, &api) && !api.Missing.IsZero():
		return "give the token the privilege: " + api.Missing.String()
	case errors.Is(err, proxmox.ErrUnreachable):
		return "is the endpoint right, the node up, and its port reachable from here?"
	}
	return ""
}
