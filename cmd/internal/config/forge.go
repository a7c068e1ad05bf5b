package config

import "slices"

// A CommitStatus says where it is told of a commit whether the cluster is as it says: at the forge that its repository is
// of. The zero value tells nobody.
type CommitStatus struct {
	Forge     string `yaml:"forge"`     // "github", "gitea", "forgejo", "gitlab"
	TokenFile string `yaml:"tokenFile"` // holds the token
	// API is the address of the forge's interface; where absent it follows from that of the repository.
	API        string `yaml:"api"`
	Repository string `yaml:"repository"` // "owner/name"; where absent as API
	Context    string `yaml:"context"`    // the name under which it stands; "tend/CLUSTER" where absent
	Target     string `yaml:"target"`     // address to which it leads, such as that of the agent's page
}

// Given reports whether anybody is told.
func (c CommitStatus) Given() bool { return c != CommitStatus{} }

func (c CommitStatus) check(git string, fault func(field, format string, args ...any)) {
	if !c.Given() {
		return
	}
	forges := []string{"github", "gitea", "forgejo", "gitlab"}
	if !slices.Contains(forges, c.Forge) {
		fault("commitStatus", "forge: %q is none of %s%s", c.Forge, words(forges), meant(c.Forge, forges))
	}
	if c.TokenFile == "" {
		fault("commitStatus", "tokenFile: no file holds the token")
	}
	if git == "" {
		fault("commitStatus", "the source is no git repository, whose commits could have one")
	}
}
