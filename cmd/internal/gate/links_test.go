package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	linkExpr    = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	headingExpr = regexp.MustCompile(`(?m)^#+ (.*)$`)
	anchorDrops = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinks holds that what pages for people link to in this repository is there, headings included.
func TestLinks(t *testing.T) {
	pages, err := filepath.Glob("../../../docs/*.md")
	if err != nil || len(pages) < 5 {
		t.Fatalf("%q, %v", pages, err)
	}
	for _, page := range append(pages, "../../../README.md", "../../../CHANGELOG.md") {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linkExpr.FindAllStringSubmatch(string(raw), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			text, err := os.ReadFile(target)
			if info, serr := os.Stat(target); err != nil && (serr != nil || !info.IsDir()) {
				t.Errorf("%s: %s is not there", filepath.Base(page), m[1])
				continue
			}
			if m[2] != "" && !hasHeading(string(text), m[2][1:]) {
				t.Errorf("%s: %s has no heading %s", filepath.Base(page), target, m[2])
			}
		}
	}
}

// hasHeading reports whether forges would give a heading of a page this anchor.
func hasHeading(text, anchor string) bool {
	for _, m := range headingExpr.FindAllStringSubmatch(text, -1) {
		if strings.ReplaceAll(anchorDrops.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}
