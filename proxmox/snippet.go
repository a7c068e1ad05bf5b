package proxmox

import (
	"errors"
	"regexp"
)

// MaxSnippet is the size in bytes that a snippet may have.
const MaxSnippet = 512 << 10

// SnippetNameExpr is what the file of a snippet may be called: nothing hidden, and nothing that a path could be.
const SnippetNameExpr = `[A-Za-z0-9_][\w.+@-]{0,127}`

var snippetVolume = regexp.MustCompile(`^[A-Za-z][-\w.]*[A-Za-z0-9]:snippets/` + SnippetNameExpr + `$`)

// CheckSnippet says what is wrong with the volume of a snippet that somebody wants to have (pve-storage Plugin.pm,
// parse_volname; pve-common JSONSchema.pm, parse_storage_id).
func CheckSnippet(volume string) error {
	if !snippetVolume.MatchString(volume) {
		return errors.New("is not a snippet on a storage, as in local:snippets/hook.sh")
	}
	return nil
}
