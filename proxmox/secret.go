package proxmox

import "github.com/felhom/tend/proxmox/secret"

// A Secret is a text that must never be shown. It is [secret.Text], which stands below this package for those who
// have secrets of other kinds and nothing to do with Proxmox.
type Secret = secret.Text

// NewSecret makes a secret of a text. The empty text gives the zero value.
func NewSecret(text string) Secret { return secret.New(text) }
