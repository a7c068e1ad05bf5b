package install

import (
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestText holds that whatever is answered reads back as it was, and as one value.
func TestText(t *testing.T) {
	for _, value := range []string{
		"/etc/tend/spec", "/srv/my specs", "/x: y", "/#1", "/a\nlane: direct", `/"quoted" \ 'twice'`, "/ünï/中文", "/\x00\x1b", "/off",
		"https://git.example.com/anna/home.git", "git@git.example.com:anna/home.git", "-x", "*x", "{a: b}",
	} {
		s := Settings{Source: value, Branch: value, Lane: "off"}
		var got struct {
			Endpoint, CAFile, TokenFile, Lane string
			Source                            struct{ Dir, Git, Branch string }
		}
		if err := yaml.Unmarshal([]byte(s.text()), &got); err != nil {
			t.Errorf("%q: %v\n%s", value, err, s.text())
			continue
		}
		if got.Source.Dir+got.Source.Git != value || s.IsGit() && got.Source.Branch != value || got.Lane != "off" {
			t.Errorf("%q reads back as %+v\n%s", value, got, s.text())
		}
	}
}

func TestIsGit(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "/etc/tend/spec": false, "/srv/home.git": true, "https://x/y": true, "ssh://git@x/y": true, "git@x:y": true,
	} {
		if got := (Settings{Source: value}).IsGit(); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}
