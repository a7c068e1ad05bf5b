package config_test

import (
	"os"
	"strings"
	"testing"

	"github.com/felhom/tend/cmd/internal/config"
)

// TestExampleFile holds the file that the package ships against the parser: as it stands, and with each of its examples.
func TestExampleFile(t *testing.T) {
	raw, err := os.ReadFile("../../../packaging/examples/tend.yaml")
	if err != nil {
		t.Fatal(err)
	}
	token := write(t, "token", "tend@pve!apply=secret")
	text := strings.Replace(string(raw), "/etc/tend/token", token, 1)
	load := func(text string) (*config.Config, error) {
		return config.Load(config.Sources{Env: env("HOME", "/home/me"), File: write(t, "tend.yaml", text)})
	}
	if _, err := load(text); err != nil {
		t.Errorf("as it stands: %v", err)
	}
	all := strings.ReplaceAll(strings.Replace(text, "  dir: /etc/tend/spec\n", "", 1), "\n#: ", "\n")
	c, err := load(all)
	if err != nil {
		t.Fatalf("with all examples: %v", err)
	}
	if c.Agent.Source.Path != "lxc" || c.Agent.Prune.Max != 1 || c.Agent.Web.KeyFile == "" || c.Agent.Webhook.SecretFile == "" {
		t.Errorf("the examples are not read: %+v", c.Agent)
	}
}
