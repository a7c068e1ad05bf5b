package notify

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
)

// The templates where a channel has none of its own.
const (
	defaultTitle = `{{.Title}}`
	defaultText  = `{{range .Events}}{{.Line}}
{{with .Do}}  {{.}}
{{end}}{{end}}{{with .Dropped}}{{.}} earlier messages could not be sent.
{{end}}Now: {{.Verdict}}.{{with .Page}}
{{.}}{{end}}`
)

// A layout makes a message into a title and a text.
type layout struct{ title, text *template.Template }

// newLayout reads templates, of which those are empty that a channel does not have, and tries them on a message: one
// that cannot work is found when the settings are read and not when something has happened.
func newLayout(title, text string) (layout, error) {
	var l layout
	var err error
	if l.title, err = parse("title", cmp.Or(title, defaultTitle)); err != nil {
		return l, err
	}
	if l.text, err = parse("template", cmp.Or(text, defaultText)); err != nil {
		return l, err
	}
	title, text, err = l.render(sample())
	if err == nil && (title == "" || text == "") {
		err = errors.New("title or template: gives an empty text")
	}
	return l, err
}

func parse(name, text string) (*template.Template, error) {
	t, err := template.New(name).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

// render gives the title, in one line, and the text.
func (l layout) render(m Message) (title, text string, err error) {
	var b bytes.Buffer
	if err = l.title.Execute(&b, m); err == nil {
		title = brief(b.String())
		b.Reset()
		err = l.text.Execute(&b, m)
	}
	if err != nil {
		return "", "", fmt.Errorf("fill in the template: %w", err)
	}
	return title, strings.TrimSpace(b.String()), nil
}

// sample is a message with something in every field.
func sample() Message {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return Message{
		Version: Version, Kind: "notification", ID: "1", Cluster: "home", Host: "pve1", Time: at, Level: report.Danger,
		Verdict: "1 thing needs you", Page: "https://tend.example.com", Dropped: 1,
		Events: []Event{{Begun, report.KindDegraded, report.Danger, "101 web is degraded", "not running", "start it", 101, at}},
	}
}
