package view

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/plan"
)

// Progress shows what happens while a plan is carried out: on a terminal a line a running step, with the time
// that it has taken and the last line of its task's log, and below each other the steps that ended; elsewhere a
// line a step that ended, and now and then one of those that go on.
type Progress struct {
	w     io.Writer
	style Style
	live  bool
	last  func(context.Context, proxmox.UPID) (string, error)
	stop  context.CancelFunc
	over  chan struct{}

	mu      sync.Mutex // guards what is below, and writing
	running map[plan.Subject]*activity
	drawn   int // lines of running steps on the terminal
	names   int // columns of the widest name
}

// An activity is a step that runs.
type activity struct {
	lane    string
	step    string
	begin   time.Time
	told    time.Time // when it was last told of, where there is no terminal
	task    proxmox.UPID
	log     string
	waiting string
}

// The times of the display: how often it is drawn, how old a task is before its log is worth a request, and how
// often steps that go on are told of where there is no terminal.
const (
	drawEvery = 200 * time.Millisecond
	logEvery  = time.Second
	tellEvery = 30 * time.Second
)

// NewProgress begins a display; [Progress.Close] ends it. last reads the last line of a task's log, nil where
// that is not wanted.
func NewProgress(ctx context.Context, w io.Writer, s Style, last func(context.Context, proxmox.UPID) (string, error)) *Progress {
	ctx, stop := context.WithCancel(ctx)
	p := &Progress{
		w: w, style: s, last: last, stop: stop, over: make(chan struct{}), running: map[plan.Subject]*activity{},
	}
	go p.run(ctx)
	return p
}

// Live makes the display draw over itself. Call it before the first event.
func (p *Progress) Live() *Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.live = true
	return p
}

// Align makes room for the names of a plan's containers, so that what follows them stands in columns.
func (p *Progress) Align(lanes []plan.Lane) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range lanes {
		p.names = min(max(p.names, cells(label(execute.Event{Lane: l}))), maxLabel)
	}
}

// Write writes lines of somebody else's, such as a log's, above those of running steps.
func (p *Progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	n, err := p.w.Write(b)
	p.draw()
	return n, err
}

// Close ends the display and leaves the lines of steps that ended. It may be called again.
func (p *Progress) Close() {
	p.stop()
	<-p.over
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	clear(p.running)
}

// Event shows an event.
func (p *Progress) Event(e execute.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := e.Lane.Subject()
	switch e.Kind {
	case execute.StepStarted:
		now := time.Now()
		p.running[id] = &activity{lane: pad(label(e), p.names), step: verb(e), begin: now, told: now}
	case execute.TaskStarted:
		if a := p.running[id]; a != nil {
			a.task, a.waiting = e.Task, ""
		}
	case execute.Waiting:
		if a := p.running[id]; a != nil {
			a.waiting = e.Reason
		}
		if !p.live {
			p.print("  %s  %s: waits, %s", label(e), verb(e), Clean(e.Reason))
		}
	case execute.StepEnded:
		delete(p.running, id)
		p.ended(e)
	case execute.LaneEnded:
		delete(p.running, id)
	}
	p.draw()
}

func label(e execute.Event) string { return title(e.Lane.Subject(), e.Lane.Name) }

// verb is what the step does; what a container is made from was shown with the plan.
func verb(e execute.Event) string {
	op := e.Lane.Steps[e.Step].Op
	if _, ok := op.(plan.CreateContainer); ok {
		return plan.Create.String()
	}
	return Clean(op.Verb())
}

func (p *Progress) ended(e execute.Event) {
	p.erase()
	mark, c, text := "✓", green, verb(e)
	if e.Err != nil {
		mark, c, text = "✗", red, text+": "+Clean(e.Err.Error())
	}
	prefix := fmt.Sprintf("%s  %6s  ", pad(label(e), p.names), elapsed(e.Since))
	lines := wrap(text, p.style.width()-4-cells(prefix))
	p.print("  %s %s%s", p.style.paint(c, mark), prefix, lines[0])
	for _, l := range lines[1:] {
		p.print("    %s%s", strings.Repeat(" ", cells(prefix)), l)
	}
}

func (p *Progress) print(format string, args ...any) {
	// there is nobody to tell of an error, and apply goes on without a display
	_, _ = fmt.Fprintf(p.w, format+"\n", args...)
}

// erase removes the lines of running steps.
func (p *Progress) erase() {
	if p.drawn > 0 {
		_, _ = fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}

// maxLines is how many running steps are shown at once.
const maxLines = 12

// draw writes the lines of running steps anew.
func (p *Progress) draw() {
	if !p.live {
		return
	}
	p.erase()
	now := time.Now()
	ids := slices.SortedFunc(maps.Keys(p.running), plan.Subject.Compare)
	for i, id := range ids {
		if i == maxLines {
			p.print("    and %d more", len(ids)-i)
			p.drawn++
			break
		}
		p.print("%s", p.style.paint(dim, cut(p.running[id].line(now), p.style.width()-1)))
		p.drawn++
	}
}

func (a *activity) line(now time.Time) string {
	text := fmt.Sprintf("  … %s  %6s  %s", a.lane, elapsed(now.Sub(a.begin)), a.step)
	switch {
	case a.waiting != "":
		text += "  waits: " + Clean(a.waiting)
	case a.log != "":
		text += "  " + Clean(a.log)
	}
	return text
}

func elapsed(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return uptime(d)
}

func (p *Progress) run(ctx context.Context) {
	defer close(p.over)
	tick := time.NewTicker(drawEvery)
	defer tick.Stop()
	var asked time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if p.last != nil && now.Sub(asked) >= logEvery {
				asked = now
				p.readLogs(ctx)
			}
			p.mu.Lock()
			p.tell(now)
			p.draw()
			p.mu.Unlock()
		}
	}
}

// tell writes a line of each step that has gone on for long, where there is no terminal.
func (p *Progress) tell(now time.Time) {
	if p.live {
		return
	}
	for _, id := range slices.SortedFunc(maps.Keys(p.running), plan.Subject.Compare) {
		if a := p.running[id]; now.Sub(a.told) >= tellEvery {
			a.told = now
			p.print("%s", a.line(now))
		}
	}
}

// readLogs asks for the last lines of the tasks that are shown.
func (p *Progress) readLogs(ctx context.Context) {
	p.mu.Lock()
	tasks := map[plan.Subject]proxmox.UPID{}
	for _, id := range slices.SortedFunc(maps.Keys(p.running), plan.Subject.Compare) {
		a := p.running[id]
		due := p.live || time.Since(a.told) >= tellEvery-logEvery
		if due && !a.task.IsZero() && time.Since(a.begin) >= logEvery && len(tasks) < maxLines {
			tasks[id] = a.task
		}
	}
	p.mu.Unlock()
	for id, task := range tasks {
		text, err := p.last(ctx, task)
		p.mu.Lock()
		if a := p.running[id]; a != nil && a.task == task && err == nil {
			a.log = text
		}
		p.mu.Unlock()
	}
}
