package proxmox

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A TaskStatus is what a node says of one of its tasks.
type TaskStatus struct {
	UPID    UPID
	Running bool
	// ExitStatus of a task that ended: "OK", "WARNINGS: 2", the text of its error, or "unexpected status"
	// where it was killed.
	ExitStatus string
	End        time.Time // zero while it runs, and from [Client.TaskStatus], where Proxmox does not say it
}

var warningsText = regexp.MustCompile(`^WARNINGS: (\d+)$`)

// OK reports whether the task has ended well, with warnings or without.
func (s TaskStatus) OK() bool {
	return !s.Running && (s.ExitStatus == "OK" || warningsText.MatchString(s.ExitStatus))
}

// Warnings is the number of warnings of a task that ended well; its log shows them.
func (s TaskStatus) Warnings() int {
	m := warningsText.FindStringSubmatch(s.ExitStatus)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 1 // more than fit a number, and surely some
	}
	return n
}

// A TaskSource says which tasks a list shows.
type TaskSource string

// The sources of tasks.
const (
	TasksEnded   TaskSource = "archive" // Proxmox's default
	TasksRunning TaskSource = "active"
	TasksAll     TaskSource = "all"
)

// A TaskFilter narrows a list of tasks. Its zero value means the 50 latest that ended.
type TaskFilter struct {
	Source TaskSource
	Since  time.Time // started at this second or later
	Until  time.Time // started at this second or before
	Guest  VMID
	Type   string // of the worker: "vzcreate"
	Errors bool   // only what failed
	Start  int    // leave out this many
	Limit  int    // show at most this many; 50 where 0
}

// Tasks lists tasks of a node, latest first. Without Sys.Audit on the node, a token sees its own only
// (pve-manager API2/Tasks.pm, node_tasks).
func (c *Client) Tasks(ctx context.Context, node string, f TaskFilter) ([]TaskStatus, error) {
	p := params{}
	p.text("source", string(f.Source))
	if !f.Since.IsZero() {
		p.number("since", f.Since.Unix())
	}
	if !f.Until.IsZero() {
		p.number("until", f.Until.Unix())
	}
	p.number("vmid", int64(f.Guest))
	p.text("typefilter", f.Type)
	p.flag("errors", f.Errors)
	p.number("start", int64(f.Start))
	p.number("limit", int64(f.Limit))
	var rows []struct {
		UPID   string    `pve:"upid"`
		Status string    `pve:"status"` // the exit status, or RUNNING
		End    time.Time `pve:"endtime"`
	}
	if err := c.get(ctx, nodePath(node, "/tasks"), p.values(), &rows); err != nil {
		return nil, err
	}
	list := make([]TaskStatus, 0, len(rows))
	for _, r := range rows {
		u, err := ParseUPID(r.UPID)
		if err != nil {
			continue // one that nobody can ask for must not hide the others
		}
		s := TaskStatus{UPID: u, ExitStatus: r.Status, End: r.End}
		if r.End.IsZero() && (r.Status == "RUNNING" || r.Status == "") {
			s.Running, s.ExitStatus = true, ""
		}
		list = append(list, s)
	}
	return list, nil
}

// TaskStatus reads the state of a task. A token may read its own tasks, and others with Sys.Audit on the node.
func (c *Client) TaskStatus(ctx context.Context, u UPID) (TaskStatus, error) {
	var row struct {
		Status     string `pve:"status"`
		ExitStatus string `pve:"exitstatus"`
	}
	if err := c.get(ctx, taskPath(u, "/status"), nil, &row); err != nil {
		return TaskStatus{}, err
	}
	return TaskStatus{UPID: u, Running: row.Status == "running", ExitStatus: row.ExitStatus}, nil
}

// A LogLine is a line of a task's log.
type LogLine struct {
	N    int    `pve:"n"` // from 1
	Text string `pve:"t"`
}

// TaskLog reads limit lines of a task's log (50 where 0), after leaving out start.
func (c *Client) TaskLog(ctx context.Context, u UPID, start, limit int) (list []LogLine, err error) {
	p := params{}
	p.number("start", int64(start))
	p.number("limit", int64(limit))
	return list, c.get(ctx, taskPath(u, "/log"), p.values(), &list)
}

// logPage is how many lines [Client.TaskLogTail] asks for at once, and logPages how often it asks at most.
const (
	logPage  = 1000
	logPages = 100
)

// TaskLogTail reads the last n lines of a task's log. The API reads from the start only, so that a log of
// more than 1000 lines takes several requests.
func (c *Client) TaskLogTail(ctx context.Context, u UPID, n int) ([]string, error) {
	var tail []string
	for page := range logPages {
		lines, err := c.TaskLog(ctx, u, page*logPage, logPage)
		if err != nil {
			return nil, err
		}
		for _, l := range lines {
			tail = append(tail, l.Text)
		}
		tail = tail[max(0, len(tail)-n):]
		if len(lines) < logPage {
			break
		}
	}
	return tail, nil
}

func taskPath(u UPID, tail string) string {
	return nodePath(u.Node, "/tasks/"+escape(u.String())+tail)
}

// A TaskError is a task that failed. It unwraps to a class of errors as [*APIError] does.
type TaskError struct {
	UPID       UPID
	ExitStatus string
	Lock       string     // name of the lock, where the error is [ErrLocked]
	Missing    Privileges // what the caller lacks, where the error is [ErrForbidden]
	Log        []string   // the last lines of the log

	class error
}

// NewTaskError makes an error of a task that ended with an exit status other than success, and the tail of
// its log.
//
// Tools that meet a full storage end with a bare exit code; that there was no room stands in the log alone.
func NewTaskError(s TaskStatus, log []string) *TaskError {
	v := classifyText(s.ExitStatus)
	full := func(line string) bool { return strings.Contains(line, "No space left on device") }
	if v.class == nil && slices.ContainsFunc(log, full) {
		v.class = ErrNoSpace
	}
	return &TaskError{
		UPID: s.UPID, ExitStatus: s.ExitStatus, Log: log,
		Lock: v.lock, Missing: v.missing, class: v.class,
	}
}

// Error is the type and object of the task and its exit status. The log is not part of it.
func (e *TaskError) Error() string {
	return fmt.Sprintf("task %s failed: %s", taskName(e.UPID), oneLine(e.ExitStatus))
}

// Unwrap returns the class of the error, or nil.
func (e *TaskError) Unwrap() error { return e.class }

func taskName(u UPID) string { return strings.TrimSpace(u.Type + " " + u.ID) }

// A TaskWaitError is a wait for a task that ended before the task did, which may still run.
type TaskWaitError struct {
	UPID UPID
	Err  error // why the wait ended
}

// Error names the task, so that one can look at it.
func (e *TaskWaitError) Error() string {
	why := e.Err.Error()
	if errors.Is(e.Err, context.DeadlineExceeded) {
		why = "time is up"
	}
	return fmt.Sprintf("wait for task %s: %s; it may still run: look at %s", taskName(e.UPID), why, e.UPID)
}

// Unwrap returns why the wait ended.
func (e *TaskWaitError) Unwrap() error { return e.Err }
