package repo_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/reconcile/source/git/repo"
)

const (
	tree = "tree 620078461b89e2a87cde3e277933d89c3f72d262\n"
	one  = "parent ff4a9038db2aed21f6cebefb797169c22dff377b\n"
	two  = "parent 4420b07b768f82791470e041923c6872ddd3cfc4\n"
	who  = "author Alice <alice@example.com> 1795503600 +0100\ncommitter Bob <b@x> 1795503601 -0130\n"
	sig  = "gpgsig -----BEGIN SSH SIGNATURE-----\n U1NI\n \n -----END SSH SIGNATURE-----\n"
)

func TestParseCommit(t *testing.T) {
	tests := []struct {
		name, text, payload, signature string
		bad                            bool
	}{
		{"plain", tree + who + "\nmessage\n", "", "", false},
		{"signed", tree + one + who + sig + "\nmessage\n", tree + one + who + "\nmessage\n", "-----BEGIN SSH SIGNATURE-----\nU1NI\n\n-----END SSH SIGNATURE-----", false},
		{"signed, with headers around", tree + one + two + who + "encoding x\n" + sig + "extra y\n z\n\nm", tree + one + two + who + "encoding x\nextra y\n z\n\nm", "-----BEGIN SSH SIGNATURE-----\nU1NI\n\n-----END SSH SIGNATURE-----", false},
		{"for another hash too", tree + who + sig + "gpgsig-sha256 other\n more\n\nm", tree + who + "\nm", "-----BEGIN SSH SIGNATURE-----\nU1NI\n\n-----END SSH SIGNATURE-----", false},
		{"a signature in the message", tree + who + "\n" + sig, "", "", false},
		{"no message", tree + who, "", "", false},
		{"two trees", tree + tree + who + "\nm", "", "", true},
		{"two signatures", tree + who + sig + sig + "\nm", "", "", true},
		{"two committers", tree + who + "committer Eve <e> 1 +0000\n\nm", "", "", true},
		{"no tree", who + "\nm", "", "", true},
		{"nobody", tree + "\nm", "", "", true},
		{"no hash", "tree x\n" + who + "\nm", "", "", true},
		{"no time", tree + "author A <a> x\ncommitter A <a> 1 +0000\n\nm", "", "", true},
		{"a continuation of nothing", " x\n" + tree + who, "", "", true},
		{"cut off", tree + strings.TrimSpace(who), "", "", true},
		{"empty", "", "", "", true},
	}
	for _, tt := range tests {
		c, err := repo.ParseCommit([]byte(tt.text))
		if (err != nil) != tt.bad {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if string(c.Payload) != tt.payload || string(c.Signature) != tt.signature {
			t.Errorf("%s: %q is signed by %q", tt.name, c.Payload, c.Signature)
		}
	}
	c, err := repo.ParseCommit([]byte(tree + one + two + who + "\nfirst\n\nsecond\n"))
	if err != nil || c.Tree.String() != tree[5:45] || len(c.Parents) != 2 || c.Message != "first\n\nsecond\n" {
		t.Errorf("got %+v, %v", c, err)
	}
	if got := c.Author.String() + c.Author.When.Format(" 2006-01-02T15:04:05Z07:00 ") + c.Committer.String() + c.Committer.When.Format(" 15:04:05Z07:00"); got != "Alice <alice@example.com> 2026-11-24T08:00:00+01:00 Bob <b@x> 05:30:01-01:30" {
		t.Errorf("got %q", got)
	}
}

func TestParseTag(t *testing.T) {
	const head = "object ff4a9038db2aed21f6cebefb797169c22dff377b\ntype commit\ntag v1.0.0\ntagger Alice <a@x> 1795503600 +0100\n\n"
	const begin = "-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----\n"
	tests := []struct{ name, text, payload, signature string }{
		{"plain", head + "out\n", "", ""},
		{"signed", head + "out\n" + begin, head + "out\n", begin},
		{"signed, without a message", head + begin, head, begin},
		{"not at the beginning of a line", head + "x " + begin, "", ""},
		{"the last counts", head + begin + begin, head + begin, begin},
	}
	for _, tt := range tests {
		tag, err := repo.ParseTag([]byte(tt.text))
		if err != nil || tag.Name != "v1.0.0" || string(tag.Payload) != tt.payload || string(tag.Signature) != tt.signature {
			t.Errorf("%s: %+v, %v", tt.name, tag, err)
		}
	}
	for _, text := range []string{"", "x", strings.Replace(head, "type commit", "type x", 1), strings.Replace(head, "tag v1.0.0", "tag v1\ntag v2", 1), strings.Replace(head, "object ", "object x", 1)} {
		if _, err := repo.ParseTag([]byte(text)); err == nil {
			t.Errorf("%q is taken for a tag", text)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	put("work/.git/HEAD", "ref: refs/heads/main\n")
	put("work/.git/objects/x", "")
	put("work/.git/refs/heads/main", a+"\n")
	put("work/.git/packed-refs", "# pack-refs\n"+b+" refs/heads/main\n"+b+" refs/tags/v1\n^"+a+"\n")
	put("linked/.git", "gitdir: ../work/.git/worktrees/linked\n")
	put("work/.git/worktrees/linked/HEAD", b+"\n")
	put("work/.git/worktrees/linked/commondir", "../..\n")
	put("bare.git/HEAD", "ref: refs/heads/side\n")
	put("bare.git/objects/x", "")
	put("none/HEAD", "x")
	tests := []struct{ at, head, branch string }{{"work", a, "main"}, {"work/.git", a, "main"}, {"linked", b, ""}, {"bare.git", "", ""}, {"none", "!", ""}, {"nowhere", "!", ""}}
	for _, tt := range tests {
		r, err := repo.Open(filepath.Join(dir, tt.at))
		if (err != nil) != (tt.head == "!") {
			t.Errorf("%s: %v", tt.at, err)
		}
		if err != nil {
			continue
		}
		head, branch, err := r.Head()
		if err == nil && head.String() != tt.head || branch != tt.branch || (err != nil) != (tt.head == "") {
			t.Errorf("%s: on %s, %q, %v", tt.at, head, branch, err)
		}
		refs, err := r.References()
		if want := 2; err != nil || tt.at != "bare.git" && (len(refs) != want || refs["refs/heads/main"].String() != a || refs["refs/tags/v1"].String() != b) {
			t.Errorf("%s: %v, %v", tt.at, refs, err)
		}
	}
}

// FuzzParse takes objects apart and puts them together again: what is signed is what is there.
func FuzzParse(f *testing.F) {
	f.Add([]byte(tree + one + who + sig + "\nmessage\n"))
	f.Add([]byte(tree + who + "\nm"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := repo.ParseCommit(raw); err == nil && c.Signature != nil {
			again, err := repo.ParseCommit(c.Payload)
			if err != nil || again.Signature != nil {
				t.Fatalf("what is signed is no commit without a signature: %q, %v", c.Payload, err)
			}
			c.Signed, again.Signed = repo.Signed{}, repo.Signed{}
			if diff := cmp.Diff(c, again); diff != "" {
				t.Fatalf("what is signed is not what is read: %s", diff)
			}
		}
		if tag, err := repo.ParseTag(raw); err == nil && tag.Signature != nil && !bytes.Equal(append(bytes.Clone(tag.Payload), tag.Signature...), raw) {
			t.Fatalf("%q is cut into %q and %q", raw, tag.Payload, tag.Signature)
		}
		_, _ = repo.ParseTree(raw)
	})
}
