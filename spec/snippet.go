package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// Rows of a snippet.
var (
	SnippetStorage = setting.Key[string]{
		Path: "storage", Type: setting.StorageName(), Required: true, Example: "local",
		Doc: "Storage on which it lies. It must take snippets (content snippets).",
	}
	SnippetFile = setting.Key[string]{
		Path: "file", Required: true, Example: "hooks/before-stop.sh",
		Type: setting.Text("path of a file, relative to the folder of the spec", setting.CheckRelativePath),
		Doc:  "The file in the repository, by its path from the folder of the spec. It has at most 512 KiB.",
	}
	SnippetName = setting.Key[string]{
		Path: "as", Type: setting.Pattern("name of a file (letters, digits, _ - + . @)", proxmox.SnippetNameExpr), Example: "before-stop.sh",
		Doc: "Its name on the storage. Absent: the last part of file.", Label: "name on the storage",
	}
	SnippetNodes = setting.Key[[]string]{
		Path: "nodes", Type: names("name of a node"), Example: "[pve1]",
		Doc: "Nodes that shall have it. Absent: those of the containers that name it.",
	}
)

// SnippetFields is everything that may be written for one snippet.
var SnippetFields = setting.Object{
	Name: "snippet",
	Rows: []setting.Row{SnippetStorage, SnippetFile, SnippetName, SnippetNodes},
}

// Snippets is where they are written.
var Snippets = setting.Key[setting.Members]{
	Path: "snippets", Type: setting.Mapping(setting.Pattern("name of a snippet (letters, digits, . _ -)", aliasExpr), SnippetFields),
	Doc: "Hook scripts, which are put in place as they are in the repository, executable, and never deleted. Containers " +
		"name them: hookScript: before-stop. Only root on the node can put them there.",
	Example: "{before-stop: {storage: local, file: hooks/before-stop.sh}}",
}

// A Snippet is a hook script that nodes shall have.
type Snippet struct {
	Name    string // by which containers refer to it
	Storage string
	File    string // from the folder of the spec
	As      string // its name on the storage, where the spec says one
	Nodes   []string
	Content []byte // of the file
	Place   Place
}

// NewSnippet makes a Snippet from the values of [SnippetFields], without its content.
func NewSnippet(name string, r setting.Record, at Place) *Snippet {
	return &Snippet{
		Name: name, Place: at, Storage: SnippetStorage.Or(r, ""), File: SnippetFile.Or(r, ""), As: SnippetName.Or(r, ""), Nodes: SnippetNodes.Or(r, nil),
	}
}

// Record is the inverse of [NewSnippet].
func (s *Snippet) Record() setting.Record {
	r := setting.Record{}
	for key, text := range map[*setting.Key[string]]string{&SnippetStorage: s.Storage, &SnippetFile: s.File, &SnippetName: s.As} {
		if text != "" {
			key.Set(r, text)
		}
	}
	if len(s.Nodes) > 0 {
		SnippetNodes.Set(r, s.Nodes)
	}
	return r
}

// FileName is its name on the storage.
func (s *Snippet) FileName() string {
	if s.As != "" {
		return s.As
	}
	return path.Base(s.File)
}

// Volume is where it lies: "local:snippets/before-stop.sh".
func (s *Snippet) Volume() string { return s.Storage + ":snippets/" + s.FileName() }

// SHA256 is the checksum of its content, in hex.
func (s *Snippet) SHA256() string {
	sum := sha256.Sum256(s.Content)
	return hex.EncodeToString(sum[:])
}

// Snippet returns the snippet with a name, or nil.
func (s *State) Snippet(name string) *Snippet {
	i := slices.IndexFunc(s.Snippets, func(x *Snippet) bool { return x.Name == name })
	if i < 0 {
		return nil
	}
	return s.Snippets[i]
}

// Script returns the snippet that is a container's hook script, or nil.
func (s *State) Script(c *Container) *Snippet {
	return s.Snippet(setting.HookScript.Or(c.Settings, ""))
}

// snippets checks the snippets, and that the one that a container names is there.
func (v *validation) snippets() {
	taken := map[string]string{}
	var list []string
	for _, s := range v.state.Snippets {
		list = append(list, s.Name)
		at := setting.Path{Snippets.Path, s.Name}
		for _, row := range []setting.Key[string]{SnippetStorage, SnippetFile} {
			if row.Or(s.Record(), "") == "" {
				v.fault(at.Join(row.Path), nil, "is missing: write it, as in %s: %s", row.Path, row.Example)
			}
		}
		for _, node := range s.Nodes {
			if nodes := v.state.Cluster.Nodes; len(nodes) > 0 && !contains(nodes, node) {
				v.fault(at.Join(SnippetNodes.Path), nil, "%q is none of cluster.nodes, which are %s: correct one of them", node, strings.Join(nodes, ", "))
			}
		}
		if s.Storage == "" || s.File == "" {
			continue
		}
		with := below(at, SnippetStorage, SnippetFile, SnippetName)
		if proxmox.CheckSnippet(s.Volume()) != nil {
			v.fault(at.Join(SnippetName.Path), with, "is missing: %q is no name for a snippet; write one of letters, digits, _ - + . @", s.FileName())
		}
		if other, ok := taken[s.Volume()]; ok {
			v.fault(at, append(with, below(setting.Path{Snippets.Path, other}, SnippetStorage, SnippetFile, SnippetName)...),
				"is the file %s on storage %s, as is snippet %s: write as, with another name", s.FileName(), s.Storage, other)
		}
		taken[s.Volume()] = s.Name
	}
	for _, c := range v.state.Containers {
		name := setting.HookScript.Or(c.Settings, "")
		if name == "" || strings.Contains(name, ":") {
			continue
		}
		switch s := v.state.Snippet(name); {
		case s == nil:
			v.fault(pathOf(c, setting.HookScript), nil, "there is no snippet %q%s", name, didYouMean(name, list))
		case len(s.Nodes) > 0 && !contains(s.Nodes, c.Node) && c.Node != "":
			v.fault(pathOf(c, setting.HookScript), []setting.Path{pathOf(c, Node), {Snippets.Path, s.Name, SnippetNodes.Path}},
				"snippet %s is for the nodes %s, and the container is for %s: correct one of them", s.Name, strings.Join(s.Nodes, ", "), c.Node)
		}
	}
}
