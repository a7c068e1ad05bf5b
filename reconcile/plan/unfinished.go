package plan

import (
	"slices"
	"strings"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A container from an image, a clone or a backup is not yet what the spec says when it comes into being. Until it
// is, its description says so. By this it is known as ours though a clone cannot be given a tag, also after a crash
// between the two calls, and to a tend on another machine; and by this it is known that it has never run, so that
// it is not started while something is left that only a person can do.

// mark is the description of a container that is not finished.
func (c *computation) mark() string {
	return "Not finished yet: tend starts it once it is as the spec says. Owner: " + c.want.Cluster.Owner
}

func (c *computation) unfinished(have *Observed) bool {
	text, _ := setting.Description.Get(have.Current.Record)
	return strings.TrimRight(text, "\n") == c.mark()
}

// ours reports whether a container is one that this spec manages.
func (c *computation) ours(have *Observed) bool {
	return have.Owned(c.want.Cluster.Owner) || c.unfinished(have)
}

// finish takes the edit that removes the mark out of the others, since it comes last. Where something is blocked
// that no later run does by itself, the mark stays and the container is not started.
func (c *computation) finish(w *spec.Container, have *Observed, edits []edit) (rest, mark []edit, hold bool) {
	if !c.unfinished(have) {
		return edits, nil, false
	}
	for _, e := range edits {
		if e.key == setting.Description.PVE {
			mark = append(mark, e)
		} else {
			rest = append(rest, e)
		}
	}
	hold = !have.Running && slices.ContainsFunc(c.plan.Blocked, func(b Blocked) bool {
		return b.ID == w.ID && b.Change != nil && !b.Waiting
	})
	if !hold {
		return rest, mark, false
	}
	if w.Power == spec.Running {
		c.block(Blocked{
			ID: w.ID, Name: w.Name, What: "start", Waiting: true,
			Reason: "it was made just now and is not as the spec says: it is started for the first time once it is",
			Ways:   []string{"do what the other blocked changes of this container say"},
		})
	}
	return rest, nil, true
}

// beforeStart puts steps before the start of a container, or before it becomes a template, or at the end.
func beforeStart(steps, put []Step) []Step {
	at := len(steps)
	if i := slices.IndexFunc(steps, func(s Step) bool { return s.Op == Op(Start{}) || s.Op == Op(MakeTemplate{}) }); i >= 0 {
		at = i
	}
	return slices.Insert(steps, at, put...)
}

// keptOfImage are the settings that an image brings and that the spec does not speak of: what runs in a container
// of an image is the image's business.
func keptOfImage(w *spec.Container) []string {
	if w.From.Image == "" {
		return nil
	}
	var out []string
	for _, row := range []setting.Row{setting.EntryPoint, setting.Env, setting.ConsoleMode} {
		if _, written := w.Settings[row.SpecPath()]; !written {
			out = append(out, row.SpecPath())
		}
	}
	return out
}

// withImageNetwork is the wanted record with interfaces that the node manages, where the spec does not say how:
// Proxmox makes them so for an image, which holds no DHCP client. The node cannot do SLAAC for a guest.
func withImageNetwork(w *spec.Container, want setting.Record) setting.Record {
	members, ok := want[setting.Network.Path].(setting.Members)
	if w.From.Image == "" || !ok {
		return want
	}
	out := setting.Members{}
	for id, r := range members {
		if _, written := setting.HostManaged.Get(r); !written && setting.IPv6.Or(r, "") != "auto" {
			r = setting.Overlay(r, setting.Record{setting.HostManaged.Path: true})
		}
		out[id] = r
	}
	want[setting.Network.Path] = out // the record is a copy
	return want
}
