package load

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// snippets reads the files of snippets. Of one with a fault the content stays empty.
func (a *assembly) snippets(list []*spec.Snippet) {
	for _, s := range list {
		at := setting.Path{spec.Snippets.Path, s.Name, spec.SnippetFile.Path}
		if s.File == "" {
			continue
		}
		content, err := a.script(path.Clean(s.File))
		if err != nil {
			a.faultAt(a.placeOf(at), at, err)
		}
		s.Content = content
	}
}

// script reads the file of a snippet, from the folder of the spec.
func (l *loader) script(name string) ([]byte, error) {
	if l.fsys == nil || !fs.ValidPath(name) {
		return nil, errors.New("is no path of a file below the folder of the spec")
	}
	if isSpec(name) {
		return nil, errors.New("is a file of the spec by its name: give the script another one")
	}
	info, err := fs.Stat(l.fsys, name)
	if err == nil && !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file: name a file below the folder of the spec")
	}
	var data []byte
	if err == nil {
		data, err = readLimited(l.fsys, name, proxmox.MaxSnippet+1)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no file %s below the folder of the spec", name)
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read: %w", name, bare(err))
	case len(data) > proxmox.MaxSnippet:
		return nil, fmt.Errorf("%s is larger than %s, which is all that a hook script may have", name, setting.Bytes(proxmox.MaxSnippet))
	case len(data) == 0:
		return nil, fmt.Errorf("%s is empty: a hook script begins with #! and its interpreter", name)
	}
	return data, nil
}
