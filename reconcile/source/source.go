// Package source says what a source of specs is (a folder, a git repository), what can go wrong with one, and keeps
// the last good revision in force while something does. It brings files and never reads what they say.
//
// The packages below it are the sources themselves, [github.com/felhom/tend/reconcile/source/dir] and
// [github.com/felhom/tend/reconcile/source/git], and the webhooks of forges,
// [github.com/felhom/tend/reconcile/source/hook].
package source

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// A Source is a place that specs come from.
type Source interface {
	// Fetch returns the files as they stand there now, and their revision. The files do not change afterwards,
	// whatever happens at the source: one pass sees one state. Fetch may be called again and again: where nothing has
	// changed it is cheap. It is not called by two goroutines at once. The error is the context's where that has
	// ended, else an [*Error].
	Fetch(ctx context.Context) (fs.FS, Revision, error)
	// String says where specs come from, in a line that holds no secret: "https://git.example.com/home.git, branch
	// main, path lxc". Two sources with the same text bring the same files.
	fmt.Stringer
}

// A Watcher is a source that notices by itself that it changed.
type Watcher interface {
	Source
	// Watch calls changed once for each burst of changes, when it is over, until the context ends; then it returns
	// the context's error. Any other error says that changes are not noticed any more: whoever asks now and then
	// (interval) loses nothing but time.
	Watch(ctx context.Context, changed func()) error
}

// A Successor is a source with a history. It refuses, as [Rewritten], what does not follow the revision in force.
type Successor interface {
	Source
	// InForce tells the revision that is in force. It is one of this source's own, of this process or an earlier one.
	InForce(Revision)
}

// A Revision is one state of a source.
type Revision struct {
	ID      string    `json:"id"`               // hash of the commit, or of the files; hexadecimal, whole
	Ref     string    `json:"ref,omitempty"`    // the branch or tag that it was found by; empty for a folder
	Time    time.Time `json:"time,omitzero"`    // of the commit; zero for a folder
	Author  string    `json:"author,omitempty"` // "Name <mail>"
	Message string    `json:"message,omitempty"`
	Signer  string    `json:"signer,omitempty"` // who signed it, and with which key; empty: signatures are not asked for
}

const shortID = 7

// Short is the beginning of the revision's hash, as git shows it.
func (r Revision) Short() string { return r.ID[:min(shortID, len(r.ID))] }

// Subject is the first line of the message.
func (r Revision) Subject() string {
	line, _, _ := strings.Cut(r.Message, "\n")
	return strings.TrimSpace(line)
}

// String is the short hash with the branch or tag: "4f2c91e (main)".
func (r Revision) String() string {
	if r.Ref == "" {
		return r.Short()
	}
	return r.Short() + " (" + r.Ref + ")"
}
