package main

import (
	"regexp"
	"strings"
	"time"
)

// described takes what git describe --tags --always --dirty prints apart: a tag, how many commits came after it, and
// which one this is. A changed work tree is told by the end -dirty.
var described = regexp.MustCompile(`^v?(\d[\w.]*)(?:-([a-z][\w.]*))?(?:-(\d+)-(g[0-9a-f]+))?$`)

// debVersion is the version of a Debian package: one that is before the next tag and after the last, as dpkg sorts
// them. Where there is no tag, it is before all, by the time of the commit.
func debVersion(describe string, commit time.Time) string {
	clean, dirty := strings.CutSuffix(describe, "-dirty")
	m := described.FindStringSubmatch(clean)
	if m == nil || !strings.Contains(m[1], ".") {
		return "0~" + commit.UTC().Format("20060102.150405") + "." + notWord.ReplaceAllString(describe, ".")
	}
	out := m[1]
	if m[2] != "" {
		out += "~" + m[2]
	}
	if m[3] != "" {
		out += "+" + m[3] + "." + m[4]
	}
	if dirty {
		out += "+dirty"
	}
	return out
}

var notWord = regexp.MustCompile(`[^0-9A-Za-z.]+`)
