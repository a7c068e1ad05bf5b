package house

import "fmt"

// The limits of the house. At the limit, the missing noun is to be found, not the limit to be raised.
const (
	MaxFunction = 80  // lines of a function
	MaxFile     = 500 // lines of a file
)

// CheckSizes finds functions and files over the limits. Tests are left out; so is what exempt names, by
// path for a file or path:Function for a function, each with its reason: tables and type switches are long
// because what they list is long. An exemption that nothing needs is a violation, too.
func CheckSizes(sources []Source, exempt map[string]string) []string {
	var out []string
	used := make(map[string]bool)
	over := func(key string, lines, limit int) {
		if lines <= limit {
			return
		}
		if exempt[key] == "" {
			out = append(out, fmt.Sprintf("%s has %d lines, over %d", key, lines, limit))
		}
		used[key] = true
	}
	for _, s := range sources {
		if s.IsTest() {
			continue
		}
		over(s.Path, s.Lines(), MaxFile)
		for _, f := range s.Functions() {
			over(s.Path+":"+f.Name, f.Lines, MaxFunction)
		}
	}
	for key := range exempt {
		if !used[key] {
			out = append(out, key+" is exempt from the limits and keeps them: drop it from the list")
		}
	}
	return out
}
