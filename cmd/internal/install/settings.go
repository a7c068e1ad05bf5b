package install

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Settings are what the configuration says.
type Settings struct {
	Endpoint    string // empty: this node
	Fingerprint string
	CAFile      string
	Lane        string // off or helper
	Source      string // a folder, or the address of a git repository
	Branch      string // of a repository
	Path        string // within a repository
}

// IsGit reports whether the source is a repository and no folder.
func (s Settings) IsGit() bool {
	return s.Source != "" && !filepath.IsAbs(s.Source) || strings.HasSuffix(s.Source, ".git")
}

// ownAuthority reports whether the node is reached by its own name and certificate.
func (s Settings) ownAuthority() bool {
	return s.Endpoint == "" && s.Fingerprint == "" && s.CAFile == ""
}

// text is the file of the configuration. "localhost" stands in the certificate that Proxmox makes for a node (pve-cluster
// Cluster/Setup.pm, gen_pve_ssl_cert).
func (s Settings) text() string {
	var out strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, quoted(value))
		}
	}
	out.WriteString("# Written by tend install. /usr/share/doc/tend/examples/config/tend.yaml shows what else there is.\n")
	endpoint, authority := s.Endpoint, s.CAFile
	if endpoint == "" {
		endpoint = "localhost"
	}
	if s.ownAuthority() {
		authority = CAFile
	}
	line("endpoint", endpoint)
	line("caFile", authority)
	line("fingerprint", s.Fingerprint)
	line("tokenFile", TokenFile)
	line("lane", s.Lane)
	line("logLevel", "info")
	switch {
	case s.IsGit():
		out.WriteString("source:\n")
		line("  git", s.Source)
		line("  branch", s.Branch)
		line("  path", s.Path)
	case s.Source != "":
		out.WriteString("source:\n")
		line("  dir", s.Source)
	}
	return out.String()
}

// quoted is a value as YAML reads it back, whatever stands in it.
func quoted(value string) string {
	if strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == "" && value != "off" {
		return value
	}
	return fmt.Sprintf("%q", value)
}
