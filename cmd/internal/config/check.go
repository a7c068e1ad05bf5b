package config

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/reconcile/permit"
)

// check finds what no field alone shows to be wrong. n is the mapping that the agent was read from.
func (a Agent) check(n *yaml.Node) (faults []error) {
	fault := func(field, format string, args ...any) {
		faults = append(faults, at(nodeOf(n, field), field+": "+format, args...))
	}
	modes := permit.Modes()
	if a.Mode != "" && !slices.Contains(modes, a.Mode) {
		fault("mode", "%q is none of %s", a.Mode, words(modes))
	}
	outside := []permit.Outside{permit.OutsideAll, permit.OutsideOnline, permit.OutsideNothing}
	if a.Outside != "" && !slices.Contains(outside, a.Outside) {
		fault("outsideWindows", "%q is none of %s", a.Outside, words(outside))
	}
	if a.Outside != "" && len(a.Windows) == 0 {
		fault("outsideWindows", "there are no windows: write windows, too")
	}
	for i, w := range a.Windows {
		switch {
		case w.Duration <= 0:
			fault("windows", "window %d has no duration: write how long it stays open, as in 2h", i+1)
		case w.Schedule.String() == "":
			fault("windows", "window %d has no schedule: write when it opens, as in sun 03:00", i+1)
		}
	}
	a.checkNumbers(fault)
	if nodeOf(n, "source") != n {
		a.Source.check(fault)
	}
	if (a.Web.CertFile == "") != (a.Web.KeyFile == "") {
		fault("web", "certFile and keyFile go together")
	}
	a.Notify.check(fault)
	a.CommitStatus.check(a.Source.Git, fault)
	return faults
}

func (a Agent) checkNumbers(fault func(field, format string, args ...any)) {
	if nonzero := a.Prune.Max != 0 || a.Prune.Percent != 0 || a.Prune.Grace != 0; nonzero && !a.Prune.On {
		fault("prune", "is off: write enabled: true, too")
	}
	if a.Prune.Max < 0 || a.Prune.Percent < 0 || a.Prune.Percent > 100 {
		fault("prune", "max is a number of containers, and percent one from 0 to 100")
	}
	if a.Parallel < 0 || a.Parallel > 32 {
		fault("parallel", "%d is no number from 1 to 32", a.Parallel)
	}
	if a.Interval != 0 && a.Interval < Duration(minInterval) {
		fault("interval", "is less than %s, which keeps a node busy for nothing", minInterval)
	}
	if a.History.Runs < 0 || a.History.Megabytes < 0 || a.History.Megabytes > 1024 {
		fault("history", "runs and megabytes (at most 1024) are numbers above 0")
	}
	for _, b := range []*int{a.Budget.RestartsPerRun, a.Budget.RestartsPerDay, a.Budget.DestroysPerRun, a.Budget.DestroysPerDay} {
		if b != nil && *b < 0 {
			fault("budget", "%d is less than 0: leave out what shall have no bound", *b)
		}
	}
}

func (s Source) check(fault func(field, format string, args ...any)) {
	if s.Dir != "" && s.Git != "" {
		fault("source", "is a folder (dir) or a repository (git), not both")
	}
	refs := 0
	for _, r := range []string{s.Branch, s.Tag, s.Semver} {
		if r != "" {
			refs++
		}
	}
	if refs > 1 {
		fault("source", "branch, tag and semver say the same thing: write one of them")
	}
	if s.Git == "" && s.Dir != "" && !reflect.DeepEqual(s, Source{Dir: s.Dir}) {
		fault("source", "dir stands alone: all else is about git")
	}
	if s.Git == "" && s.Dir == "" {
		fault("source", "names neither dir nor git")
	}
}

// nodeOf is the key of a field, or the mapping itself.
func nodeOf(n *yaml.Node, field string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == field {
			return n.Content[i]
		}
	}
	return n
}

func words[T ~string](list []T) string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return strings.Join(out, ", ")
}

// minInterval is the least time between two looks.
const minInterval = 5 * time.Second
