package spec

import (
	"errors"
	"maps"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// Rows of a container that are no settings of Proxmox.
var (
	ID = setting.Key[int64]{
		Path: "id", Type: setting.Integer(int64(proxmox.MinVMID), int64(proxmox.MaxVMID)), Required: true, Label: "VMID",
		Doc: "VMID. It is always written: which container is meant is never guessed.", Example: "120",
	}
	Node = setting.Key[string]{
		Path: "node", Type: setting.Pattern("name of a node (letters, digits and hyphens)", `[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?`), Required: true,
		Doc: "Node on which the container lives. Another one migrates it there.", Example: "pve1",
	}
	Use = setting.Key[[]string]{
		Path: "use", Type: names("name of a profile"), Doc: "Profiles that lie under the container, later ones over earlier ones.",
		Example: "[docker]",
	}
	FromTemplate = setting.Key[string]{
		Path: "from.template", Example: `"local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"`,
		Type: setting.Pattern("name of a template of the spec, or a volume as local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst", `[^:\s]+:vztmpl/\S+|`+aliasExpr),
		Doc:  "Template that the container is made from: a volume, or the name of a template of the spec.",
	}
	FromImage = setting.Key[string]{
		Path: "from.image", Example: `"local:vztmpl/caddy_2.tar"`,
		Type: setting.Pattern("name of a template of the spec, or a volume as local:vztmpl/caddy_2.tar", `[^:\s]+:vztmpl/\S+|`+aliasExpr),
		Doc: "OCI image that the container is made from: a volume, or the name of a template of the spec. What the image " +
			"overwrites (entrypoint, env, console.mode) is put right before the first start, where the spec speaks of it, " +
			"and else kept. Interfaces are managed by the node (hostManaged), unless the spec says otherwise.",
	}
	FromBackup = setting.Key[string]{
		Path: "from.backup.volume", Example: `"local:backup/vzdump-lxc-120-2026_11_01-02_30_00.tar.zst"`, Label: "backup",
		Type: setting.Pattern("volume of a backup, as in local:backup/vzdump-lxc-120-….tar.zst", `[^:\s]+:\S+`),
		Doc:  "Volume of the backup. All its mounts are restored with it, onto the storage of rootfs.",
	}
	CloneID = setting.Key[int64]{
		Path: "from.clone.id", Type: setting.Integer(int64(proxmox.MinVMID), int64(proxmox.MaxVMID)), Label: "clone of",
		Doc: "VMID of the container that is copied.", Example: "9000",
	}
	CloneSnapshot = setting.Key[string]{
		Path: "from.clone.snapshot", Type: setting.Pattern("name of a snapshot (letters, digits, - _)", `[a-zA-Z][a-zA-Z0-9_-]+`), Example: "golden",
		Doc: "Snapshot that is copied in place of the present state. A full clone of a running container needs one.",
	}
	CloneFull = setting.Key[bool]{
		Path: "from.clone.full", Type: setting.Boolean(), Example: "true",
		Doc: "Whether volumes are copied whole (true), or linked to the source's (false). Absent: linked where the source is a template, else whole.",
	}
	DependsOn = setting.Key[[]string]{
		Path: "dependsOn", Type: names("name of a container"), Example: "[db]",
		Doc: "Containers of the spec that are started before this one.",
	}
	PoolName = setting.Key[string]{
		Path: "pool", Type: setting.Pattern("name of a pool, or an empty text for none", `(`+poolExpr+`)?`), Example: "customers",
		Doc: `Resource pool that the container is in; "" is none. Absent: it is left where it is, since pools carry permissions. ` +
			"The pool must exist.",
	}
	PowerState = setting.Key[string]{
		Path: "state", Type: setting.Enum(string(Running), string(Stopped), string(Any)), Default: new(string(Running)),
		Doc: "Whether the container shall run; any leaves it as it is.", Example: "running",
	}
	Restarts = setting.Key[string]{
		Path: "restart", Type: setting.Enum(string(RestartNever), string(RestartWindow), string(RestartNow)),
		Default: new(string(RestartNever)), Example: "window",
		Doc: "When changes that need a restart may have it: never (by hand only), window (while a maintenance " +
			"window is open, as --window says), now.",
	}
	DestroyRule = setting.Key[string]{
		Path: "lifecycle.destroy", Type: setting.Enum("forbid", "allow"), Default: new("allow"), Example: "forbid",
		Doc: "Whether tend may destroy the container once it is out of the spec.",
	}
	RecreateRule = setting.Key[string]{
		Path: "lifecycle.recreate", Type: setting.Enum("forbid", "allow"), Default: new("forbid"), Example: "forbid",
		Doc: "Whether the container may be made anew for a change that needs it: backed up, and restored with the change. " +
			"Its snapshots are lost.",
	}
	BackupTo = setting.Key[string]{
		Path: "lifecycle.backupTo", Type: setting.StorageName(), Example: "backups",
		Doc: "Storage for the backup that is made before the container is made anew. It is kept.",
	}
	Ignore = setting.Key[[]string]{
		Path: "lifecycle.ignore", Example: "[description]",
		Type: setting.List("path of a setting", setting.Words, " ", func(s string) error {
			if setting.Container.Row(s) == nil {
				return errors.New("is no setting" + nearest(s))
			}
			return nil
		}),
		Doc: "Settings that are left as they are, for example because people change them by hand.",
	}
	SSHKeys = setting.Key[[]string]{
		Path: "init.sshKeys", Type: setting.List("public SSH key", setting.Lines, "\n", checkSSHKey), Label: "SSH keys",
		Doc: "Public SSH keys of root, given at create only.", Example: `["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"]`,
	}
	PasswordFile = setting.Key[string]{
		Path: "init.password.file", Type: setting.Text("path of a file", nil), Label: "password file",
		Doc: "File that holds root's password, given at create only.", Example: "/run/credentials/media",
	}
	PasswordEnv = setting.Key[string]{
		Path: "init.password.env", Type: setting.Pattern("name of an environment variable", `[A-Za-z_][A-Za-z0-9_]*`),
		Doc: "Environment variable that holds root's password, given at create only.", Example: "MEDIA_PASSWORD",
		Label: "password variable",
	}
	Adopt = setting.Key[bool]{
		Path: "adopt", Type: setting.Boolean(), Default: new(false),
		Doc: "Take over an existing container that does not carry the owner's tag.", Example: "true",
	}
)

// ContainerFields is everything that may be written for one container.
var ContainerFields = setting.Object{
	Name:   "container",
	Groups: containerGroups,
	Rows: append([]setting.Row{
		ID, Node, Use, FromTemplate, FromImage, FromBackup, CloneID, CloneSnapshot, CloneFull, PoolName, DependsOn, PowerState,
		Restarts, Snapshots, SnapshotHolds, Adopt, DestroyRule, RecreateRule, BackupTo, Ignore, SSHKeys, PasswordFile, PasswordEnv,
	}, setting.Container.Rows...),
}

// LayerFields is what may be written in defaults and profiles: nothing that identifies one container.
var LayerFields = setting.Object{
	Name:   "layer",
	Groups: containerGroups,
	Rows:   without(ContainerFields.Rows, ID.Path, Use.Path, Adopt.Path, SnapshotHolds.Path, setting.Hostname.Path),
	Elsewhere: map[string]string{
		ID.Path:               ownOnly,
		Adopt.Path:            ownOnly,
		SnapshotHolds.Path:    ownOnly,
		setting.Hostname.Path: ownOnly,
		Use.Path:              "is not in defaults and profiles, which do not build on one another: write it in the container, with every profile",
	},
}

var containerGroups = func() map[string]setting.Group {
	groups := maps.Clone(setting.Container.Groups)
	maps.Copy(groups, map[string]setting.Group{
		"from": {
			Doc:     "What the container is made from: one of template, image, backup and clone. It is read at create only.",
			Example: `{template: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst"}`,
		},
		"from.backup": {
			Doc:     "Backup that the container is restored from.",
			Example: `{volume: "local:backup/vzdump-lxc-120-2026_11_01-02_30_00.tar.zst"}`,
		},
		"from.clone": {Doc: "Container that this one is a copy of.", Example: "{id: 9000}"},
		"lifecycle": {
			Doc:     "What may become of the container, and which of its settings are left alone.",
			Example: "{destroy: forbid, ignore: [description]}",
		},
		"init": {
			Doc:     "What root is given to log in with. It is read at create only: later changes do nothing.",
			Example: "{password: {file: /run/credentials/media}}",
		},
		"init.password": {
			Doc:     "Where root's password is found, which is never part of a spec. It has 5 characters or more.",
			Example: "{env: MEDIA_PASSWORD}",
		},
	})
	return groups
}()

const ownOnly = "is not in defaults and profiles, for it is of one container: write it there"

// Rows of a document.
var (
	ClusterName = setting.Key[string]{
		Path: "cluster.name", Type: setting.Text("name", nil), Doc: "Name of the cluster, shown in plans.", Example: "home",
	}
	Owner = setting.Key[string]{
		Path: "cluster.owner", Type: setting.Pattern("tag (letters, digits, _ - + .)", `[A-Za-z0-9_][A-Za-z0-9_+.-]*`), Default: new("tend"),
		Doc: "Tag that is put on each container of this spec. Containers without it are never touched.", Example: "tend",
	}
	Nodes = setting.Key[[]string]{
		Path: "cluster.nodes", Type: names("name of a node"), Example: "[pve1]",
		Doc: "Nodes that the cluster has: tend refuses to work on one that lacks any of them.",
	}
	ClusterTimeZone = setting.Key[string]{
		Path: "cluster.timeZone", Type: zoneType(), Default: new("UTC"), Example: "Europe/Vienna",
		Doc: "Time zone of snapshot policies that say none. Backup jobs run in the time zone of their nodes.",
	}
	Defaults = setting.Key[setting.Record]{
		Path: "defaults", Type: LayerFields.Type(), Example: "{node: pve1}",
		Doc: "What each container has unless a profile or the container says otherwise. Mappings are merged, all else is " +
			"replaced.",
	}
	Profiles = setting.Key[setting.Members]{
		Path: "profiles", Type: setting.Mapping(setting.Pattern("name of a profile (letters, digits and hyphens)", nameExpr), LayerFields),
		Doc: "What containers have in common that name the profile under use. It lies over the defaults and under the container.", Example: "{docker: {features: {nesting: true}}}",
	}
	Containers = setting.Key[setting.Members]{
		Path: "containers", Type: setting.Mapping(setting.Pattern("name of a container (letters, digits and hyphens)", nameExpr), ContainerFields),
		Doc: "Containers, by name. The name is the host name unless hostname says otherwise.",
	}
)

// Document is everything that may be written in a file of a spec.
var Document = setting.Object{
	Name: "document",
	Groups: map[string]setting.Group{
		"cluster": {Doc: "The cluster that the spec is for.", Example: "{name: home, nodes: [pve1]}"},
	},
	Rows: []setting.Row{
		ClusterName, Owner, Nodes, ClusterTimeZone, Defaults, Profiles, Templates, HostMounts, Snippets, Containers, SnapshotPolicies, BackupJobs,
	},
}

// nameExpr is what a host name may be, without dots.
const nameExpr = `[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?`

func names(what string) setting.Type[[]string] {
	return setting.List(what, setting.Words, " ", func(s string) error {
		if s == "" {
			return errors.New("is empty")
		}
		return nil
	})
}

func without(rows []setting.Row, paths ...string) []setting.Row {
	var out []setting.Row
	for _, r := range rows {
		keep := true
		for _, p := range paths {
			keep = keep && r.SpecPath() != p
		}
		if keep {
			out = append(out, r)
		}
	}
	return out
}

func nearest(path string) string {
	var paths []string
	for _, r := range setting.Container.Rows {
		paths = append(paths, r.SpecPath())
	}
	if n := setting.Nearest(path, paths); n != "" {
		return ": did you mean " + n + "?"
	}
	return ": the settings are " + strings.Join(paths, ", ")
}
