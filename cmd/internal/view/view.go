// Package view shows what a verb found or did: as text for people, as JSON for programs and as Markdown for
// pull requests. It computes nothing, reads nothing and decides nothing.
package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
)

// A Style is how text is laid out. The zero value is plain and 80 columns wide.
type Style struct {
	Width  int  // columns; 0 is 80
	Colour bool // escape sequences of ECMA-48
}

// The bounds of the width: below the first nothing useful fits, above the second no line is read well.
const (
	minWidth     = 40
	maxWidth     = 160
	defaultWidth = 80
)

func (s Style) width() int {
	if s.Width == 0 {
		return defaultWidth
	}
	return min(max(s.Width, minWidth), maxWidth)
}

// A Tone is how a text is set off.
type Tone string

// The tones.
const (
	plain  Tone = ""
	bold   Tone = "bold"
	dim    Tone = "dim"
	red    Tone = "red"
	green  Tone = "green"
	yellow Tone = "yellow"
)

// escape is the parameter of ECMA-48 for a tone.
func (t Tone) escape() string {
	return map[Tone]string{bold: "1", dim: "2", red: "31", green: "32", yellow: "33"}[t]
}

func (s Style) paint(c Tone, text string) string {
	if !s.Colour || c == plain || text == "" {
		return text
	}
	return "\x1b[" + c.escape() + "m" + text + "\x1b[0m"
}

// A printer writes lines and keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err != nil {
		return
	}
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ")
	_, p.err = io.WriteString(p.w, text+"\n")
}

// cells is the number of columns that a text takes on a terminal.
func cells(s string) int {
	c := runewidth.Condition{StrictEmojiNeutral: true}
	return c.StringWidth(s)
}

// pad fills a text up to a number of columns.
func pad(s string, n int) string { return s + strings.Repeat(" ", max(0, n-cells(s))) }

// cut shortens a text to a number of columns.
func cut(s string, n int) string {
	c := runewidth.Condition{StrictEmojiNeutral: true}
	return c.Truncate(s, n, "…")
}

// Clean makes a text that came from elsewhere safe to print: a control character in a description or in a
// task's log must not command the terminal.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return '�'
		}
		return r
	}, s)
}

// wrap breaks a text between words into lines of at most n columns; a word that is longer is broken.
func wrap(s string, n int) []string {
	n = max(n, 8)
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		for {
			switch joined := line + " " + word; {
			case line == "" && cells(word) <= n:
				line, word = word, ""
			case line != "" && cells(joined) <= n:
				line, word = joined, ""
			case line != "":
				lines, line = append(lines, line), ""
			default:
				head := runewidth.Condition{StrictEmojiNeutral: true}
				part := head.Truncate(word, n, "")
				lines, word = append(lines, part), word[len(part):]
			}
			if word == "" {
				break
			}
		}
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}

// count is "1 container", "2 containers".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
