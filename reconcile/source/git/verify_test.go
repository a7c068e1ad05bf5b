package git_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/felhom/tend/reconcile/source"
	"github.com/felhom/tend/reconcile/source/git"
	"github.com/felhom/tend/reconcile/source/git/gittest"
	"github.com/felhom/tend/reconcile/source/git/sign"
)

// pgpKey makes a key that signs as gpg does, and its key ring.
func pgpKey(t *testing.T) (signs func(string) string, ring []byte) {
	t.Helper()
	e, err := openpgp.NewEntity("Dave", "", "dave@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil || e.Serialize(w) != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return func(payload string) string {
		var b bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&b, e, strings.NewReader(payload), nil); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}, b.Bytes()
}

func TestVerify(t *testing.T) {
	alice, line, print := gittest.Signer(t, "alice@example.com")
	eve, _, evesPrint := gittest.Signer(t, "eve")
	dave, ring := pgpKey(t)
	signers := &sign.Signers{}
	if err := signers.AddAllowedSigners([]byte(line), time.UTC); err != nil {
		t.Fatal(err)
	}
	if err := signers.AddKeyRing(ring); err != nil {
		t.Fatal(err)
	}
	m := gittest.New(t)
	tagged := func(name string, tagBy, commitBy func(string) string) {
		m.Sign = commitBy
		c := m.Commit(name, gittest.Spec(name))
		m.Sign = tagBy
		m.Set("refs/tags/"+name, m.Tag(name, "commit", c))
	}
	branch := func(name string, by func(string) string) {
		m.Sign = by
		m.Set("refs/heads/"+name, m.Commit(name, gittest.Spec(name)))
	}
	branch("alice", alice)
	branch("dave", dave)
	branch("eve", eve)
	branch("unsigned", nil)
	branch("stolen", func(string) string { return alice("something else") })
	tagged("v1.0.0", alice, nil)
	tagged("v2.0.0", dave, eve)
	tagged("v3.0.0", nil, alice)
	tagged("v4.0.0", eve, alice)
	tagged("v5.0.0", alice, dave)
	m.Sign = alice
	m.Set("refs/tags/v6.0.0", m.Commit("v6.0.0", gittest.Spec("v6.0.0"))) // no object of its own
	m.Set("refs/tags/v7.0.0", m.Tag("v1.0.1", "commit", m.Commit("v7.0.0", gittest.Spec("v7.0.0"))))
	m.Sign = eve
	m.Set("refs/tags/v8.0.0", m.Tag("v8.0.0", "tag", m.Tag("v8.0.0", "commit", m.Commit("v8.0.0", gittest.Spec("v8.0.0")))))

	by := func(s string) string { return s + " (" }
	tests := []struct {
		ref    git.Ref
		signed git.Object
		want   string // by whom, or with "!" before why not
		key    string
	}{
		{git.Ref{Branch: "alice"}, git.Auto, by("alice@example.com"), ""},
		{git.Ref{Branch: "dave"}, git.Auto, by("Dave <dave@example.com>"), ""},
		{git.Ref{Branch: "eve"}, git.Auto, "!is signed with key " + evesPrint + ": nobody who may sign has this key", evesPrint},
		{git.Ref{Branch: "unsigned"}, git.Auto, "!is not signed", ""},
		{git.Ref{Branch: "stolen"}, git.Auto, "!the signature is not one of this content", print},
		{git.Ref{Branch: "alice"}, git.Tag, "!alice is no tag that can be signed", ""},
		{git.Ref{Tag: "v1.0.0"}, git.Auto, by("alice@example.com"), ""},
		{git.Ref{Tag: "v1.0.0"}, git.Both, "!is not signed", ""},
		{git.Ref{Tag: "v2.0.0"}, git.Auto, by("Dave <dave@example.com>"), ""},
		{git.Ref{Tag: "v2.0.0"}, git.Commit, "!nobody who may sign has this key", evesPrint},
		{git.Ref{Tag: "v3.0.0"}, git.Auto, "!tag v3.0.0 is not signed", ""},
		{git.Ref{Tag: "v3.0.0"}, git.Commit, by("alice@example.com"), ""},
		{git.Ref{Semver: "4"}, git.Auto, "!nobody who may sign has this key", evesPrint},
		{git.Ref{Semver: "5"}, git.Both, by("alice@example.com"), ""},
		{git.Ref{Semver: "6"}, git.Auto, "!v6.0.0 is no tag that can be signed", ""},
		{git.Ref{Semver: "7"}, git.Auto, "!the tag at v7.0.0 is one of the name v1.0.1", ""},
		{git.Ref{Tag: "v8.0.0"}, git.Auto, "!nobody who may sign has this key", evesPrint},
	}
	for _, tt := range tests {
		s := open(t, git.Options{URL: m.Dir, Path: "lxc", Ref: tt.ref, Signers: signers, Signed: tt.signed})
		why, refuses := strings.CutPrefix(tt.want, "!")
		if refuses {
			if e := refused(t, s, source.Unsigned, why); e.Key != tt.key || len(e.Commit) != 40 {
				t.Errorf("%s: key %q, commit %q", tt.ref, e.Key, e.Commit)
			}
			continue
		}
		if _, rev := fetch(t, s); !strings.HasPrefix(rev.Signer, tt.want) {
			t.Errorf("%s: signed by %q", tt.ref, rev.Signer)
		}
	}
	// What is not asked for is not said.
	if _, rev := fetch(t, open(t, git.Options{URL: m.Dir, Path: "lxc", Ref: git.Ref{Branch: "eve"}})); rev.Signer != "" {
		t.Errorf("signed by %q", rev.Signer)
	}
	if _, err := git.New(git.Options{URL: m.Dir, Signers: &sign.Signers{}}); err == nil || !strings.Contains(err.Error(), "nobody may sign") {
		t.Error(err)
	}
}

// TestVerifyKeeps goes the way of a repository that somebody pushes to who may not: what is in force stays.
func TestVerifyKeeps(t *testing.T) {
	alice, line, _ := gittest.Signer(t, "alice")
	signers := &sign.Signers{}
	if err := signers.AddAllowedSigners([]byte(line), time.UTC); err != nil {
		t.Fatal(err)
	}
	m := gittest.New(t)
	m.Sign = alice
	first := m.Commit("first", gittest.Spec("one"))
	m.Set("refs/heads/main", first)
	s := open(t, git.Options{URL: m.Dir, Path: "lxc", Signers: signers})
	k, err := source.Keep(s, t.TempDir()+"/force.json")
	if err != nil {
		t.Fatal(err)
	}
	found, err := k.Fetch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Accept(found); err != nil {
		t.Fatal(err)
	}
	m.Sign = nil
	second := m.Commit("second", gittest.Spec("two"), first)
	m.Set("refs/heads/main", second)
	if _, err := k.Fetch(t.Context()); err == nil {
		t.Error("an unsigned commit was taken")
	}
	state := k.State()
	if class, _ := source.ClassOf(state.Err); class != source.Unsigned || state.InForce.ID != first || state.Refused.ID != second || state.Failing.IsZero() {
		t.Errorf("got %+v", state)
	}
	m.Sign = alice
	third := m.Commit("third", gittest.Spec("three"), second) // who signs the tip answers for what is before it
	m.Set("refs/heads/main", third)
	if found, err = k.Fetch(t.Context()); err != nil || found.Revision.ID != third {
		t.Errorf("got %v, %v", found.Revision, err)
	}
}
