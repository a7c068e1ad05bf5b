package house

import (
	"slices"
	"strings"
)

// CheckDependencies holds the modules that go.mod asks for against the rows of a page that gives the reason for
// each: | module | what it does here | what was passed over |.
func CheckDependencies(modules []string, page string) []string {
	var named, out []string
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 5 || !strings.Contains(cells[1], ".") {
			continue
		}
		name := strings.TrimSpace(cells[1])
		named = append(named, name)
		if strings.TrimSpace(cells[2]) == "" || strings.TrimSpace(cells[3]) == "" {
			out = append(out, name+" has no reason, or nothing was passed over for it")
		}
	}
	for _, m := range modules {
		if !slices.Contains(named, m) {
			out = append(out, m+" stands in go.mod and not in docs/dependencies.md: say what it is for, and what was passed over")
		}
	}
	for _, n := range named {
		if !slices.Contains(modules, n) {
			out = append(out, n+" stands in docs/dependencies.md and is no module that go.mod asks for")
		}
	}
	return out
}
