package plan

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

func join(parts []string) string { return strings.Join(parts, ", ") }

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// String is the plan as text: every change with its effect, and under it every call with what is sent. It is
// complete and stable, for tests and for people who want to see what runs; package view makes the plan that
// people read.
func (p *Plan) String() string {
	var b strings.Builder
	for _, l := range p.Lanes {
		b.WriteString(l.head() + "\n")
		for _, c := range l.Changes {
			for _, line := range c.Lines() {
				fmt.Fprintf(&b, "  %s %s · %s%s\n", line.Mark, strings.TrimSpace(line.Label+" "+line.Text), c.Effect, note(c.Note))
			}
		}
		for i, s := range l.Steps {
			fmt.Fprintf(&b, "  %d. %s%s%s\n", i+1, lane(s.Access), describe(s.Op), note(s.Cause))
		}
	}
	for _, x := range p.Blocked {
		who := x.Subject().String()
		if x.Kind == ContainerKind {
			who += " " + x.Name
		}
		fmt.Fprintf(&b, "%s: blocked: %s: %s\n", who, x.What, x.Reason)
	}
	for _, f := range p.Policies {
		fmt.Fprintf(&b, "%d %s: policy %s is blocked: %s\n", f.ID, f.Name, f.Policy, f.Reason)
	}
	for _, u := range p.Unused {
		fmt.Fprintf(&b, "%d %s: unused volume %s\n", u.ID, u.Name, u.Volume)
	}
	for _, u := range p.Unclaimed {
		fmt.Fprintf(&b, "%d %s: unclaimed, %s on %s\n", u.Ref.ID, u.Name, u.Status, u.Ref.Node)
	}
	fmt.Fprintf(&b, "%d in sync\n", p.InSync)
	return b.String()
}

// head is the first line of a lane.
func (l Lane) head() string {
	if l.Kind != ContainerKind {
		return fmt.Sprintf("%s: %s%s", l.Subject(), l.Action, uses(l))
	}
	action := l.Action.String()
	if l.Adopts {
		action = "adopt and " + action
	}
	return fmt.Sprintf("%d %s: %s on %s · %s%s", l.Ref.ID, l.Name, action, l.Ref.Node, l.Effect, uses(l))
}

// uses names the templates that the lane waits for.
func uses(l Lane) string {
	var out []string
	for _, s := range l.Uses {
		out = append(out, s.String())
	}
	if len(out) == 0 {
		return ""
	}
	return " · after " + join(out)
}

// lane marks what is done as root.
func lane(a setting.Access) string {
	if a.Root {
		return "as root: "
	}
	return ""
}

func note(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// describe is a call with all that it sends, but for secrets, of which an operation knows only the place.
func describe(op Op) string {
	switch o := op.(type) {
	case CreateContainer:
		return o.Verb() + into(o.Pool) + ": " + assignments(o.Values)
	case CreateJob:
		return o.Verb() + ": " + assignments(o.Values)
	case UpdateJob:
		return "backup job " + o.ID + ": " + describe(SetConfig{Set: o.Set, Delete: o.Delete})
	case DownloadURL:
		return o.Verb() + " from " + o.URL + ", " + o.Checksum.String()
	case RestoreContainer:
		return o.Verb() + " to " + o.Storage + ": " + assignments(o.Values)
	case RestoreOver:
		return o.Verb() + ": " + assignments(o.Values)
	case SetConfig:
		parts := []string{}
		if len(o.Set) > 0 {
			parts = append(parts, "set "+assignments(o.Set))
		}
		if len(o.Delete) > 0 {
			parts = append(parts, "delete "+join(o.Delete))
		}
		if len(o.Revert) > 0 {
			parts = append(parts, "revert "+join(o.Revert))
		}
		return strings.Join(parts, "; ")
	case SetRaw:
		return o.Verb() + note(setting.Raw.Text(o.Lines))
	case DestroyContainer:
		return o.Verb() + " with " + join(o.Volumes)
	case RemoveRemnant:
		if len(o.Volumes) > 0 {
			return o.Verb() + ", with " + join(o.Volumes)
		}
	}
	return op.Verb()
}

func into(pool string) string {
	if pool == "" {
		return ""
	}
	return " in pool " + pool
}

func assignments(values map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(values)) {
		v := strconv.Quote(values[k])
		if k == setting.Env.PVE { // its values are secrets more often than not
			v = "…"
			if env, err := setting.Env.ParseWire(values[k]); err == nil {
				v = setting.Env.Text(env)
			}
		}
		parts = append(parts, k+"="+v)
	}
	return strings.Join(parts, " ")
}
