package lane

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// scriptMode is that of hook scripts: Proxmox runs them as root (pve-guest-common GuestHelpers.pm, exec_hookscript).
const scriptMode = 0o755

// putSnippet puts a hook script in place, where it is not there as it should be.
func (l Lane) putSnippet(ctx context.Context, r privileged.PutSnippet) (privileged.Result, error) {
	where, err := l.snippetPath(ctx, r.Volume)
	if err != nil {
		return privileged.Result{}, err
	}
	have, mode, err := l.Backend.ReadFile(where)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return privileged.Result{}, fmt.Errorf("read %s: %w", where, err)
	case err == nil && mode.Perm() == scriptMode && bytes.Equal(have, r.Content):
		return privileged.Result{}, nil
	}
	if err := l.Backend.ReplaceFile(where, nil, r.Content, scriptMode); err != nil {
		return privileged.Result{}, fmt.Errorf("write %s: %w", where, err)
	}
	have, mode, err = l.Backend.ReadFile(where)
	if err == nil && (mode.Perm() != scriptMode || !bytes.Equal(have, r.Content)) {
		err = fmt.Errorf("%s is not what was written: the storage does not keep it, or somebody else wrote it", where)
	}
	return privileged.Result{Changed: true}, err
}

// snippetPath is where the storage has a snippet.
func (l Lane) snippetPath(ctx context.Context, volume string) (string, error) {
	out, err := l.must(ctx, privileged.SnippetCommand(volume))
	if err != nil {
		return "", err
	}
	where := strings.TrimSuffix(string(out.stdout), "\n")
	_, name, _ := strings.Cut(volume, ":")
	if !path.IsAbs(where) || path.Clean(where) != where || !strings.HasSuffix(where, "/"+name) {
		return "", fmt.Errorf("pvesm says that it is at %.200q, which is no path of a snippet", where)
	}
	return where, nil
}

// readHealth reads a disk, the sensors or which disks there are. The exit status of smartctl is a mask: its lowest two bits say that it could
// not read (smartctl(8), exit status); the others say what it found, as its output does.
func (l Lane) readHealth(ctx context.Context, r privileged.ReadHealth) (privileged.Result, error) {
	if r.Disks {
		return l.readDisks(ctx)
	}
	c := privileged.Commands(r)[0]
	out, err := l.run(ctx, c)
	if err != nil {
		return privileged.Result{}, err
	}
	if !json.Valid(out.stdout) || out.exit != 0 && r.Sensors {
		return privileged.Result{}, fmt.Errorf("%s ended with exit status %d and printed no reading: %.200q", c.Argv[0], out.exit, out.stderr)
	}
	return privileged.Result{Exit: out.exit, Output: out.stdout}, nil
}

// readDisks reads which disks there are and what lies on them, with what the API does not tell: file systems, and what is
// mounted where.
func (l Lane) readDisks(ctx context.Context) (privileged.Result, error) {
	node := l.Backend.Node()
	disks, err := l.client().Disks(ctx, node, proxmox.DiskFilter{Partitions: true})
	if err != nil {
		return privileged.Result{}, err
	}
	list, err := l.run(ctx, privileged.MountedCommand("", ""))
	if err != nil {
		return privileged.Result{}, err
	}
	all, err := privileged.ParseMounted(list.stdout)
	if err != nil {
		return privileged.Result{}, err
	}
	mounts := []proxmox.NodeMount{}
	for _, m := range all {
		if strings.HasPrefix(m.Source, "/dev/") || m.Type == "zfs" || m.Target == "/" {
			mounts = append(mounts, proxmox.NodeMount{Source: m.Source, Path: m.Target, Type: m.Type})
		}
	}
	out := l.client().DiskLayout(ctx, node, disks, mounts)
	if out.FileSystems, err = l.fileSystems(ctx, ""); err != nil {
		return privileged.Result{}, err
	}
	text, err := json.Marshal(out)
	return privileged.Result{Output: text}, err
}
