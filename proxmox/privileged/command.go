package privileged

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// A Command is what is run: a vector of arguments, never a line.
type Command struct {
	Argv    []string       // the first word is the absolute path of the executable
	Stdin   proxmox.Secret // what it reads; nothing where empty
	Timeout time.Duration  // how long it may take
}

// String is the command as a person could type it: words that a shell would change are quoted, and of the input
// nothing is told.
func (c Command) String() string {
	words := make([]string, len(c.Argv))
	for i, w := range c.Argv {
		words[i] = quote(w)
	}
	return strings.Join(words, " ")
}

// quote puts a word in single quotes where a shell would take it for anything but itself.
func quote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// How long commands may take: a create unpacks a template, a change plugs in devices, and every one waits for Proxmox's
// lock of the container first.
const (
	createTime = 2 * time.Hour
	changeTime = 5 * time.Minute
	readTime   = 2 * time.Minute
)

// Commands are what carries a request out, in order; none for a request that is an edit of a file.
func Commands(r Request) []Command {
	switch r := r.(type) {
	case Create:
		return []Command{createCommand(r)}
	case SetConfig:
		return []Command{setCommand(r)}
	case Unlock:
		return []Command{{Argv: []string{pctPath, "unlock", r.Ref.ID.String()}, Timeout: readTime}}
	case Exec:
		argv := []string{pctPath, "exec", r.Ref.ID.String(), "--keep-env=0", "--"}
		return []Command{{Argv: append(argv, r.Argv...), Timeout: r.Timeout}}
	case PutSnippet:
		return []Command{SnippetCommand(r.Volume)}
	case ReadMounts:
		return []Command{FileSystemsCommand(""), MountedCommand("", "")}
	case ReadSnippets:
		var out []Command
		for _, v := range r.Volumes {
			out = append(out, SnippetCommand(v))
		}
		return out
	case ReadHealth:
		return []Command{healthCommand(r)}
	}
	return nil
}

// healthCommand is the reading itself, of the disks the list.
func healthCommand(r ReadHealth) Command {
	c := Command{Argv: []string{smartctlPath, "--json", "--all", r.Disk}, Timeout: readTime}
	switch {
	case r.Sensors:
		c.Argv = []string{sensorsPath, "-j"}
	case r.Disks:
		c.Argv = []string{pveshPath, "--noproxy", "get", "/nodes/" + r.Node + "/disks/list", option("include-partitions", "1"), "--output-format=json"}
	}
	return c
}

// SnippetCommand prints the path of a snippet.
func SnippetCommand(volume string) Command {
	return Command{Argv: []string{pvesmPath, "path", volume}, Timeout: readTime}
}

// KeysFile is where the SSH keys of a container that is to be made stand while pct create runs: it reads them from a
// file (pve-container CLI/pct.pm, param_mapping).
func KeysFile(id proxmox.VMID) string { return "/run/tend/create-" + id.String() + ".pub" }

// createCommand is "pct create". The password is read from standard input, where nobody else sees it, twice as for a
// person (pve-common CLIHandler.pm, pve-password; PTY.pm, get_confirmed_password).
func createCommand(r Create) Command {
	p := r.Params
	argv := []string{pctPath, "create", p.ID.String(), p.Template}
	for _, key := range p.Values.Keys() {
		argv = append(argv, option(key, p.Values[key]))
	}
	if p.Storage != "" {
		argv = append(argv, option("storage", p.Storage))
	}
	if p.Pool != "" {
		argv = append(argv, option("pool", p.Pool))
	}
	if p.IgnoreUnpackErrors {
		argv = append(argv, option("ignore-unpack-errors", "1"))
	}
	if len(p.SSHKeys) > 0 {
		argv = append(argv, option("ssh-public-keys", KeysFile(p.ID)))
	}
	c := Command{Timeout: createTime}
	if !p.Password.IsZero() {
		argv = append(argv, "--password")
		line := p.Password.Reveal() + "\n"
		c.Stdin = proxmox.NewSecret(line + line)
	}
	c.Argv = argv
	return c
}

func setCommand(r SetConfig) Command {
	u := r.Update
	argv := []string{pctPath, "set", r.Ref.ID.String()}
	for _, key := range u.Set.Keys() {
		argv = append(argv, option(key, u.Set[key]))
	}
	if len(u.Delete) > 0 {
		argv = append(argv, option("delete", strings.Join(u.Delete, ",")))
	}
	if len(u.Revert) > 0 {
		argv = append(argv, option("revert", strings.Join(u.Revert, ",")))
	}
	return Command{Argv: append(argv, option("digest", u.Digest)), Timeout: changeTime}
}

// option is a name and its value in one word: whatever the value begins with, it is taken for nothing else.
func option(name, value string) string { return "--" + name + "=" + value }

// readable are the paths that [ReadCommand] reads: tasks, by which it is known how a create ended and whether the
// holder of a lock is dead; and disks, with what lies on them.
var readable = regexp.MustCompile(`^/nodes/[a-zA-Z0-9-]+/(?:tasks(?:/UPID:[^/\s]+/(?:status|log))?|disks/(?:list|lvm|directory|zfs/[a-zA-Z][a-zA-Z0-9._-]*))$|^/storage$`)

// ReadCommand is a read of the API on the node itself, whose output is the "data" of its answer as JSON. It reads
// tasks and disks, and nothing else; everything else the API tells a token.
//
// It is never passed on to another node (pve-manager CLI/pvesh.pm, proxy_handler, would take SSH for that).
func ReadCommand(r proxmox.Request) (Command, error) {
	path, err := url.PathUnescape(r.Path)
	if err != nil || !r.IsRead() || !readable.MatchString(path) {
		return Command{}, fmt.Errorf("%v is not read in the privileged lane", r)
	}
	argv := []string{pveshPath, "--noproxy", "get", path}
	for _, key := range slices.Sorted(maps.Keys(r.Params)) {
		argv = append(argv, option(key, r.Params.Get(key)))
	}
	return Command{Argv: append(argv, "--output-format=json"), Timeout: readTime}, nil
}

// StatusCommand tells whether a container of this node runs: "status: running".
func StatusCommand(id proxmox.VMID) Command {
	return Command{Argv: []string{pctPath, "status", id.String()}, Timeout: readTime}
}

// ConfigFile is the configuration file of a container. /etc/pve/lxc is a symbolic link to the directory of the node.
func ConfigFile(ref proxmox.Ref) string {
	return "/etc/pve/nodes/" + ref.Node + "/lxc/" + ref.ID.String() + ".conf"
}

// LockFile is the file that Proxmox locks while it changes a container (pve-container LXC/Config.pm,
// config_file_lock).
func LockFile(id proxmox.VMID) string { return "/run/lock/lxc/pve-config-" + id.String() + ".lock" }

// LockWait is how long Proxmox waits for that lock (pve-guest-common AbstractConfig.pm, lock_config).
const LockWait = 10 * time.Second
