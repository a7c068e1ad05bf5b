package report

import "sync"

// A Board is where an agent puts its report up. There is one agent and there are many readers. The zero value is an
// empty board.
type Board struct {
	mu      sync.Mutex // guards what is below
	report  *Report
	changed chan struct{}
}

// Publish puts a report up in place of the one before. Whoever publishes must not change it, or anything in it,
// afterwards.
func (b *Board) Publish(r *Report) {
	r.Version, r.Kind = Version, "report"
	b.mu.Lock()
	defer b.mu.Unlock()
	b.report = r
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

// Report returns the report, which must not be changed, and a channel that is closed when there is another. It is
// nil as long as none was published.
func (b *Board) Report() (*Report, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.report, b.changed
}
