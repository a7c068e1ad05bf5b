package view

import (
	"fmt"
	"io"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/doctor"
	"github.com/felhom/tend/proxmox/health"
)

// A Report is what doctor found: the settings, with their sources, and the findings.
type Report struct {
	Target   string // the cluster that was examined; empty where there was none
	Config   *config.Config
	Findings []doctor.Finding
	Nodes    []*health.Node // their disks and sensors; the findings tell of them, too
}

// Origins writes which settings were found where, and which source won. Secrets are not shown.
func Origins(w io.Writer, s Style, c *config.Config) error {
	out := &printer{w: w}
	out.line("%s", s.paint(bold, "Settings"))
	file := c.File
	if file == "" {
		file = "none"
	}
	out.line("  %-12s  %s", "file", Clean(file))
	for _, o := range c.Origins {
		if len(o.Found) == 0 {
			continue
		}
		for i, v := range o.Found {
			name, note := string(o.Setting.Name), ""
			if i > 0 {
				name, note = "", " (not used: the one above is stronger)"
			}
			for n, l := range wrap(fmt.Sprintf("%s from %s%s", Clean(v.Text), v.Source, note), s.width()-16) {
				if n > 0 {
					name = ""
				}
				out.line("  %-12s  %s", name, l)
			}
		}
	}
	return out.err
}

// Text writes the findings for people.
func (r Report) Text(w io.Writer, s Style) error {
	if r.Config != nil {
		if err := Origins(w, s, r.Config); err != nil {
			return err
		}
	}
	out := &printer{w: w}
	if r.Target != "" {
		out.line("")
		out.line("%s", s.paint(bold, "Examined: "+Clean(r.Target)))
	}
	area := 0
	for _, f := range r.Findings {
		area = max(area, min(cells(f.Area), maxLabel))
	}
	for _, f := range r.Findings {
		r.finding(out, s, f, area)
	}
	return out.err
}

func (r Report) finding(out *printer, s Style, f doctor.Finding, area int) {
	c := map[doctor.Level]Tone{doctor.OK: green, doctor.Warning: yellow, doctor.Blocking: red, doctor.Failed: red}[f.Level]
	at := 2 + len("warning") + 2 + area + 2
	lines := wrap(Clean(f.Text), s.width()-at)
	out.line("  %s  %s  %s", s.paint(c, pad(f.Level.String(), len("warning"))), pad(cut(Clean(f.Area), area), area), lines[0])
	l := layout{Style: s}
	l.below(out, lines[1:], at, plain)
	if f.Hint != "" {
		l.hanging(out, way(f.Hint), at)
	}
}

type reportJSON struct {
	Version  int              `json:"version"`
	Kind     string           `json:"kind"`
	Target   string           `json:"target,omitempty"`
	Settings []settingJSON    `json:"settings"`
	Findings []doctor.Finding `json:"findings"`
	Nodes    []*health.Node   `json:"nodes"`
}

type settingJSON struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
	Used   bool   `json:"used"`
}

// JSON writes the report for programs.
func (r Report) JSON(w io.Writer) error {
	doc := reportJSON{JSONVersion, "doctor", r.Target, []settingJSON{}, r.Findings, r.Nodes}
	for _, o := range r.Config.Origins {
		for i, v := range o.Found {
			doc.Settings = append(doc.Settings, settingJSON{string(o.Setting.Name), v.Text, v.Source, i == 0})
		}
	}
	if doc.Nodes == nil {
		doc.Nodes = []*health.Node{}
	}
	if doc.Findings == nil {
		doc.Findings = []doctor.Finding{}
	}
	return writeJSON(w, doc)
}
