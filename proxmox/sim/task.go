package sim

import (
	"context"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// A task is a worker process of a node: a goroutine that holds the simulator's lock, except while its work takes
// time or it waits for a config file's lock.
type task struct {
	Task
	sim      *Sim
	call     *call // the call that started it; parameters and user
	upid     string
	warnings int
	fault    Fault
	term     string // what the worker says when it is asked to stop
	stop     context.CancelFunc
	ctx      context.Context
	killed   chan struct{} // closed when it is killed
	settled  chan struct{} // closed when it has ended, or waits
	waits    bool          // settled is closed
	done     chan struct{} // closed when it has ended
	locks    []proxmox.VMID
	children []*call // calls that it made itself
	text     []byte  // its part of the state file; nil after a change
}

// maxTasks is how many ended tasks are kept, about what a node's task index holds.
const maxTasks = 1000

// fork starts a worker (pve-common RESTEnvironment.pm, fork_worker). It begins when the call lets go of the lock.
func (c *call) fork(worker, id string, fn func(*task) error) string {
	s := c.sim
	ctx, cancel := context.WithCancel(context.Background())
	t := &task{
		sim: s, call: c, fault: c.fault, term: "received interrupt", ctx: ctx, stop: cancel,
		killed: make(chan struct{}), settled: make(chan struct{}), done: make(chan struct{}),
	}
	now := s.opts.Now()
	t.UPID = proxmox.UPID{
		Node: c.node, PID: uint32(s.tasks.nextPID()), PStart: uint64(4000 + now.Sub(s.boot)/(10*time.Millisecond)),
		Start: now.UTC().Truncate(time.Second), Type: worker, ID: id, User: c.user,
	}
	t.upid = t.UPID.String()
	s.tasks.add(t)
	s.store.touch()
	c.forked = append(c.forked, t)
	s.workers.Add(1)
	go t.run(fn)
	return t.upid
}

func (t *task) run(fn func(*task) error) {
	s := t.sim
	defer s.workers.Done()
	s.mu.Lock()
	ended := false
	defer func() {
		if !ended { // killed: the lock is not held
			s.mu.Lock()
			t.finish("unexpected status")
		}
		s.mu.Unlock()
		if err := s.store.sync(); err != nil {
			s.opts.Logger.Error("state not written", "err", err)
		}
		t.stop()
		close(t.done)
		t.settle()
	}()
	err := fn(t)
	ended = true
	switch {
	case err != nil:
		text := strings.ReplaceAll(strings.TrimSuffix(perlString(err), "\n"), "\n", " ")
		t.print("TASK ERROR: " + text)
		t.finish(text)
	case t.warnings > 0:
		status := "WARNINGS: " + strconv.Itoa(t.warnings)
		t.print("TASK " + status)
		t.finish(status)
	default:
		t.print("TASK OK")
		t.finish("OK")
	}
}

// subCall is a call of the API from inside a worker, by the same user and without a check of privileges.
func (t *task) subCall(id proxmox.VMID) *call {
	c := &call{
		ctx: context.Background(), sim: t.sim, user: t.call.user, node: t.call.node,
		params: params{"vmid": {text: id.String()}, "node": {text: t.call.node}},
	}
	t.children = append(t.children, c)
	return c
}

// finish ends the task with a status and lets go of its locks, as the end of a process does.
func (t *task) finish(status string) {
	if status == "" {
		status = "unexpected status"
	}
	t.End, t.Status = t.sim.opts.Now().Unix(), status
	for _, id := range t.locks {
		t.sim.unlockGuest(id)
	}
	t.locks = nil
	t.changed()
}

func (t *task) changed() {
	t.text = nil
	t.sim.store.touch()
}

// settle lets a call that waits for the task go on.
func (t *task) settle() {
	if !t.waits {
		t.waits = true
		close(t.settled)
	}
}

// print adds lines to the log.
func (t *task) print(lines ...string) {
	for _, l := range lines {
		t.Log = append(t.Log, strings.Split(strings.TrimSuffix(l, "\n"), "\n")...)
	}
	t.changed()
}

// warnErr adds an error that the worker only warns of.
func (t *task) warnErr(err error) { t.print(perlString(err)) }

// logWarn adds a warning that counts in the task's status (RESTEnvironment.pm, warn).
func (t *task) logWarn(text string) {
	t.warnings++
	t.print("WARN: " + text)
}

// work is the time the worker's work takes. The simulator goes on meanwhile; the state is as it is in the middle
// of the work. The error is that of a fault, or of a request to stop. A killed task does not return.
func (t *task) work() error {
	s := t.sim
	d := s.workTime(t.UPID.Type)
	if t.fault.TaskHang || t.fault.TaskKill || d > 0 {
		s.mu.Unlock()
		t.wait(d)
		s.mu.Lock()
	}
	if t.fault.TaskError != "" {
		return dief("%s", t.fault.TaskError)
	}
	if t.ctx.Err() != nil {
		return dief("%s", t.term)
	}
	return nil
}

// wait passes the time without the lock.
func (t *task) wait(d time.Duration) {
	if err := t.sim.store.sync(); err != nil {
		t.sim.opts.Logger.Error("state not written", "err", err)
	}
	if t.fault.TaskKill {
		runtime.Goexit()
	}
	var timer <-chan time.Time
	if !t.fault.TaskHang {
		tm := time.NewTimer(d)
		defer tm.Stop()
		timer = tm.C
	}
	t.settle()
	select {
	case <-timer:
	case <-t.ctx.Done():
	case <-t.killed:
		runtime.Goexit()
	}
}

func (s *Sim) workTime(worker string) time.Duration {
	if s.opts.WorkerTime != nil {
		return s.opts.WorkerTime(worker)
	}
	return s.opts.TaskTime
}

// kill ends the process at once: no clean-up runs.
func (t *task) kill() {
	select {
	case <-t.killed:
	default:
		close(t.killed)
	}
}

// lockGuest takes the lock of a container's config file for the rest of the task.
func (t *task) lockGuest(id proxmox.VMID) error {
	if _, busy := t.sim.flocks[id]; busy {
		t.settle()
	}
	if err := t.sim.lockGuest(t.ctx, t.killed, id, lockTimeout); err != nil {
		if t.ctx.Err() != nil {
			return dief("%s", t.term)
		}
		return err
	}
	t.locks = append(t.locks, id)
	return nil
}

// unlockGuest lets go of a lock before the task's end.
func (t *task) unlockGuest(id proxmox.VMID) {
	if i := slices.Index(t.locks, id); i >= 0 {
		t.locks = slices.Delete(t.locks, i, i+1)
		t.sim.unlockGuest(id)
	}
}

// How long the lock of a config file is waited for (AbstractConfig.pm, lock_config, create_and_lock_config).
const (
	lockTimeout   = 10 * time.Second
	createTimeout = 5 * time.Second
)

// lockGuest takes the lock of a config file. It lets go of the simulator's lock while it waits.
func (s *Sim) lockGuest(ctx context.Context, killed <-chan struct{}, id proxmox.VMID, timeout time.Duration) error {
	var timer *time.Timer
	for {
		held, busy := s.flocks[id]
		if !busy {
			s.flocks[id] = make(chan struct{})
			return nil
		}
		if timer == nil {
			timer = time.NewTimer(timeout)
			defer timer.Stop()
		}
		s.mu.Unlock()
		var err error
		select {
		case <-held:
		case <-killed:
			runtime.Goexit()
		case <-ctx.Done():
			err = ctx.Err()
		case <-timer.C:
			err = dief("can't lock file '/run/lock/lxc/pve-config-%d.lock' - got timeout", id)
		}
		s.mu.Lock()
		if err != nil {
			return err
		}
	}
}

func (s *Sim) unlockGuest(id proxmox.VMID) {
	if held, ok := s.flocks[id]; ok {
		close(held)
		delete(s.flocks, id)
	}
}
