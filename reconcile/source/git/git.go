// Package git is a git repository as a source of specs: over https and ssh, or on disk. Files are read from git's
// objects; there is no work tree, and submodules are left out.
//
// Of a repository that is served, one commit is fetched, and its history only where it must be known that it leads from
// the revision in force to the new one. What is fetched is bounded in size, number and time, lies in a temporary folder
// while it is read, and is removed afterwards: nothing piles up, and nothing is left that could break.
//
// Neither programs are run nor configurations of git or ssh read. Host keys and signatures are never trusted at first
// sight.
package git

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/felhom/tend/proxmox/secret"
	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git/sign"
)

// Options say what to fetch, and how.
type Options struct {
	// URL is https://…, ssh://… or host:path as for ssh, file://… or an absolute path. http:// is for this machine,
	// or for what is signed.
	URL string
	Ref Ref
	// Path is the folder in the repository that is fetched, or a file in it; empty: all of it.
	Path string
	// Match says which files are fetched, by their path below Path; nil: all but hidden ones. Hidden folders never
	// are.
	Match func(path string) bool

	Auth Auth
	CAs  *x509.CertPool // whom to trust for https; nil: whom the system trusts

	// Signers are who may sign; nil: signatures are not asked for.
	Signers *sign.Signers
	Signed  Object
	// AllowRewrite takes what does not follow the revision in force: after a force-push, or when going back.
	AllowRewrite bool

	Limits Limits
	Temp   string // where packs lie while they are read; empty: the system's
}

// Auth says who asks. What is not needed for the URL stays empty.
type Auth struct {
	User       string      // for ssh, git where empty; for https, any name will do beside a token
	Password   secret.Text // https: a password or a token
	Bearer     secret.Text // https: a token that is sent as such, and not as a password
	Key        secret.Text // ssh: a private key, as ssh-keygen writes it
	Passphrase secret.Text // of the key
	KnownHosts []string    // ssh: files of host keys (sshd(8)); one that does not exist is empty
}

// Limits bound what is fetched. The zero value is good.
type Limits struct {
	Pack     int64         // bytes that come from the server; 64 MiB where 0
	Inflated int64         // bytes of all objects, unpacked; 512 MiB where 0
	Object   int64         // bytes of one object, unpacked; 64 MiB where 0
	Objects  int           // how many; 200,000 where 0
	Time     time.Duration // for all of a fetch; two minutes where 0
	History  int           // commits that are looked through for the one in force; 1,000 where 0
	Files    source.Limits // of what is taken
}

func (l Limits) filled() Limits {
	fill(&l.Pack, 64<<20)
	fill(&l.Inflated, 512<<20)
	fill(&l.Object, 64<<20)
	fill(&l.Objects, 200_000)
	fill(&l.Time, 2*time.Minute)
	fill(&l.History, 1000)
	return l
}

func fill[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// A Source is a git repository.
type Source struct {
	o       Options
	at      address
	key     ssh.Signer // for ssh
	inForce source.Revision
	last    *fetched
}

// New makes a source. It connects to nothing; the error names everything that is wrong with the options.
func New(o Options) (*Source, error) {
	o.Limits = o.Limits.filled()
	at, err := parseAddress(o.URL)
	faults := []error{err, o.Ref.check()}
	if err == nil {
		faults = append(faults, at.allows(o))
	}
	o.Path = path.Clean("/" + o.Path)[1:]
	if o.Signers != nil && o.Signers.Empty() {
		faults = append(faults, errors.New("signatures are asked for and nobody may sign: name allowed signers or a key ring"))
	}
	var key ssh.Signer
	if at.scheme == "ssh" && !o.Auth.Key.IsZero() {
		key, err = o.Auth.signer()
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &Source{o: o, at: at, key: key}, nil
}

// String says which repository, which ref and which path.
func (s *Source) String() string {
	text := s.at.String() + ", " + s.o.Ref.String()
	if s.o.Path != "" {
		text += ", path " + s.o.Path
	}
	return text
}

// InForce tells the revision that history must lead from.
func (s *Source) InForce(r source.Revision) { s.inForce = r }

// Fetch returns the files of the commit that the ref stands for. Where that is the one of the last Fetch, nothing but
// the server's list of refs is read.
func (s *Source) Fetch(ctx context.Context) (fs.FS, source.Revision, error) {
	limited, cancel := context.WithTimeout(ctx, s.o.Limits.Time)
	defer cancel()
	got, rev, err := s.fetch(limited)
	switch {
	case err == nil:
		return got.files, rev, nil
	case ctx.Err() != nil:
		return nil, source.Revision{}, ctx.Err()
	case limited.Err() != nil:
		err = &source.Error{
			Class: source.Unreachable, Err: fmt.Errorf("it took longer than %s", s.o.Limits.Time),
			Hint: "look at the server and the way to it, or raise the limit",
		}
	}
	e := classify(err)
	e.Source = s.String()
	return nil, source.Revision{}, e
}

func (s *Source) fetch(ctx context.Context) (*fetched, source.Revision, error) {
	r, err := s.connect(ctx)
	if err != nil {
		return nil, source.Revision{}, err
	}
	defer r.close()
	refs, err := r.refs(ctx)
	if err != nil {
		return nil, source.Revision{}, err
	}
	t, err := s.o.Ref.choose(refs)
	if err != nil {
		return nil, source.Revision{}, err
	}
	if s.last == nil || s.last.target != t.hash {
		s.last = s.get(ctx, r, t)
	}
	got := s.last
	if got.err != nil {
		s.forget(got.err)
		return nil, source.Revision{}, got.err
	}
	rev := source.Revision{
		ID: got.id.String(), Ref: t.name, Time: got.commit.Committer.When,
		Author: got.commit.Author.String(), Message: got.commit.Message,
	}
	if rev.Signer, err = s.verify(t, got); err != nil {
		return nil, source.Revision{}, about(rev.ID, err)
	}
	if err := s.follows(ctx, r, t, got); err != nil {
		return nil, source.Revision{}, about(rev.ID, err)
	}
	return got, rev, nil
}

// forget lets the next Fetch try again, unless what is wrong is the commit itself: then it would be the same again.
func (s *Source) forget(err error) {
	switch classify(err).Class {
	case source.TooLarge, source.NotFound:
	default:
		s.last = nil
	}
}

// about adds the commit to an error.
func about(id string, err error) error {
	if e, ok := errors.AsType[*source.Error](err); ok && e.Commit == "" {
		e.Commit = id
	}
	return err
}

// connect opens the way to the repository.
func (s *Source) connect(ctx context.Context) (remote, error) {
	switch s.at.scheme {
	case "file":
		return openLocal(s.at.path, s.o.Limits)
	case "ssh":
		w, err := dialSSH(ctx, s.at, s.o, s.key)
		if err != nil {
			return nil, err
		}
		return &served{wire: w, o: s.o}, nil
	}
	return &served{wire: newHTTP(s.at, s.o), o: s.o}, nil
}

// hidden reports whether a part of a path begins with a dot.
func hidden(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") {
			return true
		}
	}
	return false
}
