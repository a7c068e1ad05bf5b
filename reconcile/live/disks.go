package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/health"
)

// A DiskRoot reads disks and sensors as root on nodes, and changes nothing.
type DiskRoot interface {
	// Nodes are those on which somebody acts as root.
	Nodes() []string
	// Disks reads which disks a node has and what lies on them.
	Disks(ctx context.Context, node string) (proxmox.NodeDisks, error)
	// Smart is what "smartctl --json --all" prints of a disk, and Sensors what "sensors -j" prints.
	Smart(ctx context.Context, node, disk string) ([]byte, error)
	Sensors(ctx context.Context, node string) ([]byte, error)
}

// Disks reads the health of the disks and sensors of nodes: over the API as far as the token may, and for the rest as
// root. Nothing that goes wrong is an error: what could not be read is told with what was. It is safe for use by many
// goroutines.
type Disks struct {
	Client *proxmox.Client
	Root   DiskRoot // nil: nobody acts as root
	Limits health.Limits
	// Patience is how long the reading of one node may take; 20 seconds where 0. A disk that is about to die answers
	// slowly, and Proxmox gives each ten seconds.
	Patience time.Duration
	// MaxAge is how old a reading may be to be used again; 0: each is made anew.
	MaxAge time.Duration

	mu   sync.Mutex
	seen map[diskKey]reading
}

type diskKey struct {
	node   string
	detail bool
}

type reading struct {
	node *health.Node
	at   time.Time
}

// Check reads what a plan needs: the health check of each disk, in one request, and only where a disk is failing what
// lies on it.
func (d *Disks) Check(ctx context.Context, node string) *health.Node {
	return d.read(ctx, node, false)
}

// Look reads all that can be known: also temperatures, errors and sensors, and on which disks the storages lie. Each disk
// takes a request.
func (d *Disks) Look(ctx context.Context, node string) *health.Node {
	return d.read(ctx, node, true)
}

func (d *Disks) read(ctx context.Context, node string, detail bool) *health.Node {
	key := diskKey{node, detail}
	d.mu.Lock()
	have, ok := d.seen[key]
	if more, looked := d.seen[diskKey{node, true}]; !detail && looked && more.at.After(have.at) {
		have, ok = more, true
	}
	d.mu.Unlock()
	if ok && time.Since(have.at) < d.MaxAge {
		return have.node
	}
	patience := d.Patience
	if patience == 0 {
		patience = 20 * time.Second
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := nodeReader{Disks: d, node: node, detail: detail, at: time.Now(), out: &health.Node{Name: node, Disks: []health.Disk{}, Sensors: []health.Sensor{}, Gaps: []health.Gap{}}}
	r.run(within)
	if d.MaxAge > 0 && ctx.Err() == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.seen == nil {
			d.seen = map[diskKey]reading{}
		}
		d.seen[key] = reading{r.out, r.at}
	}
	return r.out
}

// checkDisks reads how the disks of nodes are. Nothing stops a plan here: what cannot be read stays unknown.
func (o *Observer) checkDisks(ctx context.Context, nodes map[string]bool) {
	if o.Disks == nil {
		o.Disks = &Disks{Client: o.Client}
	}
	for node := range nodes {
		if o.disks == nil {
			o.disks = map[string]*health.Node{}
		}
		o.disks[node] = o.Disks.Check(ctx, node)
	}
}

// A nodeReader is one reading of one node.
type nodeReader struct {
	*Disks
	node   string
	detail bool
	at     time.Time

	mu  sync.Mutex
	out *health.Node
}

func (r *nodeReader) asRoot() bool { return r.Root != nil && slices.Contains(r.Root.Nodes(), r.node) }

// run fills in what can be read.
func (r *nodeReader) run(ctx context.Context) {
	facts, byRoot, err := r.list(ctx)
	if err != nil {
		r.gap("disks", err, sysAudit("/nodes/"+r.node))
		return
	}
	r.take(facts)
	if r.detail || r.Limits.ErrorsFailing > 0 {
		r.details(ctx, byRoot)
	}
	if r.detail {
		r.sensors(ctx)
	}
	if r.detail || r.out.Fails() {
		r.locate(ctx, facts, byRoot)
	}
}

// take begins with what a list tells of disks.
func (r *nodeReader) take(facts proxmox.NodeDisks) {
	r.out.Disks = []health.Disk{}
	for _, d := range facts.Disks {
		if d.Parent == "" {
			r.out.Disks = append(r.out.Disks, r.Limits.Judge(health.FromList(d, r.at)))
		}
	}
}

// list reads which disks there are. For details it does not ask them, since each is asked then, and one that does not
// answer would hold up the list. Where the token may not, root does, who tells at once what lies on them; where that is
// wanted, root is asked first, since each list asks all disks.
func (r *nodeReader) list(ctx context.Context) (facts proxmox.NodeDisks, byRoot bool, err error) {
	if r.detail && r.asRoot() {
		if facts, err = r.Root.Disks(ctx, r.node); err == nil {
			return facts, true, nil
		}
	}
	facts.Disks, err = r.Client.Disks(ctx, r.node, proxmox.DiskFilter{Partitions: true, NoHealth: r.detail})
	if err != nil && ctx.Err() == nil && r.asRoot() {
		facts, err = r.Root.Disks(ctx, r.node)
		return facts, true, err
	}
	return facts, false, err
}

// slowly is how many disks are asked at once.
const slowly = 4

// details asks each disk for all that it tells of itself. Where none may be asked, the list tells of their checks.
func (r *nodeReader) details(ctx context.Context, byRoot bool) {
	var g errgroup.Group
	g.SetLimit(slowly)
	var refused error
	for i := range r.out.Disks {
		d := &r.out.Disks[i]
		g.Go(func() error {
			more, err := r.disk(ctx, *d)
			r.mu.Lock()
			defer r.mu.Unlock()
			*d = r.Limits.Judge(more)
			if err != nil && refused == nil {
				refused = err
			}
			return nil
		})
	}
	_ = g.Wait() // what went wrong is told
	if refused == nil {
		return
	}
	r.gap("temperatures and errors of disks", refused, sysAudit("/"))
	if errors.Is(refused, proxmox.ErrForbidden) && !byRoot {
		if disks, err := r.Client.Disks(ctx, r.node, proxmox.DiskFilter{}); err == nil {
			r.take(proxmox.NodeDisks{Disks: disks})
		}
	}
}

// disk asks one disk: over the API, and where that is refused or tells nothing as root.
func (r *nodeReader) disk(ctx context.Context, d health.Disk) (health.Disk, error) {
	s, err := r.Client.Smart(ctx, r.node, d.Device)
	if err == nil && s.Type != "" {
		return d.AddSmart(s, r.at), nil
	}
	if !r.asRoot() || ctx.Err() != nil {
		return d, err
	}
	raw, rootErr := r.Root.Smart(ctx, r.node, d.Device)
	if rootErr != nil {
		return d, errors.Join(err, rootErr)
	}
	more, rootErr := health.ParseSmartctl(raw, r.at)
	switch {
	case errors.Is(rootErr, health.ErrNoReading): // a disk that cannot be asked says so by its unknown check
		return d, nil
	case rootErr != nil:
		return d, fmt.Errorf("%s: %w", d.Device, rootErr)
	}
	return d.Merge(more), nil
}

func (r *nodeReader) sensors(ctx context.Context) {
	const what = "sensors"
	if !r.asRoot() {
		r.out.Gaps = append(r.out.Gaps, health.Gap{
			What: what, Why: "Proxmox has no call for them", Ways: []string{"let tend act as root on the node: lane: helper (tend explain root)"}, Minor: true,
		})
		return
	}
	raw, err := r.Root.Sensors(ctx, r.node)
	if err == nil {
		r.out.Sensors, err = health.ParseSensors(raw)
	}
	if err != nil {
		r.out.Sensors = []health.Sensor{}
		r.gap(what, err, []string{"install lm-sensors on the node and run sensors-detect there"})
	}
}

// locate finds which storages lie on which disks. What the API does not tell is asked of root, where somebody is.
func (r *nodeReader) locate(ctx context.Context, facts proxmox.NodeDisks, byRoot bool) {
	if !byRoot && r.asRoot() {
		if f, err := r.Root.Disks(ctx, r.node); err == nil {
			facts, byRoot = f, true
		}
	}
	if !byRoot {
		facts = r.Client.DiskLayout(ctx, r.node, facts.Disks, nil)
	}
	r.out.Storages = health.Locate(r.node, facts)
}

// gap tells of something that could not be read. For a missing privilege it says which.
func (r *nodeReader) gap(what string, err error, ways []string) {
	why := err.Error()
	var api *proxmox.APIError
	switch {
	case errors.As(err, &api) && errors.Is(err, proxmox.ErrForbidden):
		why = "the token may not read them"
	case errors.Is(err, context.DeadlineExceeded):
		why, ways = "the node did not answer in time: a disk may be about to die", []string{"look on the node: dmesg, smartctl -a"}
	default:
		ways = slices.DeleteFunc(ways, func(string) bool { return what != "sensors" })
	}
	if ways == nil {
		ways = []string{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Gaps = append(r.out.Gaps, health.Gap{What: what, Why: why, Ways: ways, Minor: what == "sensors"})
}

// sysAudit is what a person can do about a privilege that is missing on a path.
func sysAudit(path string) []string {
	return []string{"give the token Sys.Audit on " + path + ", for all that disks tell: on / (tend doctor --role --disks prints the role)", "or let tend act as root on the node: lane: helper"}
}
