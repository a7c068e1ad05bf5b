package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/config"
)

func env(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStrength(t *testing.T) {
	file := write(t, "tend.yaml", "endpoint: of-file\nfingerprint: AA\nlogLevel: debug\n")
	got, err := config.Load(config.Sources{
		Flags: map[string]string{"endpoint": "of-flag"},
		Env:   env("TEND_ENDPOINT", "of-env", "TEND_FINGERPRINT", "BB", "HOME", "/home/me"),
		File:  file,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Endpoint != "of-flag" || got.Fingerprint != "BB" || got.LogLevel.String() != "DEBUG" {
		t.Errorf("got endpoint %q, fingerprint %q, level %v", got.Endpoint, got.Fingerprint, got.LogLevel)
	}
	if got.StateDir != "/home/me/.local/state/tend" {
		t.Errorf("got state dir %q", got.StateDir)
	}
	want := []config.Value{
		{Text: "of-flag", Source: "--endpoint"}, {Text: "of-env", Source: "TEND_ENDPOINT"}, {Text: "of-file", Source: file + ":1", Column: 11},
	}
	if diff := cmp.Diff(want, got.Origins[0].Found); diff != "" {
		t.Error(diff)
	}
}

func TestToken(t *testing.T) {
	const inEnv, inFile = "root@pam!env=1", "root@pam!file=2"
	file := write(t, "token", inFile+"\n")
	dir := filepath.Dir(file)
	tests := []struct {
		name   string
		src    config.Sources
		want   string
		source string
	}{
		{"none", config.Sources{Env: env()}, "", ""},
		{"environment", config.Sources{Env: env("TEND_TOKEN", inEnv)}, inEnv, "TEND_TOKEN"},
		{"file of the environment", config.Sources{Env: env("TEND_TOKEN_FILE", file)}, inFile, "TEND_TOKEN_FILE"},
		{"environment before its file", config.Sources{Env: env("TEND_TOKEN", inEnv, "TEND_TOKEN_FILE", file)}, inEnv, "TEND_TOKEN"},
		{"flag before environment", config.Sources{Flags: map[string]string{"token-file": file}, Env: env("TEND_TOKEN", inEnv)}, inFile, "--token-file"},
		{"credential of systemd", config.Sources{Env: env("CREDENTIALS_DIRECTORY", dir)}, inFile, "systemd credential"},
		{"credential of systemd before the file", config.Sources{Env: env("CREDENTIALS_DIRECTORY", dir), File: write(t, "tend.yaml", "tokenFile: /root/only\n")}, inFile, "systemd credential"},
		{"file of the environment before the credential", config.Sources{Env: env("CREDENTIALS_DIRECTORY", dir, "TEND_TOKEN_FILE", file)}, inFile, "TEND_TOKEN_FILE"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.Load(tt.src)
			if err != nil {
				t.Fatal(err)
			}
			if got.Token.Reveal() != tt.want || got.TokenSource().Source != tt.source {
				t.Errorf("got %q from %q, want %q from %q", got.Token.Reveal(), got.TokenSource().Source, tt.want, tt.source)
			}
			if text := fmt.Sprintf("%v %+v", got.Token, got.Token); tt.want != "" && strings.Contains(text, tt.want) {
				t.Errorf("the token is printed: %s", text)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name, file string
		env        []string
		want       []string
	}{
		{"unknown", "endpiont: x\n", nil, []string{`:1:1: endpiont: unknown field: did you mean "endpoint"?`}},
		{"a token in the file", "endpoint: x\ntoken: root@pam!x=very-secret\n", nil, []string{":2:1: token: a token does not belong into this file", "tokenFile: PATH"}},
		{"twice", "endpoint: x\nendpoint: y\n", nil, []string{":2:1: endpoint: is written twice"}},
		{"all at once", "endpiont: x\ninsecur: true\n", nil, []string{":1:1:", ":2:1:"}},
		{"not a mapping", "- endpoint\n", nil, []string{":1: is not a mapping"}},
		{"not a value", "endpoint: [a, b]\n", nil, []string{"endpoint: has no single value"}},
		{"no YAML", "endpoint: \"x\n", nil, []string{"tend.yaml"}},
		{"bad boolean", "insecure: perhaps\n", nil, []string{`tend.yaml:1:11: "perhaps" is not true or false`}},
		{"bad level and format", "", []string{"TEND_LOG_LEVEL", "loud", "TEND_LOG_FORMAT", "xml"}, []string{`TEND_LOG_LEVEL: "loud" is none of`, `TEND_LOG_FORMAT: "xml" is none of`}},
		{"no token file", "tokenFile: /nonexistent/token\n", nil, []string{"read the token (", "tend.yaml:1:12)", "no such file"}},
		{"token file is a folder", "tokenFile: /\n", nil, []string{"is not a small file"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Load(config.Sources{File: write(t, "tend.yaml", tt.file), Env: env(tt.env...)})
			if err == nil {
				t.Fatal("want an error, got none")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q:\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "very-secret") {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

func TestFile(t *testing.T) {
	if _, err := config.Load(config.Sources{File: "/nonexistent/tend.yaml", Env: env()}); err == nil {
		t.Error("a file that was named and does not exist is no error")
	}
	got, err := config.Load(config.Sources{Env: env("TEND_CONFIG", write(t, "tend.yaml", ""))})
	if err != nil || !strings.HasSuffix(got.File, "tend.yaml") {
		t.Errorf("an empty file: got %q, %v", got.File, err)
	}
	empty := write(t, "token", " \n")
	if _, err := config.Load(config.Sources{Env: env("TEND_TOKEN_FILE", empty)}); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty token file: got %v", err)
	}
}
