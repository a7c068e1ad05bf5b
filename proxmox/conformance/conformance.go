// Package conformance replays exchanges that were recorded with a real Proxmox VE node against any endpoint and
// tells how many of the answers match. It is the contract that all transports share, and the measure of the
// simulator.
//
// It compares exactly as the recorder's own replayer does (shared/conformance/conformance.py): what varies by
// nature, such as times, process ids, digests and generated MAC addresses, by type alone, all else by value. It
// decides nothing and belongs in tests.
package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"path"
	"strings"
)

// A Scenario is a sequence of exchanges from a known state.
type Scenario struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Steps []Step `json:"steps"`
}

// A Step is one request and what a real node answered.
type Step struct {
	Name   string            `json:"name"`
	Method string            `json:"method"`
	Path   string            `json:"path"` // {VAR} stands for a saved value
	Form   map[string]Values `json:"form"`
	Auth   string            `json:"auth"`     // name of a credential; "root-token" where empty
	Wait   bool              `json:"wait"`     // wait for the task of the answer
	Save   map[string]string `json:"save"`     // values of the answer for later steps, by variable: "data.digest"
	Aside  bool              `json:"optional"` // only prepares or cleans up: the answer is not compared

	Response Answer `json:"response"`
	Task     *Task  `json:"task"`
}

// Label is "running#12 PUT /nodes/{node}/lxc/812/config".
func (s Scenario) Label(step int) string {
	st := s.Steps[step]
	label := fmt.Sprintf("%s#%d %s %s", s.Name, step+1, st.Method, st.Path)
	if st.Name != "" {
		label += " (" + st.Name + ")"
	}
	return label
}

// Values are those of one parameter; JSON has a text, or a list of texts.
type Values []string

// UnmarshalJSON takes a text or a list of texts.
func (v *Values) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]string)(v))
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*v = Values{s}
	return nil
}

// An Answer is what an endpoint answers.
type Answer struct {
	Status int    `json:"status"`
	Reason string `json:"reason"` // the reason phrase of the status line
	Body   any    `json:"body"`   // JSON with numbers as json.Number; nil for an empty body
}

// UnmarshalJSON keeps numbers as they are written, since Proxmox's whole numbers and fractions differ.
func (a *Answer) UnmarshalJSON(b []byte) error {
	type plain Answer
	return unmarshal(b, (*plain)(a))
}

// A Task is the end of a task that a step waits for.
type Task struct {
	Status     string `json:"status"`
	ExitStatus string `json:"exitstatus"`
	Type       string `json:"type"`
	ID         string `json:"id"`
	User       string `json:"user"`
}

// ParseBody reads the body of an answer as the recorder does: what is no JSON becomes {"<text>": …}.
func ParseBody(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	var v any
	if unmarshal(b, &v) != nil {
		return map[string]any{"<text>": strings.ToValidUTF8(string(b), "\ufffd")}
	}
	return v
}

func unmarshal(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("more than one value")
	}
	return nil
}

// Load reads all scenarios of a directory, in the order of their file names.
func Load(fsys fs.FS, dir string) ([]Scenario, error) {
	files, err := fs.Glob(fsys, path.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no scenarios in %s", dir)
	}
	out := make([]Scenario, len(files))
	for i, file := range files {
		b, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(b, &out[i]); err != nil {
			return nil, fmt.Errorf("read scenario %s: %w", file, err)
		}
	}
	return out, nil
}

// A Call is one request to an endpoint.
type Call struct {
	Method string
	Path   string // below /api2/json, percent-encoded
	Form   url.Values
	Auth   string // name of a credential, "none" for none
}

// An Endpoint carries calls to whatever is to be measured. An error is a connection that broke.
type Endpoint interface {
	Do(ctx context.Context, c Call) (Answer, error)
}
