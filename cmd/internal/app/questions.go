package app

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Questions are asked at a terminal, one line each.
type questions struct {
	in  *bufio.Reader
	out io.Writer
	err error // the first that went wrong
}

func newQuestions(s *Streams) *questions { return &questions{in: bufio.NewReader(s.In), out: s.Err} }

// ask prints a question and returns the line that comes back. The end of the input is no answer.
func (q *questions) ask(text string) string {
	if q.err != nil {
		return ""
	}
	if _, q.err = fmt.Fprint(q.out, text); q.err != nil {
		return ""
	}
	line, err := q.in.ReadString('\n')
	q.err = err
	return strings.TrimSpace(line)
}

// fill asks for what is still empty; nothing for an answer takes the usual one.
func (q *questions) fill(to *string, text, usual string) {
	if *to != "" {
		return
	}
	if usual != "" {
		text += " [" + usual + "]"
	}
	*to = q.ask(text + " ")
	if *to == "" {
		*to = usual
	}
}

// yes is true for y and yes alone.
func (q *questions) yes(text string) (bool, error) {
	answer := strings.ToLower(q.ask(text))
	return answer == "y" || answer == "yes", q.err
}
