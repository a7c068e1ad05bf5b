package sim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// A File is a file of a node, besides those that the state holds in other ways.
type File struct {
	Mode    fs.FileMode `yaml:"mode"`
	Content string      `yaml:"content"`
}

var (
	confPath = regexp.MustCompile(`^/etc/pve/nodes/([^/]+)/lxc/(\d+)\.conf$`)
	lockPath = regexp.MustCompile(`^/run/lock/lxc/pve-config-(\d+)\.lock$`)
)

// confMode is what pmxcfs gives every file (pve-cluster pmxcfs.c, cfs_fuse_getattr).
const confMode fs.FileMode = 0o640

// guestOf is the container whose configuration file a path is.
func (r *Root) guestOf(name string) (*guest, bool, error) {
	m := confPath.FindStringSubmatch(name)
	if m == nil {
		return nil, false, nil
	}
	id, err := parseVMID(m[2])
	if err != nil {
		return nil, true, err
	}
	g, err := r.sim.container(m[1], id)
	if err != nil {
		return nil, true, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return g, true, nil
}

// ReadFile reads a file: a container's configuration, or one that was written before.
func (r *Root) ReadFile(name string) ([]byte, fs.FileMode, error) {
	r.sim.mu.RLock()
	defer r.sim.mu.RUnlock()
	return r.read(name)
}

// holder is the node whose state holds a file: for one of the cluster the node that is asked by default, whoever writes.
func (r *Root) holder(name string) *Node {
	if local := r.sim.st.Nodes[r.sim.st.Cluster.Local]; local != nil && r.sim.st.Nodes[r.node] != nil && strings.HasPrefix(name, "/etc/pve/") {
		return local
	}
	return r.sim.st.Nodes[r.node]
}

func (r *Root) read(name string) ([]byte, fs.FileMode, error) {
	if g, ok, err := r.guestOf(name); ok {
		if err != nil {
			return nil, 0, err
		}
		return []byte(g.raw), confMode, nil
	}
	if text, ok := r.process(name); ok {
		return text, 0o444, nil
	}
	n := r.holder(name)
	if n == nil || n.Files[name] == nil {
		return nil, 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return []byte(n.Files[name].Content), n.Files[name].Mode, nil
}

// ReplaceFile writes a file. Where old is not nil, the file must hold it. A configuration file must be there already:
// no other way makes a container than a create.
func (r *Root) ReplaceFile(name string, old, data []byte, mode fs.FileMode) error {
	if !path.IsAbs(name) || path.Clean(name) != name {
		return fmt.Errorf("%q is not a plain absolute path", name)
	}
	if f := r.sim.opts.StorageFault; f != nil {
		if err := f("write " + name); err != nil {
			return fmt.Errorf("%s: nothing was changed: %w", name, err)
		}
	}
	r.sim.mu.Lock()
	err := r.replace(name, old, data, mode)
	r.sim.mu.Unlock()
	if err != nil {
		return err
	}
	return r.sim.store.sync()
}

func (r *Root) replace(name string, old, data []byte, mode fs.FileMode) error {
	if old != nil {
		now, _, err := r.read(name)
		if err != nil {
			return err
		}
		if string(now) != string(old) {
			return fmt.Errorf("%s: somebody else wrote it meanwhile: %w", name, proxmox.ErrModified)
		}
	}
	g, isConf, err := r.guestOf(name)
	n := r.holder(name)
	switch {
	case err != nil:
		return err
	case isConf:
		g.raw = string(data)
		g.conf = parseConf(g.raw, func(text string) { r.sim.warn("vm %d - %s", g.id, text) })
		r.sim.changed(g)
		return nil
	case n == nil:
		return fmt.Errorf("there is no node %s", r.node)
	}
	if n.Files == nil {
		n.Files = map[string]*File{}
	}
	n.Files[name] = &File{Mode: mode, Content: string(data)}
	r.listSnippet(name)
	r.sim.store.touch()
	return nil
}

// listSnippet makes a file that lies among the snippets of a storage one that the storage shows.
func (r *Root) listSnippet(name string) {
	for _, id := range slices.Sorted(maps.Keys(r.sim.st.Storages)) {
		cfg := r.sim.st.Storages[id]
		file, below := strings.CutPrefix(name, cfg.Path+"/snippets/")
		volid := id + ":snippets/" + file
		if cfg.Path != "" && below && !strings.Contains(file, "/") && !slices.Contains(r.sim.st.Snippets, volid) {
			r.sim.st.Snippets = append(r.sim.st.Snippets, volid)
		}
	}
}

// RemoveFile removes a file that was written before; one that is absent is no error.
func (r *Root) RemoveFile(name string) error {
	if confPath.MatchString(name) {
		return fmt.Errorf("%s: a container is destroyed by a call", name)
	}
	r.sim.mu.Lock()
	if n := r.holder(name); n != nil && n.Files[name] != nil {
		delete(n.Files, name)
		r.sim.store.touch()
	}
	r.sim.mu.Unlock()
	return r.sim.store.sync()
}

// Lock takes the file lock of a container, which tasks and calls hold too; wait is how long it waits for it.
func (r *Root) Lock(ctx context.Context, name string, wait time.Duration) (unlock func(), err error) {
	m := lockPath.FindStringSubmatch(name)
	if m == nil {
		return nil, fmt.Errorf("the simulator has no lock %s", name)
	}
	id, err := parseVMID(m[1])
	if err != nil {
		return nil, err
	}
	s := r.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.lockGuest(ctx, nil, id, wait); err != nil {
		if f := (*fault)(nil); errors.As(err, &f) {
			return nil, fmt.Errorf("%w: %w", proxmox.ErrBusy, err)
		}
		return nil, err
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.unlockGuest(id)
	}, nil
}
