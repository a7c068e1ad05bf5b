package sim

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A volName is what a volume's name says (pve-storage, parse_volname of the plugins).
type volName struct {
	storage string
	name    string // below the storage
	kind    string // images, iso, vztmpl, backup, snippets or import
	owner   proxmox.VMID
	owned   bool
	base    string // the base volume a linked clone's name begins with
	isBase  bool
	format  string
}

// splitVolid splits "storage:name".
func splitVolid(volid string) (storage, name string, err error) {
	m := volidText.FindStringSubmatch(volid)
	if m == nil {
		return "", "", dief("unable to parse volume ID '%s'", volid)
	}
	return m[1], m[2], nil
}

var (
	linkedFile   = regexp.MustCompile(`^([0-9]+)/(\S+)/([0-9]+)/(\S+)$`)
	ownedFile    = regexp.MustCompile(`^([0-9]+)/(\S+)$`)
	fileInDir    = regexp.MustCompile(`^(.+)\.(raw|qcow2|vmdk|subvol)$`)
	templateFile = regexp.MustCompile(`^vztmpl/([^/]+\.(?:tar(?:\.(?:gz|xz|zst|bz2|lzo))?|tgz))$`)
	isoFile      = regexp.MustCompile(`(?i)^iso/([^/]+\.(?:iso|img))$`)
	backupFile   = regexp.MustCompile(`^backup/([^/]+\.(?:tgz|(?:tar|vma)(?:\.(?:gz|lzo|zst|bz2))?))$`)
	backupOwner  = regexp.MustCompile(`^vzdump-(openvz|lxc|qemu)-([0-9]+)-.+`)
	snippetFile  = regexp.MustCompile(`^snippets/([^/]+)$`)
	blockVolume  = regexp.MustCompile(`^(?:((?:base|basevol)-[0-9]+-\S+)/)?((vm|base|subvol|basevol)-([0-9]+)-\S+)$`)
)

// parseVolume reads a volume id; the storage must exist.
func (s *Sim) parseVolume(volid string) (volName, error) {
	id, name, err := splitVolid(volid)
	if err != nil {
		return volName{}, err
	}
	cfg, err := s.storage(id)
	if err != nil {
		return volName{}, err
	}
	v := volName{storage: id, name: name}
	if storageKinds[cfg.Type].files {
		return v, v.parseFile()
	}
	if cfg.Type == "pbs" {
		return v, v.parseArchive()
	}
	return v, v.parseBlock(cfg.Type)
}

var pbsBackup = regexp.MustCompile(`^backup/([^\s_]+)/([^\s_]+)/([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)$`)

// parseArchive is pve-storage PBSPlugin.pm, parse_volname.
func (v *volName) parseArchive() error {
	m := pbsBackup.FindStringSubmatch(v.name)
	if m == nil {
		return dief("unable to parse PBS volume name '%s'", v.name)
	}
	v.kind, v.format = "backup", "pbs-"+m[1]
	if m[1] == "ct" || m[1] == "vm" {
		id, err := parseVMID(m[2])
		v.owner, v.owned = id, err == nil
	}
	return nil
}

func (v *volName) parseFile() error {
	if strings.Count(v.name, "/") > 2 {
		if m := linkedFile.FindStringSubmatch(v.name); m != nil {
			v.base = m[1] + "/" + m[2]
			return v.parseImage(m[3], m[4])
		}
	}
	if m := ownedFile.FindStringSubmatch(v.name); m != nil {
		return v.parseImage(m[1], m[2])
	}
	v.format = "raw"
	for kind, re := range map[string]*regexp.Regexp{"iso": isoFile, "vztmpl": templateFile, "snippets": snippetFile} {
		if re.MatchString(v.name) {
			v.kind = kind
			return nil
		}
	}
	if m := backupFile.FindStringSubmatch(v.name); m != nil {
		v.kind = "backup"
		if o := backupOwner.FindStringSubmatch(m[1]); o != nil {
			id, err := parseVMID(o[2])
			v.owner, v.owned = id, err == nil
		}
		return nil
	}
	return dief("unable to parse directory volume name '%s'", v.name)
}

func (v *volName) parseImage(owner, file string) error {
	m := fileInDir.FindStringSubmatch(file)
	if m == nil {
		return dief("unable to parse volume filename '%s'", file)
	}
	id, err := parseVMID(owner)
	if err != nil {
		return dief("unable to parse volume filename '%s'", file)
	}
	v.kind, v.owner, v.owned, v.format = "images", id, true, m[2]
	v.isBase = strings.HasPrefix(file, "base-") || strings.HasPrefix(file, "basevol-")
	return nil
}

func (v *volName) parseBlock(kind string) error {
	m := blockVolume.FindStringSubmatch(v.name)
	if m == nil {
		return dief("unable to parse %s volume name '%s'", storageKinds[kind].label, v.name)
	}
	id, err := parseVMID(m[4])
	if err != nil {
		return dief("unable to parse %s volume name '%s'", storageKinds[kind].label, v.name)
	}
	v.kind, v.owner, v.owned, v.base = "images", id, true, m[1]
	v.isBase = m[3] == "base" || m[3] == "basevol"
	v.format = "raw"
	if m[3] == "subvol" || m[3] == "basevol" {
		v.format = "subvol"
	}
	return nil
}

// indexVolume makes a volume findable by its owner.
func (s *Sim) indexVolume(volid string, v *Volume) {
	n, err := s.parseVolume(volid)
	if err != nil || !n.owned {
		return
	}
	if s.owned[n.owner] == nil {
		s.owned[n.owner] = map[string]*Volume{}
	}
	s.owned[n.owner][volid] = v
}

func (s *Sim) putVolume(volid string, v *Volume) {
	s.st.Volumes[volid] = v
	s.indexVolume(volid, v)
	s.store.touch()
}

func (s *Sim) dropVolume(volid string) {
	delete(s.st.Volumes, volid)
	if n, err := s.parseVolume(volid); err == nil {
		delete(s.owned[n.owner], volid)
		if len(s.owned[n.owner]) == 0 {
			delete(s.owned, n.owner)
		}
	}
	s.store.touch()
}

var diskNumber = regexp.MustCompile(`(?:vm|base|subvol|basevol)-([0-9]+)-disk-([0-9]+)(?:\.[a-z0-9]+)?$`)

// freeName is the name with the lowest number that no volume of the guest has on the storage
// (pve-storage Plugin.pm, get_next_vm_diskname).
func (s *Sim) freeName(storage string, owner proxmox.VMID, format string) string {
	taken := map[int]bool{}
	for volid := range s.owned[owner] {
		id, name, _ := strings.Cut(volid, ":")
		if m := diskNumber.FindStringSubmatch(name); id == storage && m != nil && m[1] == owner.String() {
			n, _ := strconv.Atoi(m[2])
			taken[n] = true
		}
	}
	i := 0
	for taken[i] {
		i++
	}
	prefix := "vm"
	if format == "subvol" {
		prefix = "subvol"
	}
	name := fmt.Sprintf("%s-%d-disk-%d", prefix, owner, i)
	if storageKinds[s.st.Storages[storage].Type].files {
		return fmt.Sprintf("%d/%s.%s", owner, name, format)
	}
	return name
}

// allocate makes a new volume for a container and a file system on it (pve-container LXC.pm, alloc_disk); log gets
// what the tools print.
func (s *Sim) allocate(storage, nodeName string, owner proxmox.VMID, sizeKB int64, log func(...string)) (string, error) {
	cfg, err := s.storage(storage)
	if err != nil {
		return "", err
	}
	kind := storageKinds[cfg.Type]
	format := "raw"
	switch {
	case !slices.Contains(cfg.Content, "rootdir"):
		return "", dief("content type 'rootdir' is not available or configured on storage '%s'", storage)
	case kind.files && (sizeKB == 0 || cfg.Type == "btrfs" && cfg.Quotas), cfg.Type == "zfspool":
		format = "subvol"
	}
	name := s.freeName(storage, owner, format)
	volid := storage + ":" + name
	size := sizeKB * 1024
	v := &Volume{Size: Bytes(size), CTime: s.opts.Now().Unix()}
	if !cfg.Shared && !kind.shared {
		v.Node = nodeName
	}
	if err := s.storageOp(nil, "alloc "+volid); err != nil {
		return "", err
	}
	if err := s.checkSpace(storage, name, size); err != nil {
		return "", err
	}
	if cfg.Type == "dir" && format == "raw" || kind.shared && kind.files && format == "raw" {
		log(fmt.Sprintf("Formatting '%s', fmt=raw size=%d preallocation=off", s.volumePath(volid), size))
	}
	if kind.created != "" {
		log(fmt.Sprintf("  Logical volume \"%s\" created.", name))
	}
	if format == "raw" {
		fs := newExt4(size)
		if s.freeBytes(storage) < fs.used() {
			log("mkfs.ext4: No space left on device while writing out and closing file system")
			return "", dief("command 'mkfs.ext4 -O mmp -E 'root_owner=100000:100000' %s' failed: exit code 1", s.volumePath(volid))
		}
		log(fs.mkfsLog(s.uuid())...)
		v.Used = Bytes(fs.used())
	}
	s.putVolume(volid, v)
	return volid, nil
}

// freeVolume frees a volume (pve-storage Storage.pm, vdisk_free).
func (s *Sim) freeVolume(volid string) error {
	n, err := s.parseVolume(volid)
	if err != nil {
		return err
	}
	if n.isBase {
		for other := range s.st.Volumes {
			if o, err := s.parseVolume(other); err == nil && o.storage == n.storage && o.base == n.name {
				return dief("base volume '%s' is still in use by linked clones", n.name)
			}
		}
	}
	if err := s.storageOp(nil, "free "+volid); err != nil {
		return err
	}
	if s.st.Volumes[volid] == nil {
		// What is no file any more is only warned of (pve-storage Plugin.pm, free_image).
		if kind := s.st.Storages[n.storage].Type; storageKinds[kind].files && kind != "btrfs" {
			s.warn("%v", s.missingVolume(volid, n))
			return nil
		}
		return s.missingVolume(volid, n)
	}
	s.dropVolume(volid)
	return nil
}

func (s *Sim) missingVolume(volid string, n volName) error {
	if storageKinds[s.st.Storages[n.storage].Type].files {
		return dief("disk image '%s' does not exist", s.volumePath(volid))
	}
	return dief("volume '%s' does not exist", volid)
}

// freeOwned frees a volume if the container owns it (LXC.pm, delete_mountpoint_volume).
func (s *Sim) freeOwned(owner proxmox.VMID, volume string, warn func(string)) error {
	if classify(volume) != volumeMount {
		return nil
	}
	n, err := s.parseVolume(volume)
	if err != nil {
		return err
	}
	if n.owner != owner {
		warn(fmt.Sprintf("ignore deletion of '%s', CT %d isn't the owner!", volume, owner))
		return nil
	}
	return s.freeVolume(volume)
}

// volumeSize is the size the storage tells (Storage.pm, volume_size_info).
func (s *Sim) volumeSize(volid string) (int64, bool) {
	v := s.st.Volumes[volid]
	if v == nil {
		return 0, false
	}
	return int64(v.Size), true
}

// toldUse is what a storage tells of the room that a volume takes (pve-storage, volume_size_info of the plugins): LVM,
// thin or not, and subvolumes of Btrfs tell nothing.
func (s *Sim) toldUse(n volName, v *Volume) int64 {
	switch kind := s.st.Storages[n.storage].Type; {
	case kind == "lvm", kind == "lvmthin", kind == "btrfs" && n.format == "subvol":
		return 0
	}
	return int64(v.Used)
}

// written is how much lies in a volume, without what its file system takes for itself.
func (s *Sim) written(volid string) int64 {
	v := s.st.Volumes[volid]
	if n, err := s.parseVolume(volid); err == nil && n.format == "raw" {
		return max(0, int64(v.Used)-int64(FileSystem(v.Size)))
	}
	return int64(v.Used)
}

// volumePath is where a volume lies on the node.
func (s *Sim) volumePath(volid string) string {
	id, name, _ := strings.Cut(volid, ":")
	cfg := s.st.Storages[id]
	if cfg == nil {
		return volid
	}
	dir, file, _ := strings.Cut(name, "/")
	switch {
	case cfg.Type == "zfspool":
		return "/" + cfg.Pool + "/" + name
	case cfg.Type == "lvm" || cfg.Type == "lvmthin":
		return "/dev/" + cfg.VGName + "/" + name
	case cfg.Type == "rbd":
		return "/dev/rbd-pve/" + cfg.Pool + "/" + name
	case cfg.Type == "pbs":
		return "pbs://" + id + "/" + file
	case dir == "vztmpl":
		return cfg.Path + "/template/cache/" + file
	case dir == "iso":
		return cfg.Path + "/template/iso/" + file
	case dir == "backup":
		return cfg.Path + "/dump/" + file
	case dir == "snippets":
		return cfg.Path + "/snippets/" + file
	case cfg.Type == "btrfs" && strings.HasSuffix(file, ".raw"):
		return cfg.Path + "/images/" + strings.TrimSuffix(name, ".raw") + "/disk.raw"
	}
	return cfg.Path + "/images/" + name
}
