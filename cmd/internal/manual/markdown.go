package main

import "strings"

// exitTitle begins the last part of a help text (exits in cmd/internal/app).
const exitTitle = "Exit codes:"

// markdown turns a help text into Markdown: lines that are indented are kept as they stand, and exit codes become a
// section of their own with an entry each.
func markdown(help string) string {
	text, codes, _ := strings.Cut(help, exitTitle+"\n")
	var out strings.Builder
	inBlock := false
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		indented := strings.HasPrefix(line, "  ")
		switch {
		case strings.TrimSpace(line) == "" || indented == inBlock:
		case indented:
			out.WriteString("\n```\n")
		default:
			out.WriteString("```\n\n")
		}
		inBlock = indented || inBlock && strings.TrimSpace(line) == ""
		out.WriteString(line)
	}
	if inBlock {
		out.WriteString("```\n")
	}
	for i, line := range strings.Split(strings.TrimSpace(codes), "\n") {
		code, meaning, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			continue
		}
		if i == 0 {
			out.WriteString("\n# EXIT STATUS\n")
		}
		out.WriteString("**" + code + "**\n\t" + strings.TrimSpace(meaning) + "\n\n")
	}
	return out.String()
}
