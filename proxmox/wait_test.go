package proxmox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
)

// A fakeNode runs tasks that end by its clock. It counts what it is asked.
type fakeNode struct {
	mu      sync.Mutex
	tasks   map[proxmox.UPID]fakeTask
	hidden  bool           // lists show nothing
	noList  bool           // lists are forbidden
	broken  func() bool    // whether the connection breaks now
	asked   map[string]int // by "status", "list", "log"
	when    []time.Time    // of lists
	queries []url.Values   // of lists
}

type fakeTask struct {
	ends time.Time
	exit string
	log  []string
}

func newNode() *fakeNode {
	return &fakeNode{tasks: map[proxmox.UPID]fakeTask{}, asked: map[string]int{}, broken: func() bool { return false }}
}

// start begins a task that runs for d.
func (n *fakeNode) start(d time.Duration, exit string, log ...string) proxmox.UPID {
	n.mu.Lock()
	defer n.mu.Unlock()
	u := proxmox.UPID{
		Node: "pve1", PID: uint32(len(n.tasks) + 1), PStart: 1, Start: time.Now().Truncate(time.Second).UTC(),
		Type: "vzcreate", ID: fmt.Sprint(100 + len(n.tasks)), User: "root@pam!lab",
	}
	n.tasks[u] = fakeTask{ends: time.Now().Add(d), exit: exit, log: log}
	return u
}

func (n *fakeNode) Do(_ context.Context, r proxmox.Request) (json.RawMessage, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.broken() {
		return nil, fmt.Errorf("%s: %w", r, proxmox.ErrUnreachable)
	}
	_, rest, _ := strings.Cut(r.Path, "/tasks")
	if rest == "" {
		n.asked["list"]++
		n.when, n.queries = append(n.when, time.Now()), append(n.queries, r.Params)
		return n.list(r)
	}
	text, what, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	text, _ = url.PathUnescape(text)
	u, err := proxmox.ParseUPID(text)
	task, ok := n.tasks[u]
	if err != nil || !ok {
		return nil, proxmox.NewAPIError(r, 400, "Parameter verification failed.", []byte(`{"errors":{"upid":"no such task"}}`))
	}
	n.asked[what]++
	if what == "log" {
		return n.log(r, task)
	}
	status := map[string]any{"status": "running"}
	if !time.Now().Before(task.ends) {
		status = map[string]any{"status": "stopped", "exitstatus": task.exit}
	}
	return json.Marshal(status)
}

func (n *fakeNode) list(r proxmox.Request) (json.RawMessage, error) {
	if n.noList {
		return nil, proxmox.NewAPIError(r, 403, "Permission check failed", nil)
	}
	rows := []map[string]any{}
	for u, task := range n.tasks {
		row := map[string]any{"upid": u.String(), "status": "RUNNING"}
		if !time.Now().Before(task.ends) {
			row["status"], row["endtime"] = task.exit, task.ends.Unix()
		}
		if !n.hidden {
			rows = append(rows, row)
		}
	}
	return json.Marshal(rows)
}

func (n *fakeNode) log(r proxmox.Request, task fakeTask) (json.RawMessage, error) {
	var start, limit int
	_, _ = fmt.Sscan(r.Params.Get("start"), &start)
	_, _ = fmt.Sscan(r.Params.Get("limit"), &limit)
	rows := []map[string]any{}
	for i := start; i < min(len(task.log), start+limit); i++ {
		rows = append(rows, map[string]any{"n": i + 1, "t": task.log[i]})
	}
	return json.Marshal(rows)
}

func TestWaitTask(t *testing.T) {
	long := make([]string, 2500)
	for i := range long {
		long[i] = fmt.Sprint("line ", i+1)
	}
	tests := []struct {
		name     string
		exit     string
		log      []string
		warnings int
		class    error // nil where it ends well
		failed   bool
		missing  proxmox.Privileges
		lock     string
		tail     []string
	}{
		{name: "well", exit: "OK"},
		{name: "with warnings", exit: "WARNINGS: 3", warnings: 3},
		{name: "killed", exit: "unexpected status", failed: true},
		{name: "not quite OK", exit: "OKAY", failed: true},
		{name: "locked", exit: "CT is locked (backup)", failed: true, class: proxmox.ErrLocked, lock: "backup"},
		{
			name: "a privilege is missing", exit: "403 Permission check failed (/storage/local, Datastore.AllocateSpace)",
			failed: true, class: proxmox.ErrForbidden,
			missing: proxmox.Privileges{Path: "/storage/local", AnyOf: []string{"Datastore.AllocateSpace"}},
		},
		{name: "with a long log", exit: "boom", log: long, failed: true, tail: []string{"line 2499", "line 2500"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode()
				u := n.start(3*time.Second, tt.exit, tt.log...)
				c := proxmox.NewClient(n)
				s, err := c.WaitTask(t.Context(), u, proxmox.WaitOptions{LogLines: 2})
				var failed *proxmox.TaskError
				if errors.As(err, &failed) != tt.failed || s.ExitStatus != tt.exit || s.Warnings() != tt.warnings {
					t.Fatalf("got %+v, %v", s, err)
				}
				if !tt.failed {
					return
				}
				if tt.class != nil && !errors.Is(err, tt.class) || tt.class == nil && errors.Unwrap(err) != nil {
					t.Errorf("error %v unwraps to %v", err, errors.Unwrap(err))
				}
				if d := cmp.Diff(tt.missing, failed.Missing); d != "" || failed.Lock != tt.lock {
					t.Error(d, failed.Lock)
				}
				if d := cmp.Diff(tt.tail, failed.Log); d != "" {
					t.Error(d)
				}
			})
		})
	}
}

func TestWaitTaskLooksAtOnceAndThenLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		c := proxmox.NewClient(n)
		begin := time.Now()
		if _, err := c.WaitTask(t.Context(), n.start(0, "OK"), proxmox.WaitOptions{}); err != nil || time.Since(begin) != 0 {
			t.Errorf("a task that has ended takes %v, %v", time.Since(begin), err)
		}
		n.asked["status"] = 0
		if _, err := c.WaitTask(t.Context(), n.start(time.Minute, "OK"), proxmox.WaitOptions{}); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 62*time.Second || n.asked["status"] > 45 {
			t.Errorf("a minute's task takes %v and %d looks", took, n.asked["status"])
		}
	})
}

func TestWaitTaskOutlivesBrokenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		begin := time.Now()
		n.broken = func() bool { return time.Since(begin) < 30*time.Second }
		s, err := proxmox.NewClient(n).WaitTask(t.Context(), n.start(time.Second, "OK"), proxmox.WaitOptions{})
		if err != nil || !s.OK() {
			t.Errorf("got %+v, %v", s, err)
		}
	})
}

// waits are the two ways to wait for a task.
var waits = map[string]func(ctx context.Context, c *proxmox.Client, u proxmox.UPID) error{
	"WaitTask": func(ctx context.Context, c *proxmox.Client, u proxmox.UPID) error {
		_, err := c.WaitTask(ctx, u, proxmox.WaitOptions{})
		return err
	},
	"Wait": func(ctx context.Context, c *proxmox.Client, u proxmox.UPID) error {
		_, err := proxmox.NewTaskWatcher(c, proxmox.WatchOptions{}).Wait(ctx, u)
		return err
	},
}

func TestWaitEndsWithContext(t *testing.T) {
	for name, wait := range waits {
		for _, broken := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " broken ", broken), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := newNode()
					n.broken = func() bool { return broken }
					u := n.start(time.Hour, "OK")
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					err := wait(ctx, proxmox.NewClient(n), u)
					var gone *proxmox.TaskWaitError
					if !errors.As(err, &gone) || gone.UPID != u || !errors.Is(err, context.DeadlineExceeded) {
						t.Fatalf("error is %v", err)
					}
					if !strings.Contains(err.Error(), u.String()) || !strings.Contains(err.Error(), "time is up") {
						t.Errorf("error is %v", err)
					}
				})
			})
		}
	}
}

func TestWaitForUnknownTask(t *testing.T) {
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := proxmox.NewClient(newNode())
				err := wait(t.Context(), c, anyUPID)
				var gone *proxmox.TaskWaitError
				if !errors.As(err, &gone) || !errors.Is(err, proxmox.ErrNotFound) {
					t.Errorf("error is %v", err)
				}
				if err := wait(t.Context(), c, proxmox.UPID{}); err == nil {
					t.Error("the wait for no task ends well")
				}
			})
		})
	}
}

// waitAll waits for tasks at once and returns the errors.
func waitAll(ctx context.Context, w *proxmox.TaskWatcher, tasks []proxmox.UPID) []error {
	errs := make([]error, len(tasks))
	var wg sync.WaitGroup
	for i, u := range tasks {
		wg.Go(func() { _, errs[i] = w.Wait(ctx, u) })
	}
	wg.Wait()
	return errs
}

func TestWatcherSharesLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		w := proxmox.NewTaskWatcher(proxmox.NewClient(n), proxmox.WatchOptions{})
		first := time.Now()
		var tasks []proxmox.UPID
		for i := range 20 {
			tasks = append(tasks, n.start(time.Duration(i%3)*time.Second, map[bool]string{true: "boom", false: "OK"}[i == 7], "one", "two"))
		}
		time.Sleep(5 * time.Second)
		tasks = append(tasks, n.start(0, "OK"))
		for i, err := range waitAll(t.Context(), w, tasks) {
			var failed *proxmox.TaskError
			if i == 7 && (!errors.As(err, &failed) || !cmp.Equal(failed.Log, []string{"one", "two"})) || i != 7 && err != nil {
				t.Errorf("task %d: error is %v", i, err)
			}
		}
		if d := cmp.Diff(map[string]int{"list": 1, "log": 1}, n.asked); d != "" {
			t.Error(d)
		}
		q := n.queries[0]
		if q.Get("source") != "all" || q.Get("since") != fmt.Sprint(first.Unix()) {
			t.Errorf("asked for %v", q)
		}
	})
}

func TestWatcherSingleTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		w := proxmox.NewTaskWatcher(proxmox.NewClient(n), proxmox.WatchOptions{})
		begin := time.Now()
		if _, err := w.Wait(t.Context(), n.start(0, "OK")); err != nil {
			t.Error(err)
		}
		if d := cmp.Diff(map[string]int{"status": 1}, n.asked); d != "" || time.Since(begin) != 20*time.Millisecond {
			t.Error(d, time.Since(begin))
		}
	})
}

// A short task that starts while the watch of a long one looks rarely is noticed soon.
func TestWatcherLateTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		w := proxmox.NewTaskWatcher(proxmox.NewClient(n), proxmox.WatchOptions{})
		long := n.start(time.Minute, "OK")
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := w.Wait(t.Context(), long); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(30*time.Second + 7*time.Millisecond)
		begin := time.Now()
		if _, err := w.Wait(t.Context(), n.start(50*time.Millisecond, "OK")); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > 200*time.Millisecond {
			t.Errorf("noticed after %v", took)
		}
		wg.Wait()
	})
}

func TestWatcherWithoutList(t *testing.T) {
	for name, spoil := range map[string]func(*fakeNode){
		"forbidden": func(n *fakeNode) { n.noList = true },
		"empty":     func(n *fakeNode) { n.hidden = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNode()
				spoil(n)
				w := proxmox.NewTaskWatcher(proxmox.NewClient(n), proxmox.WatchOptions{})
				tasks := []proxmox.UPID{n.start(0, "OK"), n.start(time.Second, "OK"), n.start(2*time.Second, "OK")}
				for i, err := range waitAll(t.Context(), w, tasks) {
					if err != nil {
						t.Errorf("task %d: error is %v", i, err)
					}
				}
				if name == "forbidden" && n.asked["list"] != 1 {
					t.Errorf("asked %d times for a forbidden list", n.asked["list"])
				}
			})
		})
	}
}

func TestWatcherOutlivesBrokenConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		begin := time.Now()
		n.broken = func() bool { return time.Since(begin) < 10*time.Second }
		w := proxmox.NewTaskWatcher(proxmox.NewClient(n), proxmox.WatchOptions{})
		for i, err := range waitAll(t.Context(), w, []proxmox.UPID{n.start(0, "OK"), n.start(time.Second, "OK")}) {
			if err != nil {
				t.Errorf("task %d: error is %v", i, err)
			}
		}
	})
}

// Those who still wait are not disturbed when the one leaves that began the watch, and nothing is left
// running at the end: synctest.Test fails where a goroutine is.
func TestWatcherLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		w := proxmox.NewTaskWatcher(proxmox.NewClient(n), proxmox.WatchOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		u := n.start(10*time.Second, "OK")
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := w.Wait(ctx, u); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
		})
		time.Sleep(time.Second)
		wg.Go(func() {
			if _, err := w.Wait(t.Context(), u); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(time.Second)
		cancel()
		wg.Wait()
		if _, err := w.Wait(t.Context(), n.start(time.Second, "OK")); err != nil {
			t.Error(err)
		}
	})
}

// A list that shows an ended task as running is not believed for ever.
func TestWatcherStaleList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		stale := fake(func(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
			data, err := n.Do(ctx, r)
			if strings.HasSuffix(r.Path, "/tasks") {
				data = json.RawMessage(strings.NewReplacer(`"OK"`, `"RUNNING"`, "endtime", "x").Replace(string(data)))
			}
			return data, err
		})
		w := proxmox.NewTaskWatcher(proxmox.NewClient(stale), proxmox.WatchOptions{})
		begin := time.Now()
		for i, err := range waitAll(t.Context(), w, []proxmox.UPID{n.start(0, "OK"), n.start(0, "OK")}) {
			if err != nil {
				t.Errorf("task %d: error is %v", i, err)
			}
		}
		if took := time.Since(begin); took > 63*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
