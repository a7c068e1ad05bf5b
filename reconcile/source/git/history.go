package git

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git/repo"
)

// follows holds what was fetched against the revision in force: it must come after it. In a range of versions, that is
// a higher version, wherever it was made, or the same version with the same commit; else a commit in whose history the
// one in force is.
func (s *Source) follows(ctx context.Context, r remote, t target, f *fetched) error {
	base := s.inForce
	if s.o.AllowRewrite || base.ID == "" || base.ID == f.id.String() {
		return nil
	}
	if before := version(base.Ref); t.version != nil && before != nil {
		switch {
		case t.version.Equal(before):
			return rewritten("tag %s was moved from commit %.7s to %.7s", t.name, base.ID, f.id.String())
		case t.version.LessThan(before):
			return rewritten("the highest version went back from %s to %s", base.Ref, t.name)
		}
		return nil
	}
	if f.history == nil {
		var err error
		if f.history, err = s.history(ctx, r, f); err != nil {
			return err
		}
	}
	if f.history[plumbing.NewHash(base.ID)] {
		return nil
	}
	if len(f.history) >= s.o.Limits.History {
		return rewritten("commit %.7s, which is in force, is not among the last %d commits before %.7s", base.ID, s.o.Limits.History, f.id.String())
	}
	return rewritten("history was rewritten, or went back: %.7s does not come after %.7s, which is in force", f.id.String(), base.ID)
}

func rewritten(format string, a ...any) error {
	return &source.Error{
		Class: source.Rewritten, Err: fmt.Errorf(format, a...),
		Hint: "push what follows it, or allow rewritten history for this source",
	}
}

// history reads the commits before one, the nearest first, as far as they are there and the limit allows.
func (s *Source) history(ctx context.Context, r remote, f *fetched) (map[plumbing.Hash]bool, error) {
	o, drop, err := r.objects(ctx, f.target, s.o.Limits.History)
	if err != nil {
		e := *classify(err)
		e.Err = fmt.Errorf("read the history before %.7s: %w", f.id.String(), e.Err)
		return nil, &e
	}
	defer drop()
	out := map[plumbing.Hash]bool{}
	for queue := []plumbing.Hash{f.id}; len(queue) > 0 && len(out) < s.o.Limits.History; queue = queue[1:] {
		id := queue[0]
		if out[id] {
			continue
		}
		raw, err := o.Read(plumbing.CommitObject, id)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			continue // where the server cut history off
		}
		if err != nil {
			return nil, err
		}
		c, err := repo.ParseCommit(raw)
		if err != nil {
			return nil, err
		}
		out[id] = true
		queue = append(queue, c.Parents...)
	}
	return out, nil
}
