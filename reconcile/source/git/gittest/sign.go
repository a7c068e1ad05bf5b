package gittest

import (
	"strings"
	"testing"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Signer makes a key that signs as git does with gpg.format=ssh, its line of allowed signers, and its fingerprint.
func Signer(t testing.TB, name string) (signs func(string) string, line, print string) {
	t.Helper()
	key, _ := Key(t)
	return func(payload string) string {
		sig, err := sshsig.Sign(strings.NewReader(payload), key, sshsig.HashSHA512, "git")
		if err != nil {
			t.Fatal(err)
		}
		return string(sshsig.Armor(sig))
	}, name + " " + string(ssh.MarshalAuthorizedKey(key.PublicKey())), ssh.FingerprintSHA256(key.PublicKey())
}
