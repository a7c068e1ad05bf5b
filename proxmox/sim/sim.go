// Package sim is a simulator of the Proxmox VE 9.2 API for containers: a [proxmox.Transport] with behaviour, and
// an HTTPS handler around it that any Proxmox client can talk to.
//
// It keeps users, privileges, config files with their digest, pending changes and snapshots, volumes on storages
// of several types, locks, tasks with logs, pools, backups and backup jobs, and answers as a node does: parameters
// are checked in the same order and with the same texts, what a running container takes at once and what waits
// until it stops is decided by the same rules, and a task that dies leaves what it would leave on a node. Where
// the behaviour is Proxmox's, a comment names its source file. Nothing runs: a container is a config file and a
// flag.
//
// A Sim starts from a [State], a YAML document that a person can read, and writes it back after each change if a
// file is named. A change is answered only when it is on disk; changes made at the same time share one write.
//
// The package imports proxmox and its codecs, and never the client that talks to real nodes.
package sim

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/felhom/tend/proxmox"
)

// Options are how a simulator runs. The zero value is useful: tasks take no time and nothing is written.
type Options struct {
	// TaskTime is how long a task works. With 0 it has ended when the call that started it returns, unless it
	// waits for a lock.
	TaskTime time.Duration
	// WorkerTime gives the time by worker type ("vzcreate"); nil: TaskTime for all.
	WorkerTime func(worker string) time.Duration
	// Unpacked is how many bytes a byte of a template or backup unpacks to, and Packed how many bytes of a container
	// make one of its backup; 0: 3 and 2.
	Unpacked, Packed int64
	// File is where the state is written after each change, atomically; empty: nowhere.
	File string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Seed makes generated MAC addresses and ids repeatable; 0: they are random.
	Seed uint64
	// Logger gets what a node would write to its system log; nil: nothing is logged.
	Logger *slog.Logger
	// AuthDelay is how long a failed authentication takes to be answered; 3 s on a real node.
	AuthDelay time.Duration
	// Fault is asked before each call what should go wrong with it; nil: nothing.
	Fault func(Call) Fault
	// StorageFault is asked before each operation on a storage, which it makes fail by an error: "snapshot V@S",
	// "destroy V@S" and "rollback V@S" for a volume V and a snapshot S, "alloc V" and "free V" for a volume,
	// and "fill V" before a worker fills a volume that it has made. [ErrKill] kills the worker in the middle of its work.
	StorageFault func(op string) error
	// Observe is told of each call before it is carried out.
	Observe func(Call)
}

// A Call is one request as the simulator sees it.
type Call struct {
	User   string // "user@realm" or "user@realm!token"; empty where nobody is authenticated
	Method string
	Path   string // below /api2/json
	Params url.Values
}

// A Fault is what goes wrong with one call. The zero value is nothing.
type Fault struct {
	Delay     time.Duration // before the call is carried out
	Status    int           // answer this status instead
	Reason    string        // with this reason phrase, which is also the message in the body
	Body      string        // or with this body, verbatim, where it is not empty
	Cut       bool          // cut the connection instead of answering
	After     bool          // Status and Cut: only after the call was carried out
	TaskError string        // the task that the call starts fails with this text
	TaskHang  bool          // the task that the call starts never ends by itself
	TaskKill  bool          // the task that the call starts is killed in the middle of its work
}

// A Sim is a simulated cluster. It is safe for use by many goroutines.
type Sim struct {
	opts   Options
	routes *node
	store  *store
	secret []byte // signs tickets

	// calls counts requests; Requests tells.
	calls atomic.Int64

	mu          sync.RWMutex // guards everything below; a worker holds it except while its work takes time
	st          *State       // without containers, virtual machines and tasks, which are below
	access      *access
	guests      map[proxmox.VMID]*guest
	owned       map[proxmox.VMID]map[string]*Volume // volumes by the guest in their name
	flocks      map[proxmox.VMID]chan struct{}      // held locks of config files; closed when released
	cfsLocks    map[string]*cfsLock                 // cluster locks by path
	tasks       *taskList
	rng         *rand.Rand
	seed        uint64
	macs        map[proxmox.VMID]uint64 // how many addresses were made for a container
	boot        time.Time
	closed      bool
	workers     sync.WaitGroup
	fingerprint string // of the certificate last made
}

// New starts a simulator from a copy of st. Tasks that had not ended in st were killed with the machine: they
// end with "unexpected status", and what they had locked stays locked.
func New(st *State, o Options) (*Sim, error) {
	own := st.clone()
	own.fill()
	if err := own.check(); err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Sim{
		opts: o, st: own, routes: routeTree(), access: newAccess(own), boot: o.Now(),
		guests: map[proxmox.VMID]*guest{}, owned: map[proxmox.VMID]map[string]*Volume{},
		flocks: map[proxmox.VMID]chan struct{}{}, cfsLocks: map[string]*cfsLock{}, secret: make([]byte, 32),
	}
	if _, err := crand.Read(s.secret); err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	seed := o.Seed
	if seed == 0 {
		seed = binary.LittleEndian.Uint64(s.secret)
	}
	s.seed, s.rng, s.macs = seed, rand.New(rand.NewPCG(seed, 0)), map[proxmox.VMID]uint64{}
	s.tasks = newTaskList(own.Tasks)
	s.loadGuests()
	for volid, v := range own.Volumes {
		s.indexVolume(volid, v)
	}
	s.store = &store{path: o.File, render: s.renderState}
	return s, nil
}

// Load starts a simulator from a state file, which it goes on writing unless o.File says otherwise.
func Load(path string, o Options) (*Sim, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	st, err := ParseState(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return New(st, o)
}

func (s *Sim) loadGuests() {
	for id, c := range s.st.Containers {
		g := &guest{id: id, node: c.Node, frozen: c.Frozen, raw: c.Config}
		g.conf = parseConf(c.Config, func(text string) { s.warn("vm %d - %s", id, text) })
		if c.Running {
			g.running, g.started, g.pid = true, s.boot, s.tasks.nextPID()
		}
		s.guests[id] = g
	}
	for id, v := range s.st.VMs {
		s.guests[id] = &guest{id: id, node: v.Node, vm: v, conf: newConf()}
	}
	s.st.Containers, s.st.VMs, s.st.Tasks = nil, nil, nil
}

// Close kills the tasks that run, as a power loss would, and waits for their goroutines. The state file stays as
// it was last written.
func (s *Sim) Close() {
	s.mu.Lock()
	s.closed = true
	for _, t := range s.tasks.running() {
		t.kill()
	}
	s.mu.Unlock()
	s.workers.Wait()
}

// State returns a copy of the state as it is now.
func (s *Sim) State() *State {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.st.clone()
	out.fill()
	for id, g := range s.guests {
		if g.vm != nil {
			out.VMs[id] = copyOf(g.vm)
		} else {
			out.Containers[id] = g.container()
		}
	}
	for _, t := range s.tasks.all() {
		own := t.Task
		own.Log = slices.Clone(own.Log)
		out.Tasks = append(out.Tasks, own)
	}
	return out
}

// Requests is the number of calls so far, over all transports and the handler.
func (s *Sim) Requests() int { return int(s.calls.Load()) }

// warn is what a node would write to its log.
func (s *Sim) warn(format string, args ...any) {
	s.opts.Logger.Warn("node", slog.String("text", fmt.Sprintf(format, args...)))
}

// newMAC makes a MAC address with the datacenter's prefix (pve-common Tools.pm, random_ether_addr). With a seed, a
// container gets the same ones whatever others do at the same time.
func (s *Sim) newMAC(id proxmox.VMID) string {
	rng := rand.New(rand.NewPCG(s.seed, uint64(id)<<32|s.macs[id]))
	s.macs[id]++
	prefix := macPrefix(s.st)
	var b strings.Builder
	b.WriteString(strings.ToUpper(prefix))
	for n := strings.Count(prefix, ":") + 1; n < 6; n++ {
		fmt.Fprintf(&b, ":%02X", rng.IntN(256))
	}
	return b.String()
}

const defaultMACPrefix = "BC:24:11"

func macPrefix(st *State) string {
	if p, ok := st.Datacenter["mac_prefix"].(string); ok && p != "" {
		return strings.TrimSuffix(p, ":")
	}
	return defaultMACPrefix
}

// uuid makes a random id in the form mkfs prints.
func (s *Sim) uuid() string {
	a, b := s.rng.Uint64(), s.rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-a%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0xfff, b&0xffffffffffff)
}

// As returns a transport that carries requests as the user or token, without asking for its secret.
func (s *Sim) As(user string) proxmox.Transport { return &transport{sim: s, user: user} }

// ErrKill is what a StorageFault returns to have the worker killed, as by a power loss.
var ErrKill = errors.New("worker is killed")

// errCut is what a transport returns where a fault cuts the connection.
var errCut = errors.New("connection cut")

// sleep waits for d, or until the context ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
