package lane

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// containers are those whose configuration is on this node.
func (l Lane) containers() ([]proxmox.VMID, error) {
	names, err := l.Backend.ListDir("/etc/pve/nodes/" + l.Backend.Node() + "/lxc")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var out []proxmox.VMID
	for _, name := range names {
		base, isConf := strings.CutSuffix(name, ".conf")
		if id, err := strconv.Atoi(base); isConf && err == nil {
			out = append(out, proxmox.VMID(id))
		}
	}
	return out, nil
}

// runningUses are the containers whose processes see a file system that is mounted: by the tables of their own mounts,
// since what is configured may have changed while they run. A process that ends meanwhile uses nothing.
func (l Lane) runningUses(ctx context.Context, devices map[string]string) (out []proxmox.PathUse, err error) {
	pids, err := l.Backend.ListDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	seen := map[proxmox.VMID]bool{}
	for _, pid := range pids {
		if strings.Trim(pid, "0123456789") != "" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		cgroup, _, err := l.Backend.ReadFile("/proc/" + pid + "/cgroup")
		id := privileged.GuestOfProcess(cgroup)
		if err != nil || id == 0 || seen[id] {
			continue
		}
		table, _, err := l.Backend.ReadFile("/proc/" + pid + "/mountinfo")
		if err != nil {
			continue
		}
		seen[id] = true // all processes of a container see the same, but for those that hide something from themselves
		for where, device := range devices {
			if device != "" && privileged.HasDevice(table, device) {
				out = append(out, proxmox.PathUse{Path: where, Guest: id, Running: true})
			}
		}
	}
	return out, nil
}

func comparePathUse(a, b proxmox.PathUse) int {
	return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Guest, b.Guest), strings.Compare(a.Storage, b.Storage), cmp.Compare(b2i(a.Running), b2i(b.Running)))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// readMounts reads what there is of host mounts.
func (l Lane) readMounts(ctx context.Context, r privileged.ReadMounts) (privileged.Result, error) {
	out := proxmox.NodeMounts{Found: map[string]proxmox.FileSystem{}}
	var err error
	if out.FileSystems, err = l.fileSystems(ctx, ""); err != nil {
		return privileged.Result{}, err
	}
	for _, name := range r.Devices {
		found, _, err := l.device(ctx, name)
		if err != nil {
			return privileged.Result{}, err
		}
		if len(found) == 1 {
			out.Found[name] = found[0]
		}
	}
	devices := map[string]string{}
	if err := l.ourMounts(ctx, &out, devices); err != nil {
		return privileged.Result{}, err
	}
	if out.Uses, err = l.uses(ctx, devices); err != nil {
		return privileged.Result{}, err
	}
	text, err := json.Marshal(out)
	return privileged.Result{Output: text}, err
}

// ourMounts reads the units of host mounts and tells what else is mounted from what they made.
func (l Lane) ourMounts(ctx context.Context, out *proxmox.NodeMounts, devices map[string]string) error {
	names, err := l.Backend.ListDir(privileged.UnitDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list units: %w", err)
	}
	others := map[string]string{}
	for _, name := range names {
		if !strings.HasSuffix(name, ".mount") {
			continue
		}
		text, _, err := l.Backend.ReadFile(privileged.UnitDir + "/" + name)
		if err != nil {
			continue // a link to a unit elsewhere is none of tend's
		}
		m, owner, ours := privileged.ParseUnit(text)
		if !ours || name != privileged.UnitName(m.Path) {
			others[m.Path] = m.Device + ", in the unit " + name
			continue
		}
		status, device, err := l.status(ctx, m, owner)
		if err != nil {
			return err
		}
		out.Mounts, devices[m.Path] = append(out.Mounts, status), device
	}
	list, err := l.run(ctx, privileged.MountedCommand("", ""))
	if err != nil {
		return err
	}
	all, err := privileged.ParseMounted(list.stdout)
	if err != nil {
		return err
	}
	for _, m := range all {
		others[m.Target] = m.String()
	}
	fstab, err := l.fstab()
	if err != nil {
		return err
	}
	for where, what := range fstab {
		others[where] = what + ", in /etc/fstab"
	}
	for where, by := range others {
		_, ours := devices[where]
		if _, listed := fstab[where]; proxmox.InMountPlaces(where) && (!ours || listed) {
			out.Others = append(out.Others, proxmox.OtherMount{Path: where, By: by})
		}
	}
	slices.SortFunc(out.Others, func(a, b proxmox.OtherMount) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// status is how a host mount of tend is, with the number of the device that is mounted.
func (l Lane) status(ctx context.Context, m proxmox.HostMount, owner string) (s proxmox.MountStatus, device string, err error) {
	s = proxmox.MountStatus{HostMount: m, Owner: owner}
	enabled, err := l.run(ctx, privileged.UnitCommand(privileged.UnitIsEnabled, m.Path))
	if err != nil {
		return s, "", err
	}
	s.Enabled = enabled.exit == 0
	at, err := l.mounted(ctx, m.Path, "")
	if err != nil || at == nil {
		return s, "", err
	}
	s.Mounted = at.String()
	s.Right, err = l.right(ctx, m)
	return s, at.Device, err
}

// readSnippets reads what is in place of snippets. One that cannot be read says so, and keeps none of the others from
// being read.
func (l Lane) readSnippets(ctx context.Context, r privileged.ReadSnippets) (privileged.Result, error) {
	out := map[string]proxmox.SnippetStatus{}
	for _, volume := range r.Volumes {
		where, err := l.snippetPath(ctx, volume)
		if ctx.Err() != nil {
			return privileged.Result{}, ctx.Err()
		}
		var data []byte
		var mode fs.FileMode
		if err == nil {
			data, mode, err = l.Backend.ReadFile(where)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			out[volume] = proxmox.SnippetStatus{}
		case err != nil:
			out[volume] = proxmox.SnippetStatus{Broken: err.Error()}
		default:
			sum := sha256.Sum256(data)
			out[volume] = proxmox.SnippetStatus{SHA256: hex.EncodeToString(sum[:]), Executable: mode.Perm() == scriptMode}
		}
	}
	text, err := json.Marshal(out)
	return privileged.Result{Output: text}, err
}
