package calendar

import "time"

// A Gap is the time between two runs that follow one another; the zero Gap is none.
type Gap struct{ From, To time.Time }

// Length is how long it is.
func (g Gap) Length() time.Duration { return g.To.Sub(g.From) }

// Where Gaps stops looking.
const (
	gapYears = 10
	gapRuns  = 20000
)

// Gaps returns the shortest and the longest time between two runs after the given one, the first of each. It looks at
// ten years, or at 20,000 runs where these are sooner; with less than two runs there are none.
func (e Event) Gaps(after time.Time, o Options) (shortest, longest Gap) {
	limit, runs := after.AddDate(gapYears, 0, 0), 0
	var last time.Time
	for at := range e.Times(after, o) {
		if runs++; runs > gapRuns || at.After(limit) {
			break
		}
		if g := (Gap{last, at}); !last.IsZero() {
			if shortest == (Gap{}) || g.Length() < shortest.Length() {
				shortest = g
			}
			if g.Length() > longest.Length() {
				longest = g
			}
		}
		last = at
	}
	return shortest, longest
}
