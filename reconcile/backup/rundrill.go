package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// drillStop is how long the scratch container of a drill may take to shut down: nothing in it is needed.
const drillStop = 10 * time.Second

// A DrillWish is what a drill is asked for.
type DrillWish struct {
	Owner   string
	Archive Archive
	Scratch proxmox.VMID  // 0: a free one
	Storage string        // of the scratch container's volumes; empty: each where it was
	For     time.Duration // how long it must run
	Nodes   map[string]bool
	Disks   Disks
	Say     func(string) // is told what is done, in a line each; nil: nobody is
}

// RunDrill proves that an archive can be restored: into a container of its own, without network, which must start and
// run for a while, and is destroyed after that. What the container is good for otherwise, it does not prove.
//
// The drill says how that went. The error is why nothing was proven either way, as where the token may not do it, or why
// the scratch container is still there; a drill that is begun later removes it. Nothing is ever destroyed that does not
// carry the mark of a drill.
func RunDrill(ctx context.Context, x *execute.Executor, w DrillWish) (d Drill, err error) {
	d = Drill{Archive: w.Archive.ID, Made: w.Archive.Created, At: time.Now()}
	r := &rehearsal{DrillWish: w, x: x}
	if w.Say == nil {
		r.Say = func(string) {}
	}
	if err := r.tidy(ctx); err != nil {
		return d, err
	}
	if err = r.prepare(ctx); err == nil {
		err = r.prove(ctx)
	}
	if failed := failure(err); failed != "" {
		d.Failed, err = failed, nil
	}
	d.Took = time.Since(d.At)
	return d, errors.Join(err, r.remove(ctx))
}

// A rehearsal is a drill while it runs.
type rehearsal struct {
	DrillWish
	x       *execute.Executor
	to      proxmox.Ref
	name    string
	restore plan.RestoreContainer
}

// A failedError is why an archive did not prove good.
type failedError struct{ why string }

func (e *failedError) Error() string { return e.why }

// failure is why the archive is not good, as far as an error tells that; "" where it tells nothing of it.
func failure(err error) string {
	if task, ok := errors.AsType[*proxmox.TaskError](err); ok {
		return task.Error()
	}
	if f, ok := errors.AsType[*failedError](err); ok {
		return f.why
	}
	return ""
}

func (r *rehearsal) mark() Mark {
	return Mark{Role: Scratch, Other: r.Archive.Guest, Archive: r.Archive.ID}
}

// tidy removes what earlier drills have left.
func (r *rehearsal) tidy(ctx context.Context) error {
	if err := settle(ctx, r.x, r.Archive.ID); err != nil {
		return err
	}
	found, err := Look(ctx, r.x.Client, r.Owner, r.Nodes)
	if err != nil {
		return err
	}
	for _, id := range sortedKeys(found) {
		if m, ok := found[id].mark(r.Owner); ok && m.Role == Scratch && hasTag(found[id].Tags, Scratch.Tag(r.Owner)) {
			r.Say(fmt.Sprintf("remove %d, which an earlier drill of %d has left", id, m.Other))
			if err := r.destroy(ctx, found[id]); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare finds out where the scratch container goes and what it is made of.
func (r *rehearsal) prepare(ctx context.Context) error {
	c := r.x.Client
	content, err := Open(ctx, c, r.Archive)
	for _, other := range []error{proxmox.ErrForbidden, proxmox.ErrUnauthorized, proxmox.ErrUnreachable, context.Canceled} {
		if errors.Is(err, other) {
			return err
		}
	}
	if err != nil {
		return &failedError{err.Error()}
	}
	r.name = content.Values["hostname"]
	switch {
	case content.Values["hookscript"] != "":
		return fmt.Errorf("the backup has a hook script, %s, which would run on the node for the scratch container too: no drill is made", content.Values["hookscript"])
	case content.Values["template"] == "1":
		return errors.New("the backup is of a template, which cannot run: no drill is made")
	}
	r.to = proxmox.Ref{Node: r.Archive.Nodes[0], ID: r.Scratch}
	if r.to.ID == 0 {
		if r.to.ID, err = c.NextID(ctx); err != nil {
			return err
		}
	}
	p := Restoration{Wish: Wish{Owner: r.Owner, Of: r.Archive.Guest, Archive: r.Archive, Content: content, To: r.to, Storage: r.Storage, Failing: r.Disks.obstacle(ctx, r.to.Node)}}
	if p.Wish.Storages, err = storagesOf(ctx, c, r.to.Node); err != nil {
		return err
	}
	values := p.volumes()
	if p.Blocked != "" {
		return fmt.Errorf("%s: %s", p.Blocked, strings.Join(p.Ways, ", or "))
	}
	values["onboot"], values["protection"] = "0", "0"
	values["tags"] = Scratch.Tag(r.Owner)
	values["description"] = r.mark().line(r.Owner)
	r.restore = plan.RestoreContainer{Archive: r.Archive.ID, Values: values, Unique: true}
	return nil
}

// prove restores, takes the network away, starts, and watches.
func (r *rehearsal) prove(ctx context.Context) error {
	r.Say(fmt.Sprintf("restore %s to %d", r.Archive.ID, r.to.ID))
	if err := r.do(ctx, proxmox.Config{}, r.restore); err != nil {
		return err
	}
	g, err := r.look(ctx)
	if err != nil {
		return err
	}
	if nets := networks(g.Config.Current); len(nets) > 0 {
		r.Say("take its network away")
		if err := r.do(ctx, g.Config, plan.SetConfig{Delete: nets}); err != nil {
			return err
		}
	}
	if g, err = r.look(ctx); err != nil {
		return err
	}
	if nets := networks(g.Config.Current); len(nets)+len(g.Config.Pending) > 0 {
		return fmt.Errorf("container %d still has a network: it is not started", r.to.ID)
	}
	r.Say(fmt.Sprintf("start it, and watch it for %s", r.For))
	if err := r.do(ctx, proxmox.Config{}, plan.Start{}); err != nil {
		return err
	}
	return r.watch(ctx)
}

func networks(v proxmox.Values) (keys []string) {
	for _, key := range v.Keys() {
		if _, is := setting.Network.Index(key); is {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// look reads the scratch container, and makes sure that it is that.
func (r *rehearsal) look(ctx context.Context) (*Guest, error) {
	found, err := Look(ctx, r.x.Client, r.Owner, r.Nodes, r.to.ID)
	if err != nil {
		return nil, err
	}
	g := found[r.to.ID]
	if g == nil {
		return nil, fmt.Errorf("container %d: %w", r.to.ID, proxmox.ErrNoGuest)
	}
	if m, ok := g.mark(r.Owner); !ok || m != r.mark() {
		return nil, fmt.Errorf("container %d does not carry the mark of this drill: it is not touched", r.to.ID)
	}
	return g, nil
}

// watch looks every second, and at the end, whether the container runs.
func (r *rehearsal) watch(ctx context.Context) error {
	end := time.Now().Add(r.For)
	for {
		now, err := r.x.Client.Status(ctx, r.to)
		switch {
		case err != nil:
			return err
		case now.Status != proxmox.Running:
			return &failedError{fmt.Sprintf("it was started and did not stay up: it is %s", now.Status)}
		}
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		t := time.NewTimer(min(time.Second, left))
		select {
		case <-t.C:
		case <-r.x.Stop:
			t.Stop()
			return errors.New("stopped on request")
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
	}
}

// remove destroys the scratch container, if it is there.
func (r *rehearsal) remove(ctx context.Context) error {
	if r.restore.Archive == "" {
		return nil // there never was one
	}
	g, err := r.look(ctx)
	if errors.Is(err, proxmox.ErrNoGuest) {
		return nil
	}
	if err == nil {
		r.Say(fmt.Sprintf("destroy %d", r.to.ID))
		err = r.destroy(ctx, g)
	}
	if err != nil {
		return fmt.Errorf("the scratch container %d may still be there; the next drill removes it: %w", r.to.ID, err)
	}
	return nil
}

// destroy stops and destroys a container whose mark was just read. The executor compares its configuration with that
// once more before it is destroyed.
func (r *rehearsal) destroy(ctx context.Context, g *Guest) error {
	steps := []Step{}
	if g.Running {
		steps = append(steps, Step{Ref: g.Ref, Name: g.Name, Op: plan.Shutdown{Timeout: drillStop}, base: g.Config})
	}
	steps = append(steps, Step{Ref: g.Ref, Name: g.Name, Op: plan.DestroyContainer{}, base: g.Config})
	_, _, err := Run(ctx, r.x, steps)
	return err
}

func (r *rehearsal) do(ctx context.Context, base proxmox.Config, op plan.Op) error {
	_, _, err := Run(ctx, r.x, []Step{{Ref: r.to, Name: r.name, Op: op, Why: "drill", base: base}})
	return err
}
