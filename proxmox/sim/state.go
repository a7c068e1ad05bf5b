package sim

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/proxmox"
)

// A State is a cluster at rest, in a form that a person can read and write: what a simulator starts from and
// what it leaves behind. Containers stand as the text of their config file, exactly as Proxmox writes it.
type State struct {
	Version    Version                   `yaml:"version"`
	Cluster    Cluster                   `yaml:"cluster"`
	Nodes      map[string]*Node          `yaml:"nodes"`
	Storages   map[string]*Storage       `yaml:"storages"`
	Templates  map[string]*Template      `yaml:"templates"`
	Snippets   []string                  `yaml:"snippets"`
	Appliances map[string]*Appliance     `yaml:"appliances,omitempty"` // what nodes can download, by file
	Downloads  map[string]*Download      `yaml:"downloads,omitempty"`  // what is elsewhere, by URL or image reference
	Containers containers                `yaml:"containers"`
	VMs        map[proxmox.VMID]*VM      `yaml:"vms,omitempty"` // virtual machines, which only occupy their ids
	Volumes    volumes                   `yaml:"volumes,omitempty"`
	Backups    map[string]*Backup        `yaml:"backups,omitempty"`
	HA         map[proxmox.VMID]string   `yaml:"ha,omitempty"` // guests under high availability and the state that is requested
	Pools      map[string]*Pool          `yaml:"pools"`
	BackupJobs map[string]map[string]any `yaml:"backup-jobs"`
	Datacenter map[string]any            `yaml:"datacenter"`
	Users      map[string]*User          `yaml:"users"`
	Groups     map[string][]string       `yaml:"groups,omitempty"` // members by group
	Roles      map[string][]string       `yaml:"roles"`            // privileges by role, besides the built-in roles
	ACL        []ACL                     `yaml:"acl"`
	Auth       map[string]string         `yaml:"auth,omitempty"` // names for credentials; the simulator does not read them
	Tasks      []Task                    `yaml:"tasks,omitempty"`
}

// A Version is what GET /version answers.
type Version struct {
	Version string `yaml:"version"`
	Release string `yaml:"release"`
	RepoID  string `yaml:"repoid"`
}

// A Cluster is the cluster as a whole. Without a name it is a single node.
type Cluster struct {
	Name    *string `yaml:"name"`
	Quorate bool    `yaml:"quorate"`
	Local   string  `yaml:"local,omitempty"` // the node that answers; the first by name where empty
}

// A Node is one node.
type Node struct {
	IP          string             `yaml:"ip"`
	CPUs        int                `yaml:"cpus"`
	Memory      Bytes              `yaml:"memory"`
	Disk        Bytes              `yaml:"disk,omitempty"`
	Offline     bool               `yaml:"offline,omitempty"`
	Bridges     map[string]*Bridge `yaml:"bridges"`
	Devices     []string           `yaml:"devices,omitempty"`     // device nodes besides the usual ones
	Directories []string           `yaml:"directories,omitempty"` // roots of what may be bind mounted, besides the usual ones
	Missing     []string           `yaml:"missing,omitempty"`     // what its kernel cannot: tc-police
	Files       map[string]*File   `yaml:"files,omitempty"`       // what root wrote, by path
	Made        []string           `yaml:"made,omitempty"`        // directories that root made
	Disks       []*Disk            `yaml:"disks,omitempty"`       // what may be mounted for containers
	Drives      []*Drive           `yaml:"drives,omitempty"`      // physical disks, with their health

	// Sensors are what lm-sensors would tell, by chip and name.
	Sensors map[string]map[string]SensorFeatures `yaml:"sensors,omitempty"`
}

// A Bridge is a network bridge of a node.
type Bridge struct {
	MTU     int    `yaml:"mtu"`
	Address string `yaml:"address,omitempty"`
}

// A Storage is an entry of the storage configuration.
type Storage struct {
	Type    string   `yaml:"type"` // dir, nfs, cifs, cephfs, btrfs, zfspool, lvm, lvmthin, rbd or pbs
	Path    string   `yaml:"path,omitempty"`
	Pool    string   `yaml:"pool,omitempty"`
	VGName  string   `yaml:"vgname,omitempty"`
	Thin    string   `yaml:"thinpool,omitempty"`
	Content []string `yaml:"content"`
	Nodes   []string `yaml:"nodes,omitempty"` // where it is available; everywhere where empty
	Shared  bool     `yaml:"shared,omitempty"`
	Disable bool     `yaml:"disable,omitempty"`
	Quotas  bool     `yaml:"quotas,omitempty"`
	Prune   string   `yaml:"prune-backups,omitempty"`
	Total   Bytes    `yaml:"total,omitempty"` // its size; 256 GiB where absent
	Used    Bytes    `yaml:"used,omitempty"`  // what other things than its volumes take
}

// A Template is a container template on a storage.
type Template struct {
	Size   Bytes   `yaml:"size"`
	OSType *string `yaml:"ostype"`         // what is detected in it; null: nothing
	Arch   string  `yaml:"arch,omitempty"` // what is detected in it; empty where a distribution is known: amd64
	CTime  int64   `yaml:"ctime,omitempty"`
	// Nodes are those that have it, where its storage is one of each node's own; empty: all.
	Nodes   []string `yaml:"nodes,omitempty"`
	Content string   `yaml:"content,omitempty"` // what is in the file, in place of all its bytes; its name where empty
	OCI     *OCI     `yaml:"oci,omitempty"`     // what an OCI image says; nil: it is an ordinary template
}

// A Container is a container and the text of its config file.
type Container struct {
	Node    string `yaml:"node"`
	Running bool   `yaml:"running,omitempty"`
	Frozen  bool   `yaml:"frozen,omitempty"`
	Config  string `yaml:"config"`
}

// A VM is a virtual machine. It occupies its id and shows in listings.
type VM struct {
	Node   string `yaml:"node"`
	Name   string `yaml:"name,omitempty"`
	Status string `yaml:"status,omitempty"`
}

// A Volume is an allocated volume of a storage.
type Volume struct {
	Size      Bytes    `yaml:"size"`
	Used      Bytes    `yaml:"used,omitempty"`
	CTime     int64    `yaml:"ctime,omitempty"`
	Node      string   `yaml:"node,omitempty"`      // where it lies, on a storage that is not shared
	Parent    string   `yaml:"parent,omitempty"`    // the volume a linked clone was made of
	Snapshots []string `yaml:"snapshots,omitempty"` // oldest first
	// Sizes are those that it had at snapshots, where it has another one now.
	Sizes map[string]Bytes `yaml:"sizes,omitempty"`
}

// A Backup is a vzdump archive of a container.
type Backup struct {
	Size      Bytes  `yaml:"size"`
	Data      Bytes  `yaml:"data,omitempty"` // what it unpacks to; told by its size where 0
	CTime     int64  `yaml:"ctime"`
	Notes     string `yaml:"notes,omitempty"`
	Protected bool   `yaml:"protected,omitempty"`
	Node      string `yaml:"node,omitempty"`
	Config    string `yaml:"config"` // the container's config file as it was
	// Verification is what a Proxmox Backup Server found: "ok" or "failed"; empty: it has not looked.
	Verification string `yaml:"verification,omitempty"`
	// Damaged says that the archive cannot be unpacked.
	Damaged bool `yaml:"damaged,omitempty"`
}

// A Pool is a resource pool.
type Pool struct {
	Comment string         `yaml:"comment,omitempty"`
	VMs     []proxmox.VMID `yaml:"vms,omitempty"`
	Storage []string       `yaml:"storage,omitempty"`
}

// A User is an account, by "name@realm".
type User struct {
	Password proxmox.Secret
	Comment  string
	Disabled bool
	Tokens   map[string]*Token
}

// A Token is an API token of a user.
type Token struct {
	PrivSep bool
	Secret  proxmox.Secret
	Comment string
	Expire  int64 // Unix time, or 0
}

// An ACL gives a role on a path to one user, group or token.
type ACL struct {
	Path      string `yaml:"path"`
	Role      string `yaml:"role"`
	User      string `yaml:"user,omitempty"`
	Group     string `yaml:"group,omitempty"`
	Token     string `yaml:"token,omitempty"`
	Propagate *bool  `yaml:"propagate,omitempty"` // true where absent
}

// A Task is a task of the past, or one that runs. A task without an end whose state is loaded was killed.
type Task struct {
	UPID   proxmox.UPID `yaml:"upid"`
	End    int64        `yaml:"end,omitempty"`
	Status string       `yaml:"status,omitempty"`
	Log    []string     `yaml:"log,omitempty"`
}

type userFile struct {
	Password string                `yaml:"password,omitempty"`
	Comment  string                `yaml:"comment,omitempty"`
	Disabled bool                  `yaml:"disabled,omitempty"`
	Tokens   map[string]*tokenFile `yaml:"tokens,omitempty"`
}

type tokenFile struct {
	PrivSep *bool  `yaml:"privsep"`
	Secret  string `yaml:"secret"`
	Comment string `yaml:"comment,omitempty"`
	Expire  int64  `yaml:"expire,omitempty"`
}

// MarshalYAML writes the account with its secrets: a state file is where they live.
func (u User) MarshalYAML() (any, error) {
	f := userFile{Password: u.Password.Reveal(), Comment: u.Comment, Disabled: u.Disabled}
	for name, t := range u.Tokens {
		if f.Tokens == nil {
			f.Tokens = map[string]*tokenFile{}
		}
		privsep := t.PrivSep
		f.Tokens[name] = &tokenFile{PrivSep: &privsep, Secret: t.Secret.Reveal(), Comment: t.Comment, Expire: t.Expire}
	}
	return f, nil
}

// UnmarshalYAML reads the account. A token without privsep has it, as in Proxmox.
func (u *User) UnmarshalYAML(n *yaml.Node) error {
	var f userFile
	if err := strictDecode(n, &f); err != nil {
		return err
	}
	*u = User{Password: proxmox.NewSecret(f.Password), Comment: f.Comment, Disabled: f.Disabled}
	for name, t := range f.Tokens {
		if t == nil {
			return fmt.Errorf("line %d: token %q has no secret", n.Line, name)
		}
		if u.Tokens == nil {
			u.Tokens = map[string]*Token{}
		}
		u.Tokens[name] = &Token{
			PrivSep: t.PrivSep == nil || *t.PrivSep, Secret: proxmox.NewSecret(t.Secret),
			Comment: t.Comment, Expire: t.Expire,
		}
	}
	return nil
}

// containers and volumes may be many thousand. The YAML package compares each key of a map with all others, so that
// these are taken apart here.
type (
	containers map[proxmox.VMID]*Container
	volumes    map[string]*Volume
)

// UnmarshalYAML reads the containers, by id.
func (c *containers) UnmarshalYAML(n *yaml.Node) error {
	var err error
	*c, err = decodeEntries[containers](n, func(k *yaml.Node) (id proxmox.VMID, err error) { return id, k.Decode(&id) })
	return err
}

// UnmarshalYAML reads the volumes, by volume id.
func (v *volumes) UnmarshalYAML(n *yaml.Node) error {
	var err error
	*v, err = decodeEntries[volumes](n, func(k *yaml.Node) (string, error) { return k.Value, nil })
	return err
}

func decodeEntries[M ~map[K]*V, K comparable, V any](n *yaml.Node, key func(*yaml.Node) (K, error)) (M, error) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return M{}, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: must be a mapping", n.Line)
	}
	known := fieldNames(reflect.TypeFor[V]())
	out := make(M, len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		id, err := key(k)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", k.Line, err)
		}
		if _, twice := out[id]; twice {
			return nil, fmt.Errorf("line %d: mapping key %q already defined", k.Line, k.Value)
		}
		for j := 0; j+1 < len(v.Content); j += 2 {
			if f := v.Content[j]; v.Kind == yaml.MappingNode && !known[f.Value] {
				return nil, fmt.Errorf("line %d: field %s not found in %q", f.Line, f.Value, k.Value)
			}
		}
		var val *V
		if err := v.Decode(&val); err != nil {
			return nil, fmt.Errorf("line %d: %w", v.Line, err)
		}
		out[id] = val
	}
	return out, nil
}

// fieldNames are the names of a struct's fields in YAML.
func fieldNames(t reflect.Type) map[string]bool {
	out := map[string]bool{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		out[name] = true
	}
	return out
}

// strictDecode decodes a node and refuses fields that are not known, which a node's own Decode would take.
func strictDecode(n *yaml.Node, to any) error {
	raw, err := yaml.Marshal(n)
	if err != nil {
		return err
	}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(to); err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	return nil
}

// Bytes is a size in bytes that a file may give with a unit: 8G.
type Bytes int64

// UnmarshalYAML reads a number of bytes, or one with K, M, G or T.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	size, ok := parseSize(n.Value)
	if !ok {
		return fmt.Errorf("line %d: %q is not a size (a number with K, M, G or T)", n.Line, n.Value)
	}
	*b = Bytes(size)
	return nil
}

// MarshalYAML writes the size with the largest unit that divides it.
func (b Bytes) MarshalYAML() (any, error) {
	if text := formatSize(int64(b)); b != 0 && strings.ContainsAny(text, "KMGT") {
		return text, nil
	}
	return int64(b), nil
}

// ParseState reads a state. Everything that is wrong is reported at once, each with its place.
func ParseState(raw []byte) (*State, error) {
	st := &State{}
	d := yaml.NewDecoder(bytes.NewReader(raw))
	d.KnownFields(true)
	if err := d.Decode(st); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read state: %w", err)
	}
	st.fill()
	if err := st.check(); err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return st, nil
}

// Marshal writes the state as YAML, in an order that depends on its content alone.
func (st *State) Marshal() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(st); err != nil {
		return nil, fmt.Errorf("write state: %w", err)
	}
	return b.Bytes(), nil
}

// fill makes the maps that are absent and gives what is left out its default.
func (st *State) fill() {
	fillMap(&st.Nodes)
	fillMap(&st.Storages)
	fillMap(&st.Templates)
	fillMap(&st.Containers)
	fillMap(&st.VMs)
	fillMap(&st.Volumes)
	fillMap(&st.Backups)
	if st.HA == nil {
		st.HA = map[proxmox.VMID]string{}
	}
	fillMap(&st.Pools)
	fillMap(&st.BackupJobs)
	fillMap(&st.Datacenter)
	fillMap(&st.Users)
	fillMap(&st.Groups)
	fillMap(&st.Roles)
	if st.Users["root@pam"] == nil {
		st.Users["root@pam"] = &User{}
	}
	if st.Cluster.Local == "" && len(st.Nodes) > 0 {
		st.Cluster.Local = slices.Sorted(maps.Keys(st.Nodes))[0]
	}
}

func fillMap[M ~map[K]V, K comparable, V any](m *M) {
	if *m == nil {
		*m = M{}
	}
}
