package sim

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
)

// A storageKind is what a type of storage can do with the volumes of containers (pve-storage, volume_has_feature of
// the plugins). Features name the states of a volume in which they are there: c as it is, b as a base image, s at
// a snapshot.
type storageKind struct {
	label    string // in texts
	files    bool   // volumes are files below a path
	shared   bool   // the same on all nodes by its nature
	thick    bool   // a volume takes its whole size at once
	created  string // a tool prints that a volume was created
	noVolume bool   // holds no volumes of guests
	features map[string]string
	// newest: only the newest snapshot can be rolled back to
	newest bool
	// linked: the name of a linked clone begins with that of its base
	linked bool
}

var fileFeatures = map[string]string{"template": "c", "copy": "cb", "sparseinit": "cb", "rename": "c"}

var storageKinds = map[string]*storageKind{
	"dir":    {label: "directory", files: true, features: fileFeatures},
	"nfs":    {label: "directory", files: true, shared: true, features: fileFeatures},
	"cifs":   {label: "directory", files: true, shared: true, features: fileFeatures},
	"cephfs": {label: "directory", files: true, shared: true, features: fileFeatures},
	"btrfs": {label: "directory", files: true, features: map[string]string{
		"snapshot": "cs", "clone": "cbs",
		"template": "c", "copy": "cbs", "sparseinit": "cb", "rename": "c",
	}},
	"zfspool": {label: "zfs", newest: true, linked: true, features: map[string]string{
		"snapshot": "cs", "clone": "b",
		"template": "c", "copy": "cb", "sparseinit": "cb", "replicate": "cb", "rename": "c",
	}},
	"lvm": {label: "lvm", thick: true, created: "Logical volume", features: map[string]string{"copy": "cb", "rename": "c"}},
	"lvmthin": {label: "lvm", created: "Logical volume", features: map[string]string{
		"snapshot": "c", "clone": "bs",
		"template": "c", "copy": "cbs", "sparseinit": "cb", "rename": "c",
	}},
	"rbd": {label: "rbd", shared: true, linked: true, features: map[string]string{
		"snapshot": "cs", "clone": "bs",
		"template": "c", "copy": "cbs", "sparseinit": "cb", "rename": "c",
	}},
	"pbs": {label: "pbs", shared: true, noVolume: true},
}

// storageOp asks the test's fault before an operation on a storage; t is the worker, if there is one.
func (s *Sim) storageOp(t *task, op string) error {
	if s.opts.StorageFault == nil {
		return nil
	}
	err := s.opts.StorageFault(op)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrKill) && t != nil:
		s.mu.Unlock()
		runtime.Goexit()
	}
	return dief("%s", strings.TrimSuffix(err.Error(), "\n"))
}

// snapshotError is what the tool of a storage says of a snapshot that exists already, or is missing.
func (s *Sim) snapshotError(volid, snapshot, what string) error {
	id, name, _ := strings.Cut(volid, ":")
	cfg := s.st.Storages[id]
	exists := what == "exists"
	switch {
	case cfg.Type == "zfspool" && exists:
		return dief("zfs error: cannot create snapshot '%s@%s': dataset already exists", volid, snapshot)
	case cfg.Type == "zfspool":
		return dief("zfs error: could not find any snapshots to destroy; check snapshot names.")
	case cfg.Type == "lvmthin" && exists:
		return dief("lvcreate snapshot '%s/snap_%s_%s' error:   Logical Volume \"snap_%s_%s\" already exists in volume group \"%s\"",
			cfg.VGName, name, snapshot, name, snapshot, cfg.VGName)
	case cfg.Type == "lvmthin":
		return dief("lvremove snapshot '%s/snap_%s_%s' error:   Failed to find logical volume \"%s/snap_%s_%s\"",
			cfg.VGName, name, snapshot, cfg.VGName, name, snapshot)
	case cfg.Type == "rbd" && exists:
		return dief("rbd snapshot '%s' error: rbd: failed to create snapshot: (17) File exists", name)
	case cfg.Type == "rbd":
		return dief("rbd snapshot '%s' error: rbd: failed to remove snapshot: (2) No such file or directory", snapshot)
	case exists:
		return dief("snapshot '%s' already exists on '%s'", snapshot, volid)
	}
	return dief("snapshot '%s' does not exist on '%s'", snapshot, volid)
}

// storage finds an entry of the storage configuration (Storage.pm, storage_config).
func (s *Sim) storage(id string) (*Storage, error) {
	if id == "" {
		return nil, dief("no storage ID specified")
	}
	cfg := s.st.Storages[id]
	if cfg == nil {
		return nil, dief("storage '%s' does not exist", id)
	}
	return cfg, nil
}

// enabledStorage also asks whether it is enabled and there on the node (Storage.pm, storage_check_enabled).
func (s *Sim) enabledStorage(id, nodeName string) (*Storage, error) {
	cfg, err := s.storage(id)
	switch {
	case err != nil:
		return nil, err
	case cfg.Disable:
		return nil, dief("storage '%s' is disabled", id)
	case !cfg.onNode(nodeName):
		return nil, dief("storage '%s' is not available on node '%s'", id, nodeName)
	}
	return cfg, nil
}

func (cfg *Storage) onNode(name string) bool {
	return len(cfg.Nodes) == 0 || slices.Contains(cfg.Nodes, name)
}

func (cfg *Storage) holds(content string) bool { return slices.Contains(cfg.Content, content) }

func (cfg *Storage) isShared() bool { return cfg.Shared || storageKinds[cfg.Type].shared }

// hasFeature asks a storage whether it can do something with a volume, or with its snapshot
// (Storage.pm, volume_has_feature). A path on the node can nothing.
func (s *Sim) hasFeature(feature, volid, snapshot string) bool {
	if classify(volid) != volumeMount {
		return false
	}
	n, err := s.parseVolume(volid)
	if err != nil {
		return false
	}
	cfg := s.st.Storages[n.storage]
	kind := storageKinds[cfg.Type]
	state := "c"
	switch {
	case snapshot != "":
		state = "s"
	case n.isBase:
		state = "b"
	}
	if !strings.Contains(kind.features[feature], state) {
		return false
	}
	switch {
	case kind.files && cfg.Type != "btrfs" && n.format == "subvol":
		return feature == "template"
	case cfg.Type == "btrfs" && feature == "clone" && state != "b", cfg.Type == "btrfs" && feature == "rename":
		return n.format == "raw"
	}
	return true
}

const defaultTotal = 256 << 30

func (cfg *Storage) total() int64 {
	if cfg.Total > 0 {
		return int64(cfg.Total)
	}
	return defaultTotal
}

// usedBytes is what is taken of a storage: by other things, and by its volumes and backups.
func (s *Sim) usedBytes(id string) int64 {
	cfg := s.st.Storages[id]
	used := int64(cfg.Used)
	prefix := id + ":"
	for volid, v := range s.st.Volumes {
		if strings.HasPrefix(volid, prefix) {
			if storageKinds[cfg.Type].thick {
				used += int64(v.Size)
			} else {
				used += int64(v.Used)
			}
		}
	}
	for volid, b := range s.st.Backups {
		if strings.HasPrefix(volid, prefix) {
			used += int64(b.Size)
		}
	}
	return min(used, cfg.total())
}

func (s *Sim) freeBytes(id string) int64 { return s.st.Storages[id].total() - s.usedBytes(id) }

const extent = 4 << 20 // of a volume group

// checkSpace refuses a volume that a storage which allocates at once has no room for.
func (s *Sim) checkSpace(id, name string, size int64) error {
	cfg := s.st.Storages[id]
	if !storageKinds[cfg.Type].thick {
		return nil
	}
	if free := s.freeBytes(id); free < size {
		return dief("lvcreate '%s/%s' error:   Volume group \"%s\" has insufficient free space (%d extents): %d required.",
			cfg.VGName, name, cfg.VGName, free/extent, ceilDiv(size, extent))
	}
	return nil
}

// writeBytes lets a volume grow by what is written to it, or fails as a full disk does.
func (s *Sim) writeBytes(volid string, n int64, what string) error {
	v := s.st.Volumes[volid]
	if v == nil {
		return nil
	}
	id, _, err := splitVolid(volid)
	if err != nil {
		return err
	}
	if !storageKinds[s.st.Storages[id].Type].thick && s.freeBytes(id) < n {
		return dief("%s", what)
	}
	v.Used += Bytes(n)
	s.store.touch()
	return nil
}

// contentText is the content of a storage as one text.
func (cfg *Storage) contentText() string { return strings.Join(cfg.Content, ",") }

// FillStorage sets how much room a storage has left, as other users of it would.
func (s *Sim) FillStorage(id string, free int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := s.st.Storages[id]
	if cfg == nil {
		return fmt.Errorf("fill storage %q: there is none", id)
	}
	cfg.Used = 0
	cfg.Used = Bytes(max(0, cfg.total()-s.usedBytes(id)-free))
	s.store.touch()
	return nil
}
