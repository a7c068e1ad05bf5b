package house

import (
	"bytes"
	"fmt"
	"regexp"
)

// privatePaths are those of the machines on which tend is made: no clone has them.
var privatePaths = regexp.MustCompile(`\.\./` + `shared\b|(^|[^\w.~-])/` + `work/`)

// CheckWords finds paths in a text that mean nothing to whoever has only the repository. Binary files have
// no words.
func CheckWords(path string, text []byte) []string {
	if bytes.IndexByte(text, 0) >= 0 {
		return nil
	}
	var out []string
	n := 0
	for line := range bytes.Lines(text) {
		n++
		if found := privatePaths.Find(line); found != nil {
			out = append(out, fmt.Sprintf("%s:%d: mentions %s, which is no part of the repository", path, n, bytes.TrimSpace(found)))
		}
	}
	return out
}
