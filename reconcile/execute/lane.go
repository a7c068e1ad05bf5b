package execute

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/felhom/tend/reconcile/plan"
)

// A lane is a lane of the plan while it is carried out.
type lane struct {
	plan.Lane
	run    *run
	known  known
	begin  time.Time
	result LaneResult
	over   chan struct{} // closed once the result stands

	backupTo string // storage of the backup that the lane has made
	safe     string // the backup that is being restored over the container
}

func newRun(x *Executor, p *plan.Plan) *run {
	r := &run{Executor: x, by: map[plan.Subject]*lane{}, slots: newSlots(x, p)}
	for _, l := range p.Lanes {
		r.all = append(r.all, &lane{
			Lane: l, run: r, known: known{config: l.Base}, over: make(chan struct{}),
			result: LaneResult{Lane: l},
		})
		r.by[l.Subject()] = r.all[len(r.all)-1]
	}
	return r
}

// lanes runs all lanes and returns when they have ended. Those of a node start in the order of the plan.
func (r *run) lanes(ctx context.Context) {
	byNode := map[string][]*lane{}
	for _, l := range r.all {
		byNode[l.Ref.Node] = append(byNode[l.Ref.Node], l)
	}
	circle := r.circle()
	var wg sync.WaitGroup
	for _, lanes := range byNode {
		wg.Go(func() {
			for _, l := range lanes {
				if len(l.before()) > 0 {
					wg.Go(func() { l.after(ctx, circle) })
					continue
				}
				if l.admitted(ctx) {
					wg.Go(func() { l.carryOut(ctx) })
				}
			}
		})
	}
	wg.Wait()
}

// circle are the lanes that can never start, since in the end they come after themselves.
func (r *run) circle() map[*lane]bool {
	left := map[*lane]bool{}
	for _, l := range r.all {
		left[l] = true
	}
	for again := true; again; {
		again = false
		for l := range left {
			waits := func(s plan.Subject) bool { return left[r.by[s]] }
			if !slices.ContainsFunc(l.before(), waits) {
				delete(left, l)
				again = true
			}
		}
	}
	return left
}

// before is what must have ended well before the lane begins.
func (l *lane) before() []plan.Subject {
	out := slices.Clone(l.Uses)
	for _, id := range l.After {
		out = append(out, plan.Subject{ID: id})
	}
	return out
}

// after carries the lane out once those before it have ended well.
func (l *lane) after(ctx context.Context, circle map[*lane]bool) {
	if circle[l] {
		l.end(Failed, errors.New("in the end it comes after itself"))
		return
	}
	for _, s := range l.before() {
		before := l.run.by[s]
		if before == nil {
			continue // nothing is done to it, so it is as it shall be
		}
		<-before.over // it ends, since it is told of ctx and Stop itself
		if s := before.result.Status; s != Done {
			l.end(Skipped, fmt.Errorf("comes after %s, which ended as: %s", before.title(), s))
			return
		}
	}
	if l.admitted(ctx) {
		l.carryOut(ctx)
	}
}

// title names the lane for people: "101 web", "template debian-13 on pve1".
func (l *lane) title() string {
	if l.Kind == plan.ContainerKind {
		return fmt.Sprintf("%d %s", l.Ref.ID, l.Name)
	}
	return l.Subject().String()
}

// admitted waits for room; where the run ends before, so does the lane.
func (l *lane) admitted(ctx context.Context) bool {
	err := l.goOn(ctx)
	if err == nil {
		err = l.run.slots.take(ctx, l.Ref.Node, l.run.Stop)
	}
	if err != nil {
		l.end(Interrupted, err)
	}
	return err == nil
}

// carryOut walks the steps. It gives its room back in the end.
func (l *lane) carryOut(ctx context.Context) {
	defer l.run.slots.free(l.Ref.Node)
	l.begin = time.Now()
	l.tell(Event{Kind: LaneStarted})
	for i, s := range l.Steps {
		if err := l.goOn(ctx); err != nil {
			l.end(Interrupted, err)
			return
		}
		begin := time.Now()
		l.tell(Event{Kind: StepStarted, Step: i})
		status, err := l.step(ctx, i, s, begin)
		l.tell(Event{Kind: StepEnded, Step: i, Status: status, Err: err, Since: time.Since(begin)})
		l.log(ctx, s, status, err, time.Since(begin))
		if status != Done {
			if status == Failed {
				err = l.startAgain(ctx, i, err)
			}
			if l.safe != "" && err != nil {
				err = fmt.Errorf("%w; everything it had is in the backup %s", err, l.safe)
			}
			l.end(status, err)
			return
		}
		l.safe = ""
		l.result.Steps++
	}
	l.end(Done, nil)
}

// startAgain starts a container that the lane has stopped for a step that failed, where it was to be started in the
// end: what could not be changed is no reason to be down.
func (l *lane) startAgain(ctx context.Context, failed int, err error) error {
	isStart := func(s plan.Step) bool { _, ok := s.Op.(plan.Start); return ok }
	isStop := func(s plan.Step) bool { _, ok := s.Op.(plan.Shutdown); return ok }
	last := slices.IndexFunc(l.Steps[failed:], isStart)
	if last <= 0 || !slices.ContainsFunc(l.Steps[:failed], isStop) || l.goOn(ctx) != nil {
		return err
	}
	index := failed + last
	begin := time.Now()
	l.tell(Event{Kind: StepStarted, Step: index})
	status, startErr := l.step(ctx, index, l.Steps[index], begin)
	l.tell(Event{Kind: StepEnded, Step: index, Status: status, Err: startErr, Since: time.Since(begin)})
	l.log(ctx, l.Steps[index], status, startErr, time.Since(begin))
	if startErr != nil {
		return fmt.Errorf("%w; the container, which was stopped for it, could not be started again: %w", err, startErr)
	}
	return fmt.Errorf("%w; the container, which was stopped for it, was started again", err)
}

var errStop = errors.New("stopped on request")

// goOn is nil unless nothing new shall be begun.
func (l *lane) goOn(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if l.run.stopping() {
		return errStop
	}
	return nil
}

// end puts the result down.
func (l *lane) end(s Status, err error) {
	l.result.Status, l.result.Err = s, err
	e := Event{Kind: LaneEnded, Status: s, Err: err}
	if !l.begin.IsZero() {
		e.Since = time.Since(l.begin)
	}
	l.tell(e)
	close(l.over)
}

func (l *lane) tell(e Event) {
	e.Lane = l.Lane
	l.run.tell(e)
}

func (l *lane) log(ctx context.Context, s plan.Step, status Status, err error, d time.Duration) {
	attrs := []any{
		l.who(), slog.String("node", l.Ref.Node), slog.String("step", s.Op.Verb()), slog.Duration("dur", d),
	}
	if status == Done {
		l.run.Log.InfoContext(ctx, "step done", attrs...)
		return
	}
	l.run.Log.WarnContext(ctx, "step not done", append(attrs, slog.String("status", status.String()), slog.Any("err", err))...)
}

// slots are the room for lanes: on each node, and in all.
type slots struct {
	all  *semaphore.Weighted
	node map[string]*semaphore.Weighted
}

func newSlots(x *Executor, p *plan.Plan) slots {
	s := slots{all: semaphore.NewWeighted(int64(x.ParallelAll)), node: map[string]*semaphore.Weighted{}}
	for _, l := range p.Lanes {
		if s.node[l.Ref.Node] == nil {
			s.node[l.Ref.Node] = semaphore.NewWeighted(int64(x.Parallel))
		}
	}
	return s
}

// take waits for room on a node, until ctx ends or stop is closed.
func (s slots) take(ctx context.Context, node string, stop <-chan struct{}) error {
	soft, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	waiting := make(chan struct{})
	defer close(waiting)
	go func() {
		select {
		case <-stop:
			cancel(errStop)
		case <-waiting:
		}
	}()
	if s.node[node].Acquire(soft, 1) != nil {
		return context.Cause(soft)
	}
	if s.all.Acquire(soft, 1) != nil {
		s.node[node].Release(1)
		return context.Cause(soft)
	}
	return nil
}

func (s slots) free(node string) {
	s.all.Release(1)
	s.node[node].Release(1)
}
