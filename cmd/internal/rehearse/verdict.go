package rehearse

import (
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
)

// A Verdict says how sure it is that something goes wrong with a container.
type Verdict string

// The verdicts.
const (
	Fine      Verdict = "fine"       // nothing goes wrong, whatever it is that could not be read
	MayFail   Verdict = "may fail"   // something goes wrong or not, by what could not be read
	WouldFail Verdict = "would fail" // something goes wrong, whatever it is that could not be read
)

// A Doubt is something that may go wrong with a container.
type Doubt struct {
	Class Class  // the kind of the error
	Step  string // the verb of the step that would fail; empty where none is tried
	Err   error  // what Proxmox would say; nil where nothing was tried
	// Because are sentences on what is not known and decides.
	Because []string
}

func (d Doubt) same(f Forecast) bool { return d.Class == f.Class && d.Step == f.Step() }

// Step is the verb of the step that failed, empty where none did.
func (f Forecast) Step() string {
	if f.At == nil {
		return ""
	}
	return f.At.Op.Verb()
}

// judge compares the outcomes of all tries, of which the first assumes what is most likely.
func (c *Copy) judge(tries []*try) []Forecast {
	base := tries[0]
	all := map[plan.Subject]bool{}
	for _, t := range tries {
		for s := range t.forecasts {
			all[s] = true
		}
	}
	var list []Forecast
	for _, s := range slices.SortedFunc(maps.Keys(all), plan.Subject.Compare) {
		f, known := base.forecasts[s]
		if !known { // a container that nothing is done to
			f = Forecast{Container: reconcile.Container{Kind: s.Kind, Ref: proxmox.Ref{Node: s.Node, ID: s.ID}, Name: s.Name}}
		}
		list = append(list, verdictOf(f, s, tries))
	}
	c.between(base, list)
	waits(base, list)
	return slices.DeleteFunc(list, func(f Forecast) bool {
		return f.State == reconcile.Unchanged && f.Err == nil && f.Verdict == Fine
	})
}

// verdictOf is the verdict on one container, with what goes wrong with it in any of the tries.
func verdictOf(f Forecast, s plan.Subject, tries []*try) Forecast {
	failed := 0
	for _, t := range tries {
		other := t.forecasts[s]
		if !other.Failed() {
			continue
		}
		failed++
		known := func(d Doubt) bool { return d.same(other) }
		if t != tries[0] && f.Failed() && other.Class == f.Class && other.Step() == f.Step() || slices.ContainsFunc(f.Doubts, known) {
			continue
		}
		if t != tries[0] {
			f.Doubts = append(f.Doubts, doubtOf(other, t.because()))
		}
	}
	switch {
	case failed == len(tries):
		f.Verdict = WouldFail
	case failed == 0:
		f.Verdict = Fine
	default:
		f.Verdict = MayFail
		if f.Failed() { // the most likely is that it fails; what is unlikely keeps it from that
			f.Doubts = slices.Insert(f.Doubts, 0, doubtOf(f, spares(s, tries)))
		}
	}
	return f
}

func doubtOf(f Forecast, because []string) Doubt {
	if f.Hint != "" {
		because = append([]string{f.Hint}, because...)
	}
	return Doubt{Class: f.Class, Step: f.Step(), Err: f.Err, Because: because}
}

// spares are the reasons of the smallest difference with which a container does not fail.
func spares(s plan.Subject, tries []*try) []string {
	for _, t := range tries {
		if !t.forecasts[s].Failed() {
			return t.because()
		}
	}
	return nil
}

// between finds what may fail between the two ends of what is not known: where a copy may fill a storage or may not
// be made, it may also just fit and leave no room for others.
func (c *Copy) between(base *try, list []Forecast) {
	full := map[string]plan.Subject{} // storages, and what may fill them
	for _, f := range list {
		for _, d := range f.Doubts {
			if d.Class != Full && d.Class != Other {
				continue
			}
			for _, storage := range base.written(f, d.Step) {
				if _, known := full[storage]; !known {
					full[storage] = f.Subject()
				}
			}
		}
	}
	for i := range list {
		f := &list[i]
		for _, step := range base.steps(*f) {
			for _, storage := range writes(step.Op, base.have) {
				by, known := full[storage]
				if !known || by == f.Subject() || f.Verdict == WouldFail {
					continue
				}
				d := Doubt{Class: c.noRoom(step.Op, storage), Step: step.Op.Verb()}
				d.Because = []string{fmt.Sprintf("how much room %s leaves on storage %s is not known", by, storage)}
				if !slices.ContainsFunc(f.Doubts, func(o Doubt) bool { return o.Class == d.Class && o.Step == d.Step }) {
					f.Verdict, f.Doubts = MayFail, append(f.Doubts, d)
				}
			}
		}
	}
}

// noRoom is the class of the error with which a full storage refuses: a change of settings, which has no log, tells
// of the tool that fails only its exit code.
func (c *Copy) noRoom(op plan.Op, storage string) Class {
	s := c.State.Storages[storage]
	if _, ofSettings := op.(plan.SetConfig); ofSettings && s != nil && s.Type != "lvm" {
		return Other
	}
	return Full
}

// waits finds containers that wait for others which may fail.
func waits(base *try, list []Forecast) {
	may := map[plan.Subject]bool{}
	for _, f := range list {
		may[f.Subject()] = f.Verdict == MayFail
	}
	for range list { // until it has gone down the longest line
		for i := range list {
			f := &list[i]
			lane := base.plan.Of(f.Subject())
			if f.Verdict != Fine || lane == nil {
				continue
			}
			for _, other := range list {
				if may[other.Subject()] && (slices.Contains(lane.After, other.Ref.ID) && other.Kind == plan.ContainerKind || slices.Contains(lane.Uses, other.Subject())) {
					f.Verdict, may[f.Subject()] = MayFail, true
					f.Doubts = append(f.Doubts, Doubt{Class: Other, Because: []string{fmt.Sprintf("it waits for %s, which may fail", other.Subject())}})
					break
				}
			}
		}
	}
}
