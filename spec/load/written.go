package load

import (
	"errors"
	"io/fs"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// Written is a spec as it is written: its files, and its layers before they are merged.
type Written struct {
	State      *spec.State
	Files      map[string][]byte // by name
	Defaults   Layer
	Profiles   map[string]Layer
	Containers map[string]Layer
}

// A Layer is what defaults, a profile or a container say.
type Layer struct {
	Record setting.Record
	Files  []string // in which it stands; only defaults may stand in several
}

// Layers reads the spec of a folder as [Load] does, and returns it as it is written.
func Layers(fsys fs.FS, o Options) (*Written, error) {
	l := newLoader(o)
	out := &Written{Files: map[string][]byte{}, Profiles: map[string]Layer{}, Containers: map[string]Layer{}}
	for _, name := range l.find(fsys) {
		if data, ok := l.read(fsys, name); ok {
			l.add(o.Prefix+name, data)
			out.Files[name] = data
		}
	}
	if len(out.Files) == 0 && len(l.faults) == 0 {
		l.faultAt(l.whole, nil, errors.New("no spec found: there is no *.yaml or *.yml file here"))
	}
	var err error
	if out.State, err = l.finish(); err != nil {
		return nil, err
	}
	written := func(y layer) Layer {
		made := Layer{Record: y.record}
		for _, t := range y.trees {
			made.Files = append(made.Files, t.place.File[len(o.Prefix):])
		}
		return made
	}
	out.Defaults = written(l.built.defaults)
	for name, y := range l.built.profiles {
		out.Profiles[name] = written(y)
	}
	for name, y := range l.built.containers {
		out.Containers[name] = written(y)
	}
	return out, nil
}
