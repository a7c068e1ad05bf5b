package privileged

import (
	"strconv"
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
		return []Command{{Argv: []string{pvesmPath, "path", r.Volume}, Timeout: readTime}}
	case ReadHealth:
		argv := []string{smartctlPath, "--json", "--all", r.Disk}
		if r.Sensors {
			argv = []string{sensorsPath, "-j"}
		}
		return []Command{{Argv: argv, Timeout: readTime}}
	}
	return nil
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

// TasksCommand lists the tasks of a node that run and ran, latest first, as JSON; of one container and type where they
// are not zero.
func TasksCommand(node string, running bool, id proxmox.VMID, worker string, limit int) Command {
	source := "all"
	if running {
		source = "active"
	}
	argv := []string{pveshPath, "get", "/nodes/" + node + "/tasks", option("source", source)}
	if id != 0 {
		argv = append(argv, option("vmid", id.String()))
	}
	if worker != "" {
		argv = append(argv, option("typefilter", worker))
	}
	argv = append(argv, option("limit", strconv.Itoa(limit)), "--output-format=json")
	return Command{Argv: argv, Timeout: readTime}
}

// TaskCommand reads the state of a task, as JSON.
func TaskCommand(u proxmox.UPID) Command {
	return Command{Argv: []string{pveshPath, "get", "/nodes/" + u.Node + "/tasks/" + u.String() + "/status", "--output-format=json"}, Timeout: readTime}
}
