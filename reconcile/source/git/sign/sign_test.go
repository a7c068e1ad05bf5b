package sign_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/felhom/tend/reconcile/source/git/repo"
	"github.com/felhom/tend/reconcile/source/git/sign"
)

// now is after the commits and keys in testdata were made.
var now = time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)

func data(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func signers(t *testing.T) *sign.Signers {
	t.Helper()
	var s sign.Signers
	if err := errors.Join(s.AddAllowedSigners(data(t, "allowed_signers"), time.UTC), s.AddKeyRing(data(t, "carol.asc"))); err != nil {
		t.Fatal(err)
	}
	return &s
}

// signed is what is signed of a commit or tag of testdata, which git, ssh-keygen and gpg have made.
func signed(t *testing.T, name string) (repo.Signed, time.Time) {
	t.Helper()
	if strings.HasPrefix(name, "tag") {
		tag, err := repo.ParseTag(data(t, name))
		if err != nil {
			t.Fatal(err)
		}
		return tag.Signed, tag.Tagger.When
	}
	c, err := repo.ParseCommit(data(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return c.Signed, c.Committer.When
}

func TestGitsOwn(t *testing.T) {
	tests := map[string]string{
		"commit-ed": "ed@example.com (SHA256:", "commit-rsa": "rsa@example.com (SHA256:", "commit-ec": "ec@example.com (SHA256:",
		"commit-merge": "ed@example.com (SHA256:", "tag-ed": "ed@example.com (SHA256:",
		"commit-gpg": "Carol <carol@example.com> (97DF959F0E3513697282E88DAFA1C0E66EE58377)",
		"tag-gpg":    "Carol <carol@example.com> (97DF959F0E3513697282E88DAFA1C0E66EE58377)",
	}
	for name, want := range tests {
		s, at := signed(t, name)
		who, err := signers(t).Verify(s.Payload, s.Signature, at, now)
		if err != nil || !strings.HasPrefix(who.String(), want) {
			t.Errorf("%s: %q, %v", name, who, err)
		}
		// Neither another content, nor nobody who is allowed.
		for i := range 20 {
			other := bytes.Clone(s.Payload)
			other[i*len(other)/20] ^= 1
			if _, err := signers(t).Verify(other, s.Signature, at, now); !isRefused(err, "the signature is not one of this content") {
				t.Errorf("%s: with another content: %v", name, err)
			}
		}
		if _, err := new(sign.Signers).Verify(s.Payload, s.Signature, at, now); !isRefused(err, "nobody who may sign has this key") {
			t.Errorf("%s: with nobody: %v", name, err)
		}
	}
	s, at := signed(t, "commit-unsigned")
	if _, err := signers(t).Verify(s.Payload, s.Signature, at, now); !errors.Is(err, sign.ErrNone) {
		t.Error(err)
	}
}

func isRefused(err error, words string) bool {
	e, ok := errors.AsType[*sign.RefusedError](err)
	return ok && strings.Contains(e.Error(), words) && (e.Key == "" || strings.Contains(e.Error(), e.Key))
}

// sshSign signs as ssh-keygen -Y sign does.
func sshSign(t *testing.T, key ssh.Signer, payload, namespace string) []byte {
	t.Helper()
	sig, err := sshsig.Sign(strings.NewReader(payload), key, sshsig.HashSHA512, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return sshsig.Armor(sig)
}

func TestAllowedSigners(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	public := string(ssh.MarshalAuthorizedKey(key.PublicKey()))
	tests := []struct {
		name, line, namespace string
		want                  string // who it is, or with "!" before why not
	}{
		{"plain", "alice@example.com KEY", "git", "alice@example.com"},
		{"with a comment", "# mine\n\nalice@example.com KEY alice", "git", "alice@example.com"},
		{"several principals", "alice@example.com,*@home KEY", "git", "alice@example.com,*@home"},
		{"quoted principals", `"alice,bob" KEY`, "git", "alice,bob"},
		{"tabs", "alice\tKEY", "git", "alice"},
		{"namespaces", `alice namespaces="file,git" KEY`, "git", "alice"},
		{"namespaces with patterns", `alice namespaces="g*" KEY`, "git", "alice"},
		{"other namespaces", `alice namespaces="file" KEY`, "git", "!its namespaces are file"},
		{"namespaces without it", `alice namespaces="*,!git" KEY`, "git", "!its namespaces are *,!git"},
		{"a signature of another namespace", "alice KEY", "file", "!the signature is not one of this content"},
		{"valid by day", `alice valid-after="20261101",valid-before="20261102" KEY`, "git", "alice"},
		{"valid by second", `alice valid-after="20261101120000Z",valid-before="20261101120000Z" KEY`, "git", "alice"},
		{"not yet", `alice valid-after="202611011201" KEY`, "git", "!it may sign from 2026-11-01 12:01:00 on"},
		{"no longer", `alice valid-before="20261101115959" KEY`, "git", "!it may sign until 2026-11-01 11:59:59"},
		{"no longer, and anew", "alice valid-before=\"20260101\" KEY\nalice2 valid-after=\"20261101\" KEY", "git", "alice2"},
	}
	for _, tt := range tests {
		var s sign.Signers
		if err := s.AddAllowedSigners([]byte(strings.ReplaceAll(tt.line, "KEY", strings.TrimSpace(public))), time.UTC); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		who, err := s.Verify([]byte("payload"), sshSign(t, key, "payload", tt.namespace), at, now)
		why, refused := strings.CutPrefix(tt.want, "!")
		if refused && !isRefused(err, why) || !refused && (err != nil || who.Name != tt.want || who.Key != ssh.FingerprintSHA256(key.PublicKey())) {
			t.Errorf("%s: %q, %v", tt.name, who, err)
		}
	}
	// A zone that is not given is that of the reader.
	var s sign.Signers
	if err := s.AddAllowedSigners([]byte(`alice valid-after="202611011230" `+public), time.FixedZone("", 3600)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify([]byte("x"), sshSign(t, key, "x", "git"), at, now); err != nil {
		t.Error(err)
	}
}

func TestAllowedSignersFaults(t *testing.T) {
	key := strings.Fields(string(data(t, "allowed_signers")))[2] + " " + strings.Fields(string(data(t, "allowed_signers")))[3]
	tests := []struct{ line, want string }{
		{"alice", "write principals, options, the type of the key and the key"},
		{`"alice ` + key, "a quote is not closed"},
		{"alice ssh-ed25519 nonsense", "no key after \"alice\""},
		{"alice " + key[:40], "no key after"},
		{`alice valid-after="soon" ` + key, `"soon" is no time`},
		{`alice valid-before="20261301" ` + key, "is no time"},
		{`alice namespaces="" ` + key, "namespaces names none"},
		{"*@example.com cert-authority " + key, "cert-authority is not supported"},
		{"alice verify-required " + key, `unknown option "verify-required"`},
	}
	all := "# comment\n"
	for _, tt := range tests {
		all += tt.line + "\n"
		var s sign.Signers
		if err := s.AddAllowedSigners([]byte(tt.line), nil); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "line 1: ") {
			t.Errorf("%s: %v", tt.line, err)
		}
		if !s.Empty() {
			t.Errorf("%s: somebody may sign", tt.line)
		}
	}
	var s sign.Signers
	if err := s.AddAllowedSigners([]byte(all), nil); err == nil || strings.Count(err.Error(), "\n") != len(tests)-1 || !strings.Contains(err.Error(), "line 10: ") {
		t.Errorf("not all faults are told: %v", err)
	}
}

func entity(t *testing.T, seconds uint32, at time.Time) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Dave", "", "dave@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, KeyLifetimeSecs: seconds, Time: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func ringOf(t *testing.T, e *openpgp.Entity, armored bool) []byte {
	t.Helper()
	var b bytes.Buffer
	if !armored {
		if err := e.Serialize(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(e.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestOpenPGP(t *testing.T) {
	made := now.Add(-48 * time.Hour)
	signedAt := &packet.Config{Time: func() time.Time { return now.Add(-47 * time.Hour) }}
	lasting, short, revoked := entity(t, 0, made), entity(t, 3600*24, made), entity(t, 0, made)
	signature := func(e *openpgp.Entity) []byte {
		var b bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&b, e, strings.NewReader("payload"), signedAt); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	bySomebody := signature(revoked)
	if err := revoked.RevokeKey(packet.KeyCompromised, "lost", signedAt); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		ring      []byte
		signature []byte
		want      string
	}{
		{"armored", ringOf(t, lasting, true), signature(lasting), ""},
		{"binary", ringOf(t, lasting, false), signature(lasting), ""},
		{"another key", ringOf(t, lasting, true), signature(short), "nobody who may sign has this key"},
		{"expired since", ringOf(t, short, true), signature(short), "it has expired"},
		{"revoked", ringOf(t, revoked, true), bySomebody, "it is revoked"},
		{"damaged", ringOf(t, lasting, true), bytes.Replace(signature(lasting), []byte("=\n"), []byte("A\n"), 1)[:120], "not a good one"},
	}
	for _, tt := range tests {
		var s sign.Signers
		if err := s.AddKeyRing(tt.ring); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		who, err := s.Verify([]byte("payload"), tt.signature, now, now)
		if tt.want == "" && (err != nil || who.Name != "Dave <dave@example.com>" || len(who.Key) != 40) || tt.want != "" && !isRefused(err, tt.want) {
			t.Errorf("%s: %q, %v", tt.name, who, err)
		}
	}
	for _, text := range []string{"", "nonsense", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----\n", string(signature(lasting))} {
		var s sign.Signers
		if err := s.AddKeyRing([]byte(text)); err == nil || !s.Empty() {
			t.Errorf("%q is taken for a key ring", text)
		}
	}
}

func TestOtherSignatures(t *testing.T) {
	for text, want := range map[string]string{
		"-----BEGIN SIGNED MESSAGE-----\nx": "not supported", "nonsense": "not supported",
		"-----BEGIN SSH SIGNATURE-----\nnonsense\n-----END SSH SIGNATURE-----": "cannot be read", "-----BEGIN SSH SIGNATURE-----": "cannot be read",
	} {
		if _, err := signers(t).Verify([]byte("x"), []byte(text), now, now); !isRefused(err, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzAllowedSigners never panics, and lets nobody sign by a text that has faults alone.
func FuzzAllowedSigners(f *testing.F) {
	f.Add(string(data(f, "allowed_signers")))
	f.Add("\"a b\" cert-authority,namespaces=\"x\\\"y\",valid-after=\"20260101Z\" ssh-ed25519 AAAA c")
	f.Fuzz(func(t *testing.T, text string) {
		var s sign.Signers
		err := s.AddAllowedSigners([]byte(text), time.UTC)
		faults := 0
		if err != nil {
			faults = strings.Count(err.Error(), "line ")
		}
		lines := 0
		for l := range strings.Lines(text) {
			if l = strings.TrimSpace(l); l != "" && l[0] != '#' {
				lines++
			}
		}
		if !s.Empty() && faults >= lines && !strings.Contains(text, "line ") {
			t.Errorf("%q: %v, and somebody may sign", text, err)
		}
	})
}

// FuzzVerify believes nothing that it was not given.
func FuzzVerify(f *testing.F) {
	var s sign.Signers
	if err := errors.Join(s.AddAllowedSigners(data(f, "allowed_signers"), time.UTC), s.AddKeyRing(data(f, "carol.asc"))); err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"commit-ed", "commit-rsa", "commit-ec", "commit-gpg"} {
		c, err := repo.ParseCommit(data(f, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.Signature)
	}
	f.Fuzz(func(t *testing.T, signature []byte) {
		if who, err := s.Verify([]byte("what nobody signed"), signature, now, now); err == nil {
			t.Errorf("%q is one of %s", signature, who)
		}
	})
}
