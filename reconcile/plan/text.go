package plan

import "strings"

func join(parts []string) string { return strings.Join(parts, ", ") }

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }
