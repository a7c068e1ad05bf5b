package pct

import (
	"errors"
	"fmt"
	"strings"
)

// A line is the words of one command.
type line struct {
	number int // where it begins, from 1
	words  []string
}

// A splitter splits a text into words by the rules of a POSIX shell, as far as they need no shell to run.
type splitter struct {
	text   string
	pos    int
	line   int
	out    []line
	word   strings.Builder
	inWord bool
}

// errShell is the error of what only a shell could tell.
var errShell = errors.New("needs a shell to be understood: write the value itself")

// split returns the commands of a text: they end at the end of a line, or at ; or &&.
func split(text string) ([]line, error) {
	s := &splitter{text: strings.ReplaceAll(text, "\r\n", "\n"), line: 1}
	s.out = append(s.out, line{number: 1})
	for s.pos < len(s.text) {
		if err := s.step(); err != nil {
			return nil, fmt.Errorf("line %d: %w", s.line, err)
		}
	}
	s.endCommand()
	var out []line
	for _, l := range s.out {
		if len(l.words) > 0 {
			out = append(out, l)
		}
	}
	return out, nil
}

func (s *splitter) step() error {
	c := s.text[s.pos]
	s.pos++
	switch {
	case c == '\n':
		s.endCommand()
		s.line++
		s.out[len(s.out)-1].number = s.line
	case c == ' ' || c == '\t' || c == '\r':
		s.endWord()
	case c == '#' && !s.inWord:
		for s.pos < len(s.text) && s.text[s.pos] != '\n' {
			s.pos++
		}
	case c == ';':
		s.endCommand()
	case c == '&' && strings.HasPrefix(s.text[s.pos:], "&"):
		s.pos++
		s.endCommand()
	case c == '\'':
		return s.single()
	case c == '"':
		return s.double()
	case c == '\\':
		s.escape()
	case strings.IndexByte("$`|&<>()*?", c) >= 0:
		return fmt.Errorf("%q %w", string(c), errShell)
	default:
		s.add(c)
	}
	return nil
}

func (s *splitter) add(c byte) {
	s.word.WriteByte(c)
	s.inWord = true
}

func (s *splitter) endWord() {
	if s.inWord {
		last := &s.out[len(s.out)-1]
		last.words = append(last.words, s.word.String())
	}
	s.word.Reset()
	s.inWord = false
}

func (s *splitter) endCommand() {
	s.endWord()
	s.out = append(s.out, line{number: s.line})
}

// escape reads what follows a backslash; a line end is taken away with it.
func (s *splitter) escape() {
	switch {
	case s.pos == len(s.text):
	case s.text[s.pos] == '\n':
		s.line++
		s.pos++
	default:
		s.add(s.text[s.pos])
		s.pos++
	}
}

func (s *splitter) single() error {
	end := strings.IndexByte(s.text[s.pos:], '\'')
	if end < 0 {
		return errors.New("a single quote is not closed")
	}
	text := s.text[s.pos : s.pos+end]
	s.pos += end + 1
	s.line += strings.Count(text, "\n")
	s.word.WriteString(text)
	s.inWord = true
	return nil
}

func (s *splitter) double() error {
	s.inWord = true
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		s.pos++
		switch {
		case c == '"':
			return nil
		case c == '$' || c == '`':
			return fmt.Errorf("%q %w", string(c), errShell)
		case c == '\\' && s.pos < len(s.text) && strings.IndexByte("\\\"$`\n", s.text[s.pos]) >= 0:
			s.escape()
		default:
			if c == '\n' {
				s.line++
			}
			s.add(c)
		}
	}
	return errors.New("a double quote is not closed")
}
