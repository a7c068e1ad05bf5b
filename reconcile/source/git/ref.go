package git

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/felhom/tend/reconcile/source"
)

// A Ref says which commit is wanted. At most one field is set; none is the branch that the repository itself calls its
// main one (HEAD).
type Ref struct {
	Branch string
	Tag    string
	// Semver is a range of versions, of which the highest tag is taken: "^1.4", ">=2.0 <3". Tags are versions in full
	// (1.4.2), with or without a v before. Versions before a release (2.0.0-rc.1) count only where the range has one.
	Semver string
}

// String is the ref in words: "branch main".
func (r Ref) String() string {
	switch {
	case r.Branch != "":
		return "branch " + r.Branch
	case r.Tag != "":
		return "tag " + r.Tag
	case r.Semver != "":
		return "version " + r.Semver
	}
	return "default branch"
}

// Concerns reports whether it may stand for something else once a branch or tag ("refs/heads/main") has moved.
func (r Ref) Concerns(moved string) bool {
	switch {
	case r.Branch != "":
		return moved == branches+r.Branch
	case r.Tag != "":
		return moved == tags+r.Tag
	case r.Semver != "":
		return strings.HasPrefix(moved, tags)
	}
	return strings.HasPrefix(moved, branches)
}

// check finds what is wrong with it.
func (r Ref) check() error {
	n := 0
	for _, v := range []string{r.Branch, r.Tag, r.Semver} {
		if v != "" {
			n++
		}
	}
	if n > 1 {
		return errors.New("there are several of branch, tag and version: name one")
	}
	if r.Semver != "" {
		if _, err := semver.NewConstraint(r.Semver); err != nil {
			return fmt.Errorf("%q is no range of versions (such as ^1.4 or >=2.0 <3): %w", r.Semver, err)
		}
	}
	for _, name := range []string{r.Branch, r.Tag} {
		if err := plumbing.NewBranchReferenceName(name).Validate(); name != "" && err != nil || strings.HasPrefix(name, "refs/") {
			return fmt.Errorf("%q is no name of a branch or tag: write it without refs/heads or refs/tags", name)
		}
	}
	return nil
}

// A target is what a ref stands for.
type target struct {
	name    string // of the branch or tag
	hash    plumbing.Hash
	isTag   bool
	version *semver.Version // of a range
}

// advertised is what a repository has.
type advertised struct {
	refs map[string]plumbing.Hash // by whole name
	head string                   // the branch that HEAD stands for, by whole name; may be empty
}

const (
	branches = "refs/heads/"
	tags     = "refs/tags/"
)

// choose finds the ref among those that there are.
func (r Ref) choose(a advertised) (target, error) {
	switch {
	case r.Semver != "":
		return r.highest(a)
	case r.Tag != "":
		if h, ok := a.refs[tags+r.Tag]; ok {
			return target{name: r.Tag, hash: h, isTag: true}, nil
		}
		return target{}, missing("there is no tag "+r.Tag, "tags", a, tags)
	}
	name := branches + r.Branch
	if r.Branch == "" {
		if name = a.head; name == "" {
			return target{}, missing("the repository names no default branch", "branches", a, branches)
		}
	}
	if h, ok := a.refs[name]; ok {
		return target{name: strings.TrimPrefix(name, branches), hash: h}, nil
	}
	return target{}, missing("there is no branch "+strings.TrimPrefix(name, branches), "branches", a, branches)
}

// highest is the tag of the highest version in the range.
func (r Ref) highest(a advertised) (target, error) {
	in, err := semver.NewConstraint(r.Semver)
	if err != nil {
		return target{}, err
	}
	var best target
	for full, h := range a.refs {
		name, ok := strings.CutPrefix(full, tags)
		v := version(name)
		if !ok || v == nil || !in.Check(v) {
			continue
		}
		if best.version == nil || v.GreaterThan(best.version) || v.Equal(best.version) && name > best.name {
			best = target{name, h, true, v} // of v1.0.0 and 1.0.0 always the same one
		}
	}
	if best.version == nil {
		return target{}, missing("no tag is a version in "+r.Semver, "tags", a, tags)
	}
	return best, nil
}

// version is the version that a tag names; nil: none.
func version(tag string) *semver.Version {
	v, err := semver.StrictNewVersion(strings.TrimPrefix(tag, "v"))
	if err != nil {
		return nil
	}
	return v
}

// shown is how many names a message lists.
const shown = 8

func missing(what, kind string, a advertised, prefix string) error {
	var names []string
	for full := range a.refs {
		if name, ok := strings.CutPrefix(full, prefix); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	hint := "there are no " + kind
	if len(names) > 0 {
		more := ""
		if len(names) > shown {
			names, more = names[len(names)-shown:], "…, "
		}
		hint = "the " + kind + " are " + more + strings.Join(names, ", ")
	}
	return &source.Error{Class: source.NotFound, Err: errors.New(what), Hint: hint}
}
