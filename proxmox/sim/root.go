package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A Root is what root at the shell of a simulated node can do: run Proxmox's tools, and read and write files. It has
// the methods of a backend of the privileged lane, and knows the commands that the lane has; any other is an error,
// so that a new one is not passed over in silence.
type Root struct {
	sim  *Sim
	node string
	// Programs are executables by absolute path, in place of those that the simulator knows. They get the words
	// after the first.
	Programs map[string]Program
	// Guest runs a command in a container, for "pct exec"; nil: every container lacks every program.
	Guest func(ctx context.Context, id proxmox.VMID, argv []string) (stdout, stderr []byte, exit int)
}

// A Program is an executable of a simulated node.
type Program func(ctx context.Context, args []string, stdin []byte) (stdout, stderr []byte, exit int)

// Root gives root's shell on a node.
func (s *Sim) Root(node string) *Root { return &Root{sim: s, node: node} }

// Node is the name of the node.
func (r *Root) Node() string { return r.node }

// dieExit is the exit status of a Perl program that dies.
const dieExit = 255

// A shellReply is what a command prints and how it ends.
type shellReply struct {
	stdout, stderr string
	exit           int
}

// Run runs a command. The error is that of a command the simulator does not know, or of ctx.
func (r *Root) Run(ctx context.Context, argv []string, stdin []byte) (stdout, stderr []byte, exit int, err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, 0, err
	}
	if len(argv) > 0 {
		if p := r.Programs[argv[0]]; p != nil {
			stdout, stderr, exit = p(ctx, argv[1:], stdin)
			return stdout, stderr, exit, nil
		}
	}
	tools := map[string]func(context.Context, []string, []byte) (shellReply, error){
		"/usr/sbin/pct": r.pct, "/usr/bin/pvesh": r.pvesh, "/usr/sbin/pvesm": r.pvesm,
		"/usr/bin/systemctl": ofMounts(r.systemd), "/usr/bin/findmnt": ofMounts(r.findmnt), "/usr/sbin/blkid": ofMounts(r.blkid),
		"/usr/sbin/smartctl": r.smartctl, "/usr/bin/sensors": r.sensors,
		"/usr/bin/chattr": ofMounts(func([]string) shellReply { return shellReply{} }),
	}
	if len(argv) < 2 || tools[argv[0]] == nil {
		return nil, nil, 0, unknownCommand(argv)
	}
	out, err := tools[argv[0]](ctx, argv[1:], stdin)
	return []byte(out.stdout), []byte(out.stderr), out.exit, err
}

func unknownCommand(argv []string) error {
	return fmt.Errorf("the simulator does not know the command %q", argv)
}

// died is a command whose Perl died of an exception.
func died(err error) shellReply { return shellReply{stderr: perlString(err), exit: dieExit} }

// A shellWords is words split as Getopt::Long does for Proxmox's tools (pve-common JSONSchema.pm, get_options).
type shellWords struct {
	args    []string
	options options
	rest    []string // after "--"
}

type options = map[string][]string

// splitWords tells options from arguments; an option has its value in the same word, or none.
func splitWords(words []string) shellWords {
	c := shellWords{options: options{}}
	for i, w := range words {
		switch name, isOption := strings.CutPrefix(w, "--"); {
		case w == "--":
			c.rest = words[i+1:]
			return c
		case isOption:
			name, value, _ := strings.Cut(name, "=")
			c.options[name] = append(c.options[name], value)
		default:
			c.args = append(c.args, w)
		}
	}
	return c
}

// pct is pve-container CLI/pct.pm.
func (r *Root) pct(ctx context.Context, words []string, stdin []byte) (shellReply, error) {
	c := splitWords(words)
	if len(c.args) < 2 {
		return shellReply{}, unknownCommand(words)
	}
	id, err := parseVMID(c.args[1])
	if err != nil {
		return died(paramError("vmid", "invalid format - value does not look like a valid VM ID")), nil
	}
	switch verb, n := c.args[0], len(c.args); {
	case verb == "create" && n == 3:
		return r.pctCreate(ctx, c, stdin)
	case verb == "set" && n == 2:
		_, reply, err := r.call(ctx, "PUT", "/nodes/"+r.node+"/lxc/"+c.args[1]+"/config", c.options)
		return reply, err
	case verb == "unlock" && n == 2:
		return r.pctUnlock(ctx, id), nil
	case verb == "status" && n == 2:
		return r.pctStatus(id), nil
	case verb == "exec" && n == 2:
		return r.pctExec(ctx, id, c.rest)
	}
	return shellReply{}, unknownCommand(words)
}

// pctCreate runs the create and waits for its task: pct exits with its end and does not tell its id (CLI/pct.pm,
// upid_exit).
func (r *Root) pctCreate(ctx context.Context, c shellWords, stdin []byte) (shellReply, error) {
	p := maps.Clone(c.options)
	p["vmid"], p["ostemplate"] = c.args[1:2], c.args[2:3]
	if p["password"] != nil { // asked twice (pve-common PTY.pm, get_confirmed_password)
		lines := bytes.Split(stdin, []byte("\n"))
		if len(lines) < 2 || !bytes.Equal(lines[0], lines[1]) {
			return shellReply{stderr: "Passwords do not match\n", exit: dieExit}, nil
		}
		p["password"] = []string{string(lines[0])}
	}
	if files := p["ssh-public-keys"]; files != nil { // a file (CLI/pct.pm, param_mapping)
		keys, _, err := r.ReadFile(files[0])
		if err != nil {
			return shellReply{stderr: "can't open '" + files[0] + "' - No such file or directory\n", exit: dieExit}, nil
		}
		p["ssh-public-keys"] = []string{string(keys)}
	}
	data, reply, err := r.call(ctx, "POST", "/nodes/"+r.node+"/lxc", p)
	var upid string
	if err != nil || reply.exit != 0 || json.Unmarshal(data, &upid) != nil {
		return reply, err
	}
	return r.awaitTask(ctx, upid)
}

// awaitTask waits for a task as a tool in the foreground does: what fails it goes to standard error (pve-common
// RESTEnvironment.pm, tee_worker), and the end of the tool is the end of the task.
func (r *Root) awaitTask(ctx context.Context, upid string) (shellReply, error) {
	r.sim.mu.RLock()
	t := r.sim.tasks.byUPID[upid]
	r.sim.mu.RUnlock()
	if t == nil {
		return shellReply{}, fmt.Errorf("there is no task %s", upid)
	}
	select {
	case <-t.done:
	case <-ctx.Done():
		r.sim.serve(context.WithoutCancel(ctx), rootUser, "DELETE", "/nodes/"+r.node+"/tasks/"+upid, params{})
		<-t.done
		return shellReply{}, ctx.Err()
	}
	r.sim.mu.RLock()
	defer r.sim.mu.RUnlock()
	out := shellReply{stdout: strings.Join(t.Log, "\n")}
	switch {
	case t.Status == "OK":
	case strings.HasPrefix(t.Status, "WARNINGS: "):
		out.stderr = "Task finished with " + strings.TrimPrefix(t.Status, "WARNINGS: ") + " warning(s)!\n"
	case t.Status == "unexpected status":
		out.stderr, out.exit = "got unexpected control message: \n", dieExit
	default:
		out.stderr, out.exit = t.Status+"\n", dieExit
	}
	return out, nil
}

// pctUnlock is PVE::CLI::pct, unlock.
func (r *Root) pctUnlock(ctx context.Context, id proxmox.VMID) shellReply {
	s := r.sim
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.lockGuest(ctx, nil, id, lockTimeout); err != nil {
		return died(err)
	}
	defer s.unlockGuest(id)
	g, err := s.container(r.node, id)
	if err == nil && !truthy(g.conf.values["lock"]) {
		err = dief("no lock found trying to remove any lock")
	}
	if err != nil {
		return died(err)
	}
	c := g.conf.clone()
	delete(c.values, "lock")
	if err := s.write(g, c); err != nil {
		return died(err)
	}
	return shellReply{}
}

func (r *Root) pctStatus(id proxmox.VMID) shellReply {
	r.sim.mu.RLock()
	defer r.sim.mu.RUnlock()
	g, err := r.sim.container(r.node, id)
	switch {
	case err != nil:
		return died(err)
	case g.running:
		return shellReply{stdout: "status: running\n"}
	}
	return shellReply{stdout: "status: stopped\n"}
}

// pctExec is PVE::CLI::pct, exec: the exit status is that of the command, or of lxc-attach.
func (r *Root) pctExec(ctx context.Context, id proxmox.VMID, argv []string) (shellReply, error) {
	switch status := r.pctStatus(id); {
	case status.exit != 0:
		return status, nil
	case status.stdout != "status: running\n":
		return died(dief("container '%d' not running!", id)), nil
	case len(argv) == 0:
		return died(dief("missing command at /usr/share/perl5/PVE/CLI/pct.pm line 246.")), nil
	case r.Guest == nil:
		return shellReply{stderr: "lxc-attach: " + id.String() + ": Failed to exec \"" + argv[0] + "\"\n", exit: dieExit}, nil
	}
	stdout, stderr, exit := r.Guest(ctx, id, argv)
	return shellReply{string(stdout), string(stderr), exit}, nil
}

// pvesh is pve-manager CLI/pvesh.pm: reads of this node, as JSON.
func (r *Root) pvesh(ctx context.Context, words []string, _ []byte) (shellReply, error) {
	if words[0] != "--noproxy" {
		return shellReply{}, unknownCommand(words)
	}
	c := splitWords(words[1:])
	if len(c.args) != 2 || c.args[0] != "get" || !slices.Equal(c.options["output-format"], []string{"json"}) {
		return shellReply{}, unknownCommand(words)
	}
	p := maps.Clone(c.options)
	delete(p, "output-format")
	data, reply, err := r.call(ctx, "GET", c.args[1], p)
	if err == nil && reply.exit == 0 {
		reply.stdout = string(data) + "\n"
	}
	return reply, err
}

// pvesm is pve-storage CLI/pvesm.pm, path.
func (r *Root) pvesm(_ context.Context, words []string, _ []byte) (shellReply, error) {
	if len(words) != 2 || words[0] != "path" {
		return shellReply{}, unknownCommand(words)
	}
	r.sim.mu.RLock()
	defer r.sim.mu.RUnlock()
	if _, err := r.sim.parseVolume(words[1]); err != nil {
		return died(err), nil
	}
	return shellReply{stdout: r.sim.volumePath(words[1]) + "\n"}, nil
}

// call is a call of the API as root@pam, as the tools make it.
func (r *Root) call(ctx context.Context, method, path string, p options) (json.RawMessage, shellReply, error) {
	a := r.sim.serve(ctx, rootUser, method, path, paramsOf(p))
	if a.cut {
		return nil, shellReply{}, errors.Join(ctx.Err(), fmt.Errorf("%s %s: %w", method, path, errCut))
	}
	var body struct {
		Data    json.RawMessage
		Message string
		Errors  map[string]string
	}
	if len(a.body) > 0 {
		if err := json.Unmarshal(a.body, &body); err != nil {
			return nil, shellReply{}, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	if a.status == 200 {
		return body.Data, shellReply{}, nil
	}
	if body.Message == "" {
		body.Message = strconv.Itoa(a.status) + " " + a.reason + "\n"
	}
	return nil, died(&fault{status: a.status, text: body.Message, params: body.Errors}), nil
}
