package forge

import (
	"strings"
	"testing"

	"github.com/felhom/tend/cmd/internal/config"
)

// TestSite shows where statuses go, by the address of the repository, and what says nothing of it.
func TestSite(t *testing.T) {
	for _, tt := range []struct {
		forge, git, api, repository string
		want                        string // or the error
	}{
		{"github", "https://github.com/anna/home.git", "", "", "https://api.github.com anna/home"},
		{"github", "git@github.com:anna/home.git", "", "", "https://api.github.com anna/home"},
		{"github", "ssh://git@github.com:22/anna/home", "", "", "https://api.github.com anna/home"},
		{"github", "https://ghe.example.com/anna/home/", "", "", "https://ghe.example.com/api/v3 anna/home"},
		{"gitea", "ssh://git@git.example.com:2222/anna/home.git", "", "", "https://git.example.com/api/v1 anna/home"},
		{"forgejo", "https://git.example.com:3000/anna/home.git", "", "", "https://git.example.com:3000/api/v1 anna/home"},
		{"gitea", "http://127.0.0.1:3000/anna/home.git", "", "", "http://127.0.0.1:3000/api/v1 anna/home"},
		{"gitlab", "git@gitlab.com:infra/lxc/home.git", "", "", "https://gitlab.com/api/v4 infra/lxc/home"},
		{"gitea", "https://example.com/git/anna/home.git", "https://example.com/git/api/v1/", "anna/home", "https://example.com/git/api/v1 anna/home"},
		{"gitea", "/srv/home.git", "https://example.com/api/v1", "anna/home", "https://example.com/api/v1 anna/home"},
		{"gitea", "https://example.com/git/anna/home.git", "", "", "write api: and repository:, too"},
		{"gitea", "/srv/home.git", "", "", "names no forge"},
		{"gitea", "file:///srv/home.git", "", "", "names no forge"},
		{"gitea", "http://git.example.com/anna/home.git", "", "", "would send the token for everyone to read"},
		{"gitea", "https://git.example.com/home.git", "", "", "is not OWNER/NAME"},
		{"gitea", "https://git.example.com/a/b", "ftp://x", "", "begins with https://"},
	} {
		s, err := newSite(config.CommitStatus{Forge: tt.forge, API: tt.api, Repository: tt.repository}, tt.git)
		got := s.api + " " + s.repository
		if err != nil {
			got = err.Error()
		}
		if got != tt.want && (err == nil || !strings.Contains(got, tt.want)) {
			t.Errorf("%s at %s: %s, want %s", tt.forge, tt.git, got, tt.want)
		}
	}
}
