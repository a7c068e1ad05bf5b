package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
	"github.com/felhom/tend/reconcile/journal"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A Keeper carries out snapshot policies. Its zero values are sensible, but for Client.
type Keeper struct {
	Client *proxmox.Client
	// Watcher waits for tasks; nil: one of its own.
	Watcher *proxmox.TaskWatcher
	// Journal records what is in flight; nil: nothing is recorded.
	Journal *journal.Journal
	// Memory is what is remembered between runs; nil: nothing.
	Memory *Memory
	// Guest runs the hooks of policies; nil: a policy with a hook takes no snapshot.
	Guest Guest
	// Disks reads how disks are: nothing is taken on one that is failing; nil: they are not looked at. AllowDisks are
	// failing disks on which snapshots are taken all the same, as [health.Disk.Is] takes them.
	Disks      DiskChecker
	AllowDisks []string
	// Voice is to whom refusals speak of the ways out.
	Voice plan.Voice
	// Log gets what was changed and what a person should look at; nil: nothing is logged.
	Log *slog.Logger

	// PerNode and PerStorage are how many containers are worked on at once, of a node (2 where 0) and of those whose
	// root file system is on one storage (1 where 0).
	PerNode, PerStorage int
	// TaskTimeout is how long a task is waited for: 30 minutes where 0. The task itself goes on.
	TaskTimeout time.Duration
	// BackupTimeout is the same for a backup in place of a snapshot: 6 hours where 0.
	BackupTimeout time.Duration
	// Progress is told what happens, one event at a time; nil: nobody is.
	Progress func(Event)
	// Stop asks for an end: when it is closed, tasks in flight are waited for, and nothing else is begun.
	Stop <-chan struct{}
	// RunID names this run of the program in the journal.
	RunID string
}

// A Take says which snapshots a run takes.
type Take int

// What may be taken.
const (
	TakeDue  Take = iota // what is due
	TakeNone             // none: snapshots are dropped only
	TakeNow              // one of each container, due or not
)

// Options say what a run does. The zero value takes what is due and drops what may go.
type Options struct {
	Only    []proxmox.VMID // containers; nil: all
	Take    Take
	Keep    bool // drop nothing
	Consent bool // a person agreed that more than half of a container's snapshots are dropped
	DryRun  bool // change nothing: only say what would be done
}

// Run carries out the policies of a spec. What becomes of single containers stands in the report; the error is what
// kept the run as a whole from going on.
//
// A container that an earlier run of this process left well, and whose next snapshot is not due yet, is asked about once an
// hour, if there is a Memory.
func (k *Keeper) Run(ctx context.Context, want *spec.State, o Options) (Report, error) {
	r := &run{Keeper: k.withDefaults(), Options: o, want: want, now: time.Now(), keep: map[string]bool{}, nodeDisks: map[string]*health.Node{}, storages: map[string]map[string]proxmox.Storage{}}
	live, err := r.live(ctx)
	if err != nil {
		return Report{}, err
	}
	r.slots(live)
	out := Report{At: r.now}
	var g errgroup.Group
	for _, s := range live {
		out.Containers = append(out.Containers, Container{Ref: s.ref, Name: s.want.Name, Policy: s.policy.Name})
	}
	for i, s := range live {
		c := &out.Containers[i]
		g.Go(func() error {
			if free, ok := r.admitted(ctx, s); ok {
				defer free()
				c.Err = r.container(ctx, s, c)
			}
			return nil
		})
	}
	_ = g.Wait() // the errors stand with the containers
	if !o.DryRun {
		err = r.Memory.save(r.keep)
	}
	return out, errors.Join(context.Cause(ctx), err)
}

// watching is how often tasks are looked at: a snapshot takes about a second, and nobody waits for it.
var watching = proxmox.WatchOptions{Delay: 500 * time.Millisecond, WaitOptions: proxmox.WaitOptions{First: 500 * time.Millisecond}}

func (k Keeper) withDefaults() *Keeper {
	k.PerNode, k.PerStorage = cmp.Or(k.PerNode, 2), cmp.Or(k.PerStorage, 1)
	k.TaskTimeout = cmp.Or(k.TaskTimeout, 30*time.Minute)
	k.BackupTimeout = cmp.Or(k.BackupTimeout, 6*time.Hour)
	if k.Watcher == nil {
		k.Watcher = proxmox.NewTaskWatcher(k.Client, watching)
	}
	if k.Log == nil {
		k.Log = slog.New(slog.DiscardHandler)
	}
	progress, mu := k.Progress, &sync.Mutex{}
	k.Progress = func(e Event) {
		if progress != nil {
			mu.Lock()
			defer mu.Unlock()
			progress(e)
		}
	}
	return &k
}

// A run is one call of Run.
type run struct {
	*Keeper
	Options
	want *spec.State
	now  time.Time
	keep map[string]bool // what is remembered
	node map[string]*semaphore.Weighted
	disk map[string]*semaphore.Weighted

	diskMu    sync.Mutex              // guards nodeDisks
	nodeDisks map[string]*health.Node // of nodes where a snapshot was about to be taken

	reading  sync.Mutex                            // guards what is below
	storages map[string]map[string]proxmox.Storage // by node and name
}

// A subject is a container that is worked on.
type subject struct {
	ref    proxmox.Ref
	want   *spec.Container
	policy retention.Policy
	lock   string
}

// live finds the containers with a policy: those that the spec declares and that carry the owner's tag. Where they are
// and whether they are locked, one listing a node tells.
func (r *run) live(ctx context.Context) ([]subject, error) {
	var out []subject
	declared := map[proxmox.VMID]subject{}
	for _, c := range r.want.Containers {
		p, ok := retention.For(r.want, c)
		if !ok {
			continue
		}
		r.keep[memoryKey(c.ID, p.Name)] = true
		if r.Only == nil || slices.Contains(r.Only, c.ID) {
			declared[c.ID] = subject{want: c, policy: p}
		}
	}
	if len(declared) == 0 {
		return nil, nil
	}
	nodes, err := r.Client.Nodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	for _, n := range nodes {
		if !n.Online() {
			continue
		}
		list, err := r.Client.Containers(ctx, n.Name)
		if err != nil {
			return nil, fmt.Errorf("list containers of node %s: %w", n.Name, err)
		}
		for _, c := range list {
			s, ok := declared[c.ID]
			if ok && !c.Template && slices.Contains(c.Tags, r.want.Cluster.Owner) {
				s.ref, s.lock = proxmox.Ref{Node: n.Name, ID: c.ID}, c.Lock
				out = append(out, s)
			}
		}
	}
	slices.SortFunc(out, func(a, b subject) int { return cmp.Compare(a.ref.ID, b.ref.ID) })
	return out, nil
}

// storage is where the root file system lies, as the spec says.
func (s subject) storage() string {
	return s.ref.Node + "/" + setting.Storage.Or(setting.RootFS.Or(s.want.Settings, nil), "")
}

func (r *run) slots(live []subject) {
	r.node, r.disk = map[string]*semaphore.Weighted{}, map[string]*semaphore.Weighted{}
	for _, s := range live {
		r.node[s.ref.Node] = semaphore.NewWeighted(int64(r.PerNode))
		r.disk[s.storage()] = semaphore.NewWeighted(int64(r.PerStorage))
	}
}

// admitted waits for room on the storage and the node; ok is false where the run ends before.
func (r *run) admitted(ctx context.Context, s subject) (free func(), ok bool) {
	disk, node := r.disk[s.storage()], r.node[s.ref.Node]
	if disk.Acquire(ctx, 1) != nil {
		return nil, false
	}
	if node.Acquire(ctx, 1) != nil {
		disk.Release(1)
		return nil, false
	}
	free = func() { node.Release(1); disk.Release(1) }
	if r.stopping() {
		free()
		return nil, false
	}
	return free, true
}

func (r *run) stopping() bool {
	select {
	case <-r.Stop:
		return true
	default:
		return false
	}
}
