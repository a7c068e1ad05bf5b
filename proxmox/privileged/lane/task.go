package lane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
)

// reader is a transport of the reads that the lane needs: each is a pvesh on the node.
type reader struct{ Lane }

// Do carries out one read.
func (t reader) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	c, err := privileged.ReadCommand(r)
	if err != nil {
		return nil, err
	}
	out, err := t.must(ctx, c)
	if err != nil {
		return nil, err
	}
	if !json.Valid(out.stdout) {
		return nil, fmt.Errorf("%v: pvesh printed no JSON", r)
	}
	return out.stdout, nil
}

func (l Lane) client() *proxmox.Client { return proxmox.NewClient(reader{l}) }

// latest is the latest create of a container on this node, zero where there was none.
func (l Lane) latest(ctx context.Context, ref proxmox.Ref) (proxmox.TaskStatus, error) {
	list, err := l.client().Tasks(ctx, ref.Node, proxmox.TaskFilter{
		Source: proxmox.TasksAll, Guest: ref.ID, Type: "vzcreate", Limit: 1,
	})
	if err != nil || len(list) == 0 {
		return proxmox.TaskStatus{}, err
	}
	return list[0], nil
}

// create makes a container with "pct create", which waits for its task and does not tell its id: it is the latest one,
// if there is a later one than before.
func (l Lane) create(ctx context.Context, r privileged.Create) (privileged.Result, error) {
	ref := r.Target()
	before, err := l.latest(ctx, ref)
	if err != nil {
		return privileged.Result{}, err
	}
	if keys := r.Params.SSHKeys; len(keys) > 0 {
		path := privileged.KeysFile(ref.ID)
		if err := l.Backend.ReplaceFile(path, nil, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
			return privileged.Result{}, fmt.Errorf("write SSH keys: %w", err)
		}
		defer func() { _ = l.Backend.RemoveFile(path) }() // public keys: one that stays is replaced by the next create
	}
	c := privileged.Commands(r)[0]
	out, err := l.run(ctx, c)
	if err != nil {
		return privileged.Result{}, err
	}
	result := privileged.Result{Changed: true, Notes: privileged.Warnings(out.stderr)}
	after, err := l.latest(ctx, ref)
	if err == nil && after.UPID != before.UPID {
		result.Task = after.UPID
	}
	if out.exit != 0 {
		return result, l.failed(ctx, c, out, result.Task)
	}
	_, file, err := l.config(ref)
	if err != nil {
		return result, err
	}
	if lock := file.Config().Current["lock"]; lock != "" {
		return result, fmt.Errorf("the create has ended and its container is locked (%s): %w", lock, proxmox.ErrLocked)
	}
	return result, nil
}

// logTail is how many lines of a failed task's log are shown.
const logTail = 20

// failed is the error of a create that ended with an exit status other than 0: that of its task where it had one, and
// else a refusal.
func (l Lane) failed(ctx context.Context, c privileged.Command, out reply, task proxmox.UPID) error {
	refused := privileged.Refused(c, out.exit, out.stderr)
	if task.IsZero() {
		return refused
	}
	status, err := l.client().TaskStatus(ctx, task)
	if err != nil || status.Running {
		return refused
	}
	tail, err := l.client().TaskLogTail(ctx, task, logTail)
	if err != nil {
		tail = nil
	}
	return proxmox.NewTaskError(status, tail)
}

// unlock removes a lock whose task is dead.
func (l Lane) unlock(ctx context.Context, r privileged.Unlock) (privileged.Result, error) {
	if err := l.held(r); err != nil {
		return privileged.Result{}, err
	}
	if !r.Task.IsZero() {
		s, err := l.client().TaskStatus(ctx, r.Task)
		if err != nil && !errors.Is(err, proxmox.ErrNotFound) { // whose record is gone is long dead
			return privileged.Result{}, err
		}
		if s.Running {
			return privileged.Result{}, fmt.Errorf("task %v runs: %w", r.Task, ErrUnproven)
		}
	}
	active, err := l.client().Tasks(ctx, r.Ref.Node, proxmox.TaskFilter{Source: proxmox.TasksRunning, Limit: 1000})
	if err != nil {
		return privileged.Result{}, err
	}
	i := slices.IndexFunc(active, func(s proxmox.TaskStatus) bool { return s.Running && privileged.MayHold(r, s.UPID) })
	if i >= 0 {
		return privileged.Result{}, fmt.Errorf("task %v runs: %w", active[i].UPID, ErrUnproven)
	}
	if err := l.held(r); err != nil { // once more: looking took a while
		return privileged.Result{}, err
	}
	if _, err := l.must(ctx, privileged.Commands(r)[0]); err != nil {
		return privileged.Result{}, err
	}
	_, file, err := l.config(r.Ref)
	if err == nil && file.Config().Current["lock"] != "" {
		err = fmt.Errorf("it was locked again (%s): %w", file.Config().Current["lock"], proxmox.ErrLocked)
	}
	return privileged.Result{Changed: true}, err
}

// held refuses an unlock whose lock is not the one that stands in the configuration.
func (l Lane) held(r privileged.Unlock) error {
	_, file, err := l.config(r.Ref)
	if err != nil {
		return err
	}
	switch lock := file.Config().Current["lock"]; lock {
	case r.Lock:
		return nil
	case "":
		return fmt.Errorf("it carries no lock: %w", proxmox.ErrModified)
	default:
		return fmt.Errorf("it carries the lock %s and not %s: %w", lock, r.Lock, proxmox.ErrModified)
	}
}
