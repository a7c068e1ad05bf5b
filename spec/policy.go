package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/proxmox/prune"
	"github.com/felhom/tend/spec/setting"
)

// A SnapshotPolicy says when snapshots of a container are taken and which of them are kept.
type SnapshotPolicy struct {
	Name     string
	Settings setting.Record // as written; all below follows from it

	Schedule calendar.Event // the zero Event where there is none
	Times    calendar.Options
	Keep     prune.Keep
	MaxAge   time.Duration // 0: as the schedule says
	MinAge   time.Duration
	// MaxDeletions is how many are dropped in a run at most.
	MaxDeletions int
	Prefix       string

	BeforeChange bool
	ChangeAge    time.Duration

	Spread   time.Duration
	CatchUp  bool
	AtOnce   bool
	LockWait time.Duration

	Fallback   string // storage of the backup in place of a snapshot; empty: none
	Before     Hook
	After      Hook
	DropUnused bool // drop its snapshots where no container has it any more
	Place      Place
}

// A Hook is a command that is run in the container.
type Hook struct {
	Command   []string // nil: none
	Timeout   time.Duration
	OnFailure HookFailure
}

// A HookFailure says what follows from a failed hook.
type HookFailure string

// What may follow.
const (
	HookAbort    HookFailure = "abort"
	HookContinue HookFailure = "continue"
)

// Names of policies that have a meaning.
const (
	NoPolicy  = "none" // in a container: no snapshots
	OwnPolicy = "own"  // of a container that writes its policy itself
)

// What names of snapshots may be (pve-guest-common and pve-common JSONSchema.pm, pve-configid with a length of 40), and
// the time in those that tend gives.
const (
	MaxSnapshotName = 40
	SnapshotStamp   = "20060102T150405Z"
)

// ValidSnapshotName reports whether Proxmox would take a snapshot of this name: 2 to 40 letters, digits, - and _, a
// letter first, and none of the names that it keeps for itself (pve-guest-common AbstractConfig.pm).
func ValidSnapshotName(s string) bool {
	if len(s) < 2 || len(s) > MaxSnapshotName || s == "current" || s == "vzdump" {
		return false
	}
	for i, c := range []byte(s) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-' && c != '_') {
			return false
		}
	}
	return true
}

// NewSnapshotPolicy makes a policy from the values of [PolicyFields], or of a container's [Snapshots]. What is missing
// is left at its zero value: [Validate] finds it.
func NewSnapshotPolicy(name string, r setting.Record, c Cluster, at Place) *SnapshotPolicy {
	p := &SnapshotPolicy{
		Name: name, Settings: r, Place: at,
		Times:        calendar.Options{Location: time.UTC},
		Keep:         newKeep(PolicyKeep.Or(r, nil)),
		MaxAge:       PolicyMaxAge.Or(r, 0),
		MinAge:       PolicyMinAge.Or(r, *PolicyMinAge.Default),
		MaxDeletions: int(PolicyMaxDeletions.Or(r, *PolicyMaxDeletions.Default)),
		Prefix:       PolicyPrefix.Or(r, *PolicyPrefix.Default),
		BeforeChange: PolicyBeforeChange.Or(r, *PolicyBeforeChange.Default),
		ChangeAge:    PolicyChangeAge.Or(r, *PolicyChangeAge.Default),
		Spread:       PolicySpread.Or(r, *PolicySpread.Default),
		CatchUp:      PolicyCatchUp.Or(r, *PolicyCatchUp.Default),
		AtOnce:       PolicyAtOnce.Or(r, *PolicyAtOnce.Default),
		LockWait:     PolicyLockWait.Or(r, *PolicyLockWait.Default),
		Fallback:     PolicyFallback.Or(r, ""),
		Before:       newHook(r, PolicyBefore, PolicyBeforeTimeout, PolicyBeforeFailure),
		After:        newHook(r, PolicyAfter, PolicyAfterTimeout, PolicyAfterFailure),
		DropUnused:   PolicyWhenUnused.Or(r, *PolicyWhenUnused.Default) == "drop",
	}
	if loc, err := Location(PolicyTimeZone.Or(r, c.TimeZone)); err == nil {
		p.Times.Location = loc
	}
	if PolicyDST.Or(r, *PolicyDST.Default) == calendar.Upstream.String() {
		p.Times.DST = calendar.Upstream
	}
	if e, err := calendar.Parse(PolicySchedule.Or(r, "")); err == nil {
		p.Schedule = e
	}
	return p
}

func newHook(r setting.Record, command setting.Key[[]string], timeout setting.Key[time.Duration], failure setting.Key[string]) Hook {
	return Hook{command.Or(r, nil), timeout.Or(r, *timeout.Default), HookFailure(failure.Or(r, *failure.Default))}
}

// Record is the inverse of [NewSnapshotPolicy]: what an author would write.
func (p *SnapshotPolicy) Record() setting.Record { return maps.Clone(p.Settings) }

// Equal reports whether two policies say the same under the same name, wherever they are written.
func (p *SnapshotPolicy) Equal(q *SnapshotPolicy) bool {
	if p == nil || q == nil {
		return p == q
	}
	return p.Name == q.Name && p.Times.Location.String() == q.Times.Location.String() && PolicyFields.Equal(p.Settings, q.Settings)
}

// Scheduled reports whether snapshots are taken by a schedule.
func (p *SnapshotPolicy) Scheduled() bool { return p.Schedule.String() != "" }

// Policy returns the policy with a name, or nil.
func (s *State) Policy(name string) *SnapshotPolicy {
	for _, p := range s.Policies {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// PolicyOf returns the snapshot policy of a container: the one that it names, with what it changes of it, or its own
// under the name of [OwnPolicy]. It is nil where it has none.
func (s *State) PolicyOf(c *Container) *SnapshotPolicy {
	name, named := UsePolicy.Get(c.Snapshots)
	base := s.Policy(name)
	switch {
	case c.Snapshots == nil, named && base == nil:
		return nil
	case named && len(c.Snapshots) == 1:
		return base
	}
	own := maps.Clone(c.Snapshots)
	delete(own, UsePolicy.Path)
	if !named {
		return NewSnapshotPolicy(OwnPolicy, own, s.Cluster, c.Place)
	}
	return NewSnapshotPolicy(name, setting.Overlay(base.Settings, own), s.Cluster, c.Place)
}

// policies checks the snapshot policies, and those of containers.
func (v *validation) policies() {
	var known []string
	for _, p := range v.state.Policies {
		at := setting.Path{SnapshotPolicies.Path, p.Name}
		known = append(known, p.Name)
		if p.Name == NoPolicy || p.Name == OwnPolicy {
			v.fault(at, nil, "is a word of its own under snapshots: give the policy another name")
			continue
		}
		v.policy(p, at)
	}
	for _, c := range v.state.Containers {
		at := pathOf(c, Snapshots)
		name, named := UsePolicy.Get(c.Snapshots)
		switch {
		case named && len(c.Snapshots) > 1 && name == NoPolicy:
			v.fault(at, nil, "is none and has fields: remove them, or name a policy")
		case named && name != NoPolicy && v.state.Policy(name) == nil:
			v.fault(at, nil, "there is no snapshot policy %q%s", name, knownPolicies(name, known))
		case c.Snapshots != nil && (!named || len(c.Snapshots) > 1):
			v.policy(v.state.PolicyOf(c), at)
		}
	}
}

func knownPolicies(name string, known []string) string {
	switch near := didYouMean(name, known); {
	case near != "":
		return near
	case len(known) == 0:
		return ": none is written under snapshotPolicies"
	}
	return ": the policies are " + strings.Join(known, ", ")
}

// policy checks a policy that is written, in whole or in part, at a place.
func (v *validation) policy(p *SnapshotPolicy, at setting.Path) {
	to := func(row setting.Row) setting.Path { return below(at, row)[0] }
	schedule, keep := to(PolicySchedule), to(PolicyKeep)
	_, written := PolicySchedule.Get(p.Settings)
	switch {
	case !written && !p.BeforeChange:
		v.fault(schedule, []setting.Path{to(PolicyBeforeChange)}, "is missing: write when snapshots are taken, as in schedule: %s, or beforeChange: true", PolicySchedule.Example)
	case written && !p.Keep.Limited():
		v.fault(keep, below(keep, policyKeep.Rows...), "keeps nothing: write at least one count above 0, as in keep: {daily: 7}")
	case written:
		v.rhythm(p, at)
	}
	// Each snapshot is a copy of the configuration in one file, of which the cluster's file system takes 1 MiB.
	if n := p.Keep.Most(); n > mostSnapshots {
		v.fault(keep, nil, "keeps up to %d snapshots of each container, and all of them are in the one file of its configuration: keep at most %d", n, mostSnapshots)
	}
	if n := len(p.SnapshotName(time.Time{})); n > MaxSnapshotName {
		v.fault(to(PolicyPrefix)[:len(at)], []setting.Path{to(PolicyPrefix)}, "makes names of snapshots such as %s, %d characters long, and Proxmox takes %d: shorten the name of the policy or the prefix by %d",
			p.SnapshotName(time.Date(2026, 11, 21, 1, 30, 0, 0, time.UTC)), n, MaxSnapshotName, n-MaxSnapshotName)
	}
	for _, hook := range []struct{ command, timeout, failure setting.Row }{
		{PolicyBefore, PolicyBeforeTimeout, PolicyBeforeFailure}, {PolicyAfter, PolicyAfterTimeout, PolicyAfterFailure},
	} {
		for _, row := range []setting.Row{hook.timeout, hook.failure} {
			if p.Settings[hook.command.SpecPath()] == nil && p.Settings[row.SpecPath()] != nil {
				v.fault(to(row), []setting.Path{to(hook.command)}, "means nothing without a command beside it")
			}
		}
	}
}

const mostSnapshots = 200

// Epoch is before any run of tend: what schedules are judged from, since no clock is read here.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// rhythm checks what must fit to the times between the runs of a policy.
func (v *validation) rhythm(p *SnapshotPolicy, at setting.Path) {
	with := below(at, PolicySchedule, PolicyTimeZone, PolicyDST)
	if _, ok := p.Schedule.Next(Epoch, p.Times); !ok && p.Scheduled() {
		v.fault(below(at, PolicySchedule)[0], with, "never comes: %s", p.Schedule.Describe())
	}
	if p.MaxAge == 0 && p.Spread == 0 {
		return
	}
	shortest, longest := p.Schedule.Gaps(Epoch, p.Times)
	const form = "Mon 2006-01-02 15:04"
	if d := longest.Length() + p.Spread; p.MaxAge > 0 && p.MaxAge < d {
		spread := ""
		if p.Spread > 0 {
			spread = fmt.Sprintf(", and spread adds %s", shortDuration(p.Spread))
		}
		v.fault(below(at, PolicyMaxAge)[0], slices.Concat(with, below(at, PolicySpread)),
			"%s is shorter than the longest pause of the schedule, %s from %s to %s%s: the newest snapshot would count as overdue with nothing missing; write %s or more",
			shortDuration(p.MaxAge), shortDuration(longest.Length()), longest.From.Format(form), longest.To.Format(form), spread, shortDuration(d.Truncate(time.Hour)+time.Hour))
	}
	if d := shortest.Length(); p.Spread > 0 && d > 0 && p.Spread >= d {
		v.fault(below(at, PolicySpread)[0], with, "%s is not shorter than the shortest time between two runs, %s from %s to %s",
			shortDuration(p.Spread), shortDuration(d), shortest.From.Format(form), shortest.To.Format(form))
	}
}

func shortDuration(d time.Duration) string { return setting.Duration().Text(d) }

// SnapshotName is the name of a snapshot that the policy takes at a time: prefix, policy and time in UTC.
func (p *SnapshotPolicy) SnapshotName(at time.Time) string {
	return p.Prefix + "-" + p.Name + "-" + at.UTC().Format(SnapshotStamp)
}
