package sim

import (
	"slices"
	"sort"

	"github.com/felhom/tend/proxmox"
)

// A taskList holds the tasks of all nodes, oldest first.
type taskList struct {
	byUPID map[string]*task
	order  []*task
	pid    int
}

// firstPID is where process ids begin on a node that has just booted.
const firstPID = 4096

func newTaskList(old []Task) *taskList {
	l := &taskList{byUPID: map[string]*task{}, pid: firstPID}
	for _, o := range old {
		t := &task{Task: o, upid: o.UPID.String(), waits: true}
		if t.Status == "" {
			t.Status, t.End = "unexpected status", t.UPID.Start.Unix()
		}
		l.pid = max(l.pid, int(t.UPID.PID))
		l.add(t)
	}
	return l
}

// nextPID makes a process id.
func (l *taskList) nextPID() int {
	l.pid += 7
	if l.pid >= 4194304 { // the kernel's pid_max on 64 bit
		l.pid = firstPID
	}
	return l.pid
}

func (l *taskList) add(t *task) {
	l.byUPID[t.upid] = t
	l.order = append(l.order, t)
	if len(l.order) > maxTasks+maxTasks/4 {
		l.trim()
	}
}

// trim forgets the oldest tasks that have ended.
func (l *taskList) trim() {
	excess := len(l.order) - maxTasks
	l.order = slices.DeleteFunc(l.order, func(t *task) bool {
		if excess <= 0 || t.Status == "" {
			return false
		}
		excess--
		delete(l.byUPID, t.upid)
		return true
	})
}

func (l *taskList) all() []*task { return l.order }

func (l *taskList) running() []*task {
	var out []*task
	for _, t := range l.order {
		if t.Status == "" {
			out = append(out, t)
		}
	}
	return out
}

// newest gives the tasks of a node, those that run first, then those that ended last.
func (l *taskList) newest(node string) (running, ended []*task) {
	for _, t := range slices.Backward(l.order) {
		switch {
		case node != "" && t.UPID.Node != node:
		case t.Status == "":
			running = append(running, t)
		default:
			ended = append(ended, t)
		}
	}
	sort.SliceStable(ended, func(i, j int) bool { return ended[i].End > ended[j].End })
	return running, ended
}

// find looks a task up as the task API does: the UPID must parse, and the task be known.
func (l *taskList) find(upid string) (*task, error) {
	if _, err := proxmox.ParseUPID(upid); err != nil {
		return nil, paramError("upid", "unable to parse worker upid")
	}
	t := l.byUPID[upid]
	if t == nil {
		return nil, paramError("upid", "no such task")
	}
	return t, nil
}
