package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/app"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir, "1.2.3", time.Unix(1700000000, 0).UTC()); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
	var verbs func(c *cobra.Command)
	verbs = func(c *cobra.Command) {
		if c.Name() == "completion" || c.Name() == "help" {
			return
		}
		page := read("man/" + strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1")
		for _, want := range []string{`"Nov 2023" "tend 1.2.3"`, ".SH SYNOPSIS"} {
			if !strings.Contains(page, want) {
				t.Errorf("the page of %s lacks %q", c.CommandPath(), want)
			}
		}
		if c.Runnable() && c.HasParent() && strings.Contains(c.Long, exitTitle) != strings.Contains(page, ".SH EXIT STATUS") {
			t.Errorf("%s has exit codes in its help and not in its page, or the other way round", c.CommandPath())
		}
		if strings.Contains(page, exitTitle) {
			t.Errorf("the page of %s has its exit codes as running text", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			verbs(sub)
		}
	}
	verbs(app.Command())
	for file, want := range map[string]string{"tend.bash": "__start_tend", "_tend": "#compdef tend", "tend.fish": "complete -c tend"} {
		if text := read("completion/" + file); !strings.Contains(text, want) {
			t.Errorf("completion/%s lacks %q", file, want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	tests := []struct{ name, help, want string }{
		{"plain", "One\ntwo.", "One\ntwo.\n"},
		{
			"a block", "Before:\n\n  a\n\n  b\n\nAfter.",
			"Before:\n\n\n```\n  a\n\n  b\n\n```\n\nAfter.\n",
		},
		{"a block at the end", "Before:\n  a", "Before:\n\n```\n  a\n```\n"},
		{
			"exit codes", "What.\n\nExit codes:\n  0  well\n  1  error: no",
			"What.\n\n# EXIT STATUS\n**0**\n\twell\n\n**1**\n\terror: no\n\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, markdown(tt.help)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
