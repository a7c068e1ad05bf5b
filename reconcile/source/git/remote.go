package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git/repo"
)

// A remote is a repository that is fetched from.
type remote interface {
	// refs says what there is.
	refs(context.Context) (advertised, error)
	// objects brings what one of the refs stands for, with at least as many commits of its history as asked for, or
	// all. Only commits are needed of more than one; others may come along. The function gives the objects up.
	objects(ctx context.Context, want plumbing.Hash, depth int) (repo.Objects, func(), error)
	close()
}

// local is a repository on disk. Its objects are read where they lie.
type local struct {
	*repo.Repository
	limits Limits
}

func openLocal(path string, l Limits) (remote, error) {
	r, err := repo.Open(path)
	if errors.Is(err, repo.ErrNone) {
		return nil, &source.Error{Class: source.NotFound, Err: errors.New("there is no git repository, or it may not be read")}
	}
	if err != nil {
		return nil, err
	}
	return &local{r, l}, nil
}

func (l *local) close() { _ = l.Close() }

func (l *local) refs(context.Context) (advertised, error) {
	refs, err := l.References()
	if err != nil {
		return advertised{}, err
	}
	a := advertised{refs: refs}
	if _, branch, err := l.Head(); err == nil && branch != "" {
		a.head = branches + branch
	}
	return a, nil
}

func (l *local) objects(context.Context, plumbing.Hash, int) (repo.Objects, func(), error) {
	return l.Objects(l.limits.Object), func() {}, nil
}

// A wire carries requests to the program git-upload-pack of a server (gitprotocol-pack).
type wire interface {
	refs(context.Context) (*packp.AdvRefs, error)
	// upload sends a request, from the first want to done, and returns the answer.
	upload(ctx context.Context, request []byte) (io.ReadCloser, error)
	close()
}

// served is a repository behind a wire.
type served struct {
	wire
	o            Options
	capabilities *capability.List
}

func (s *served) refs(ctx context.Context) (advertised, error) {
	adv, err := s.wire.refs(ctx)
	if errors.Is(err, packp.ErrEmptyAdvRefs) || err == nil && adv.IsEmpty() {
		return advertised{}, &source.Error{Class: source.NotFound, Err: errors.New("the repository is empty")}
	}
	if err != nil {
		return advertised{}, err
	}
	transport.FilterUnsupportedCapabilities(adv.Capabilities)
	s.capabilities = adv.Capabilities
	return advertised{refs: adv.References, head: headOf(adv)}, nil
}

// headOf is the branch that HEAD stands for: the one that the server says, else main, master or another with the same
// commit.
func headOf(adv *packp.AdvRefs) string {
	for _, v := range adv.Capabilities.Get(capability.SymRef) {
		if name, ok := strings.CutPrefix(v, "HEAD:"); ok {
			return name
		}
	}
	if adv.Head == nil {
		return ""
	}
	names := slices.Concat([]string{branches + "main", branches + "master"}, slices.Sorted(maps.Keys(adv.References)))
	i := slices.IndexFunc(names, func(name string) bool {
		return strings.HasPrefix(name, branches) && adv.References[name] == *adv.Head
	})
	if i < 0 {
		return ""
	}
	return names[i]
}

func (s *served) objects(ctx context.Context, want plumbing.Hash, depth int) (repo.Objects, func(), error) {
	req := s.request(want, depth)
	var text bytes.Buffer
	if err := req.Encode(&text); err != nil {
		return repo.Objects{}, nil, err
	}
	text.WriteString("0009done\n")
	body, err := s.upload(ctx, text.Bytes())
	if err != nil {
		return repo.Objects{}, nil, err
	}
	defer body.Close()
	answer := packp.NewUploadPackResponse(&packp.UploadPackRequest{UploadRequest: *req})
	if err := answer.Decode(body); err != nil {
		return repo.Objects{}, nil, err
	}
	dir, err := os.MkdirTemp(s.o.Temp, "tend-git-*")
	if err != nil {
		return repo.Objects{}, nil, err
	}
	drop := func() { _ = os.RemoveAll(dir) }
	store, err := unpack(dir, demux(req.Capabilities, answer), s.o.Limits)
	if err != nil {
		drop()
		return repo.Objects{}, nil, err
	}
	return repo.Objects{Store: store, Max: s.o.Limits.Object}, func() { _ = store.Close(); drop() }, nil
}

// request asks for as little as the server is able to leave out.
func (s *served) request(want plumbing.Hash, depth int) *packp.UploadRequest {
	req := packp.NewUploadRequestFromCapabilities(s.capabilities)
	req.Wants = []plumbing.Hash{want}
	set := func(c capability.Capability) bool {
		return s.capabilities.Supports(c) && req.Capabilities.Set(c) == nil
	}
	set(capability.NoProgress)
	if set(capability.Shallow) {
		req.Depth = packp.DepthCommits(depth)
	}
	if depth > 1 && set(capability.Filter) {
		req.Filter = packp.FilterTreeDepth(0)
	}
	return req
}

// demux takes the pack out of an answer that carries messages beside it.
func demux(c *capability.List, answer io.Reader) io.Reader {
	switch {
	case c.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, answer)
	case c.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, answer)
	}
	return answer
}
