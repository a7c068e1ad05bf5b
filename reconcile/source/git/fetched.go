package git

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"

	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git/repo"
	"github.com/felhom/tend/reconcile/source/git/sign"
)

// fetched is what a ref stands for, read.
type fetched struct {
	target plumbing.Hash // what the ref stands for: a commit, or an object of a tag
	tag    *repo.Tag     // nil: it is no object
	id     plumbing.Hash // of the commit
	commit repo.Commit
	files  *source.Files
	err    error // why it could not be read

	history map[plumbing.Hash]bool // the commit and those before it; nil: not asked for yet
}

// get fetches and reads what a ref stands for.
func (s *Source) get(ctx context.Context, r remote, t target) *fetched {
	out := &fetched{target: t.hash}
	objects, drop, err := r.objects(ctx, t.hash, 1)
	if err != nil {
		out.err = err
		return out
	}
	defer drop()
	if out.err = out.read(objects); out.err == nil {
		out.files, out.err = s.files(objects, out.commit.Tree)
	}
	out.err = about(out.id.String(), out.err)
	return out
}

// maxTags is how many tags may stand for each other before a commit comes.
const maxTags = 5

// read reads the tag, if it is one, and the commit.
func (f *fetched) read(o repo.Objects) error {
	f.id = f.target
	for range maxTags {
		raw, err := o.Read(plumbing.CommitObject, f.id)
		if err == nil {
			f.commit, err = repo.ParseCommit(raw)
			return err
		}
		if !errors.Is(err, plumbing.ErrObjectNotFound) {
			return err
		}
		if raw, err = o.Read(plumbing.TagObject, f.id); err != nil {
			return err
		}
		tag, err := repo.ParseTag(raw)
		if err != nil {
			return err
		}
		if f.tag == nil {
			f.tag = &tag // the outermost: its signature holds for those within
		}
		f.id = tag.Target
	}
	return errors.New("it is a tag of too many other tags")
}

// files reads the files of a commit.
func (s *Source) files(o repo.Objects, tree plumbing.Hash) (*source.Files, error) {
	at, err := o.At(tree, s.o.Path)
	if errors.Is(err, repo.ErrNoPath) {
		return nil, &source.Error{Class: source.NotFound, Err: fmt.Errorf("there is no %s in the commit", s.o.Path)}
	}
	if err != nil {
		return nil, err
	}
	out := source.NewFiles(s.o.Limits.Files)
	add := func(name string, e repo.Entry) error { return s.add(out, o, name, e) }
	switch at.Mode {
	case filemode.Dir:
		return out, o.Walk(at.Hash, hidden, add)
	case filemode.Submodule:
		return nil, &source.Error{Class: source.NotFound, Err: fmt.Errorf("%s is a submodule", s.o.Path), Hint: "submodules are not followed: make it a source of its own"}
	}
	return out, add(path.Base(s.o.Path), at)
}

func (s *Source) add(out *source.Files, o repo.Objects, name string, e repo.Entry) error {
	wanted := s.o.Match
	if wanted == nil {
		wanted = func(name string) bool { return !hidden(name) }
	}
	if e.Mode == filemode.Submodule || !wanted(name) {
		return nil
	}
	size, err := o.Store.EncodedObjectSize(e.Hash)
	if err == nil {
		err = out.Fits(size)
	}
	if err != nil {
		return err
	}
	data, err := o.Read(plumbing.BlobObject, e.Hash)
	if err != nil {
		return err
	}
	if e.Mode == filemode.Symlink {
		return out.Link(name, string(data))
	}
	return out.Add(name, data)
}

// An Object says what must be signed.
type Object int

// What must be signed. The signature of a tag covers its name, that of a commit does not: whoever may push could put
// the tag of a higher version on an old commit that is signed.
const (
	Auto   Object = iota // tags where the ref is a tag or a range of versions, else commits
	Commit               // the commit, whatever names it
	Tag                  // the tag
	Both                 // the tag and the commit
)

// verify says who signed what a ref stands for.
func (s *Source) verify(t target, f *fetched) (string, error) {
	if s.o.Signers == nil {
		return "", nil
	}
	what := s.o.Signed
	if what == Auto {
		what = Commit
		if t.isTag {
			what = Tag
		}
	}
	var signer sign.Signer
	var err error
	if what == Commit || what == Both {
		if signer, err = s.signer(f.commit.Signed, f.commit.Committer.When, "commit "+f.id.String()); err != nil {
			return "", err
		}
	}
	if what == Tag || what == Both {
		switch {
		case f.tag == nil:
			return "", unsigned("", fmt.Errorf("%s is no tag that can be signed", t.name), "make tags with git tag -s")
		case f.tag.Name != t.name:
			return "", unsigned("", fmt.Errorf("the tag at %s is one of the name %s", t.name, f.tag.Name), "somebody gave it another name: sign a tag of this name")
		}
		if signer, err = s.signer(f.tag.Signed, f.tag.Tagger.When, "tag "+t.name); err != nil {
			return "", err
		}
	}
	return signer.String(), nil
}

func (s *Source) signer(signed repo.Signed, at time.Time, what string) (sign.Signer, error) {
	signer, err := s.o.Signers.Verify(signed.Payload, signed.Signature, at, time.Now())
	if err == nil {
		return signer, nil
	}
	key, hint := "", "sign what is pushed (git config commit.gpgSign true, tag.gpgSign true)"
	if refused, ok := errors.AsType[*sign.RefusedError](err); ok {
		key, hint = refused.Key, "sign it with an allowed key, or allow this one"
	}
	text := strings.TrimPrefix(err.Error(), "it ")
	return signer, unsigned(key, fmt.Errorf("%s %s", what, text), hint)
}

func unsigned(key string, err error, hint string) error {
	return &source.Error{Class: source.Unsigned, Key: key, Err: err, Hint: hint}
}
