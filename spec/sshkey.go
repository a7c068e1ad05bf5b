package spec

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// sshKeyTypes are the types of keys that ssh-keygen of Debian 13 knows.
var sshKeyTypes = []string{
	"ssh-ed25519", "ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
}

// checkSSHKey accepts what Proxmox accepts at create, where it leaves the judgement to ssh-keygen (pve-common
// Tools.pm, validate_ssh_public_keys): on one line the type, the key and perhaps a comment, with options before.
func checkSSHKey(s string) error {
	fields := strings.Fields(s)
	at := slices.IndexFunc(fields, func(f string) bool { return slices.Contains(sshKeyTypes, f) })
	switch {
	case strings.ContainsAny(strings.TrimRight(s, "\n"), "\n\r"):
		return errors.New("has several lines: write each key as an element of its own")
	case strings.Contains(s, "PRIVATE KEY"):
		return errors.New("is a private key: take it out, and write the one line of the .pub file beside it")
	case at < 0:
		return errors.New("is not a public SSH key: write the line of a .pub file, which begins with its type, such as ssh-ed25519")
	case at+1 == len(fields):
		return fmt.Errorf("ends behind the type %s: write the key too, as in the .pub file", fields[at])
	}
	// The key begins with its type again, with the length before.
	blob, err := base64.StdEncoding.Strict().DecodeString(fields[at+1])
	if err != nil || len(blob) < 4 {
		return errors.New("has a key that cannot be decoded (base64): copy the whole line of the .pub file")
	}
	n, rest := int64(binary.BigEndian.Uint32(blob)), blob[4:]
	switch {
	case n >= int64(len(rest)):
		return errors.New("has a key that was cut off: copy the whole line of the .pub file")
	case string(rest[:n]) != fields[at]:
		return fmt.Errorf("says %s and holds a key of another type: copy the whole line of the .pub file", fields[at])
	}
	return nil
}
