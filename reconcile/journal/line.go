package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/felhom/tend/proxmox"
)

// version is that of the lines that are written.
const version = 1

// What a line says.
const (
	doBegin = "begin"
	doTask  = "task"
	doEnd   = "end"
)

// A line is one line of a journal.
type line struct {
	Number  uint64
	Do      string
	Entry   Entry
	Outcome Outcome
}

// wireLine is a line as it is written.
type wireLine struct {
	Version int          `json:"v"`
	Number  uint64       `json:"n"`
	Do      string       `json:"do"`
	Run     string       `json:"run,omitempty"`
	Time    time.Time    `json:"time,omitzero"`
	Node    string       `json:"node,omitempty"`
	VMID    proxmox.VMID `json:"vmid,omitempty"`
	About   string       `json:"about,omitempty"`
	Kind    Kind         `json:"kind,omitempty"`
	Verb    string       `json:"verb,omitempty"`
	Task    proxmox.UPID `json:"upid,omitzero"`
	Outcome Outcome      `json:"outcome,omitempty"`
}

func format(lines []line) ([]byte, error) {
	var b bytes.Buffer
	for _, l := range lines {
		e := l.Entry
		text, err := json.Marshal(wireLine{
			Version: version, Number: l.Number, Do: l.Do, Run: e.Run, Time: e.Time, Node: e.Guest.Node,
			VMID: e.Guest.ID, About: e.About, Kind: e.Kind, Verb: e.Verb, Task: e.Task, Outcome: l.Outcome,
		})
		if err != nil {
			return nil, err
		}
		b.Write(text)
		b.WriteByte('\n')
	}
	return b.Bytes(), nil
}

// parse returns the entries that are open, by their number, and what is wrong with other lines than the last.
// The last one may have been cut off; it is left out silently unless it can be read.
func parse(data []byte) (open map[uint64]Entry, faults []error, err error) {
	open = map[uint64]Entry{}
	lines := bytes.Split(data, []byte("\n"))
	for len(lines) > 0 && len(bytes.Trim(lines[len(lines)-1], "\x00")) == 0 {
		lines = lines[:len(lines)-1]
	}
	for i, text := range lines {
		l, err := parseLine(text)
		if v, ok := errors.AsType[versionError](err); ok {
			return nil, nil, v
		}
		switch {
		case err == nil:
			replay(open, l)
		case i < len(lines)-1:
			faults = append(faults, fmt.Errorf("line %d cannot be read: %w", i+1, err))
		}
	}
	return open, faults, nil
}

func replay(open map[uint64]Entry, l line) {
	e, known := open[l.Number]
	switch l.Do {
	case doBegin:
		open[l.Number] = l.Entry
	case doTask:
		if known {
			e.Task = l.Entry.Task
			open[l.Number] = e
		}
	case doEnd:
		delete(open, l.Number)
	}
}

// A versionError is a line of another version: all of the file may mean something else.
type versionError int

func (v versionError) Error() string {
	return fmt.Sprintf("it was written by another version of tend (format %d, this one knows %d): use that one, or remove the file once no task runs", int(v), version)
}

func parseLine(text []byte) (line, error) {
	var w wireLine
	if err := json.Unmarshal(text, &w); err != nil {
		return line{}, err
	}
	switch {
	case w.Version != version && w.Version != 0:
		return line{}, versionError(w.Version)
	case w.Version == 0 || w.Number == 0:
		return line{}, errors.New("it has no version or no number")
	case w.Do != doBegin && w.Do != doTask && w.Do != doEnd:
		return line{}, fmt.Errorf("%q is nothing that a line can say", w.Do)
	case w.Do == doBegin && w.About == "" && (w.Node == "" || w.VMID == 0):
		return line{}, errors.New("it names no container")
	}
	return line{
		Number: w.Number, Do: w.Do, Outcome: w.Outcome,
		Entry: Entry{
			Run: w.Run, Time: w.Time, Guest: proxmox.Ref{Node: w.Node, ID: w.VMID}, About: w.About, Kind: w.Kind, Verb: w.Verb, Task: w.Task,
		},
	}, nil
}
