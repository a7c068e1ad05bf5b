package execute

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
)

// A RootLane does on a node what only root@pam may. Each method does one thing and returns when that has ended,
// well or not: there is no task to wait for. Errors are those of the API: [proxmox.ErrModified] where the digest
// does not hold any more, [proxmox.ErrLocked] and [proxmox.ErrBusy] where nothing was done and it may be tried
// again, [proxmox.ErrOutcomeUnknown] where the connection to whoever acts broke.
type RootLane interface {
	// Create makes a container and leaves it stopped.
	Create(ctx context.Context, node string, p proxmox.CreateParams) error
	// SetConfig changes settings, if the configuration has the digest still.
	SetConfig(ctx context.Context, r proxmox.Ref, u proxmox.Update) error
	// SetRaw puts lines for LXC itself in the place of those that the configuration has, if it has the digest still.
	SetRaw(ctx context.Context, r proxmox.Ref, lines []proxmox.RawLine, digest string) error
	// Mount makes a host mount of an owner present on a node, or absent from it. What nobody may touch, since it is in use
	// or somebody else's, is left alone, with an error.
	Mount(ctx context.Context, node, owner string, m proxmox.HostMount, absent bool) error
	// PutSnippet puts a hook script in place, executable.
	PutSnippet(ctx context.Context, node, volume string, content []byte) error
	// Unlock removes a lock, if it is that which the configuration carries and no task runs that could hold it.
	Unlock(ctx context.Context, r proxmox.Ref, lock string) error
}

// asRoot is the call of an operation in the root lane.
func (l *lane) asRoot(ctx context.Context, op plan.Op) (call, error) {
	root := l.run.Root
	if root == nil {
		return nil, errors.New("only root@pam may do it, and nobody acts as root here")
	}
	switch op := op.(type) {
	case plan.CreateContainer:
		p, err := l.createParams(ctx, op)
		return untracked(func(ctx context.Context) error { return l.taken(root.Create(ctx, l.Ref.Node, p)) }), err
	case plan.SetConfig:
		digest, err := l.digest(ctx)
		u := proxmox.Update{Set: op.Set, Delete: op.Delete, Revert: op.Revert, Digest: digest}
		return untracked(func(ctx context.Context) error { return root.SetConfig(ctx, l.Ref, u) }), err
	case plan.SetRaw:
		digest, err := l.digest(ctx)
		return untracked(func(ctx context.Context) error { return root.SetRaw(ctx, l.Ref, rawLines(op.Lines), digest) }), err
	case plan.Unlock:
		return untracked(func(ctx context.Context) error { return root.Unlock(ctx, l.Ref, op.Lock) }), nil
	}
	return l.asRootOnNode(root, op)
}

// asRootOnNode is the call of an operation that is about no container.
func (l *lane) asRootOnNode(root RootLane, op plan.Op) (call, error) {
	node := l.Ref.Node
	switch op := op.(type) {
	case plan.MountHost:
		return untracked(func(ctx context.Context) error { return root.Mount(ctx, node, op.Owner, op.Mount, false) }), nil
	case plan.UnmountHost:
		return untracked(func(ctx context.Context) error { return root.Mount(ctx, node, op.Owner, op.Mount, true) }), nil
	case plan.PutSnippet:
		return untracked(func(ctx context.Context) error { return root.PutSnippet(ctx, node, op.Volume, op.Content) }), nil
	}
	return nil, fmt.Errorf("%T is no operation of the root lane", op)
}

// untracked is a call that has ended when it returns.
func untracked(do func(context.Context) error) call {
	return func(ctx context.Context) (proxmox.UPID, error) { return proxmox.UPID{}, do(ctx) }
}

func rawLines(lines []string) []proxmox.RawLine {
	out := make([]proxmox.RawLine, len(lines))
	for i, line := range lines {
		out[i].Key, out[i].Value, _ = strings.Cut(line, ": ")
	}
	return out
}
