package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// A Source is one Go file, parsed.
type Source struct {
	Path string // from the top of the repository
	file *ast.File
	fset *token.FileSet
}

// Parse reads a Go file from its text.
func Parse(path string, text []byte) (Source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	return Source{path, file, fset}, err
}

// IsTest reports whether the file holds tests.
func (s Source) IsTest() bool { return strings.HasSuffix(s.Path, "_test.go") }

// Clock finds where the file uses the clock: the functions of package time that tell it or wait for it.
// Values of time and arithmetic on them are no use of the clock.
func (s Source) Clock() []string {
	clock := map[string]bool{
		"Now": true, "Since": true, "Until": true, "Sleep": true, "After": true, "AfterFunc": true,
		"Tick": true, "NewTimer": true, "NewTicker": true,
	}
	name := s.importName("time")
	if name == "" {
		return nil
	}
	if name == "." {
		return []string{s.Path + ": a dot import of time, which hides the clock"}
	}
	var uses []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || !clock[sel.Sel.Name] {
			return true
		}
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == name {
			uses = append(uses, fmt.Sprintf("%s:%d: time.%s", s.Path, s.line(sel.Pos()), sel.Sel.Name))
		}
		return true
	})
	return uses
}

// importName is the name under which the file knows a package; empty where it does not import it.
func (s Source) importName(path string) string {
	for _, imp := range s.file.Imports {
		if imp.Path.Value != `"`+path+`"` {
			continue
		}
		if imp.Name != nil {
			return imp.Name.Name
		}
		return path[strings.LastIndex(path, "/")+1:]
	}
	return ""
}

// Lines is the number of lines of the file.
func (s Source) Lines() int { return s.fset.File(s.file.FileStart).LineCount() }

// A Function is how long one is.
type Function struct {
	Name  string // with the type that a method belongs to: "Client.Do"
	Lines int    // from func to the closing brace
}

// Functions are those of the file. Functions within a function count as a part of it.
func (s Source) Functions() []Function {
	var out []Function
	for _, d := range s.file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := fn.Name.Name
		if fn.Recv != nil {
			name = receiver(fn.Recv.List[0].Type) + "." + name
		}
		out = append(out, Function{name, s.line(fn.End()) - s.line(fn.Pos()) + 1})
	}
	return out
}

// Undocumented names what the file exports without a comment. Fields of structs and methods of interfaces
// are left to their authors.
func (s Source) Undocumented() []string {
	var out []string
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type))) {
				out = append(out, s.at(d.Name))
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				out = append(out, s.undocumentedSpec(d, spec)...)
			}
		}
	}
	return out
}

// undocumentedSpec names what one line of a declaration exports without a comment of its own or of the
// group that it stands in.
func (s Source) undocumentedSpec(d *ast.GenDecl, spec ast.Spec) []string {
	var out []string
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && spec.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) && spec.Comment == nil {
			out = append(out, s.at(spec.Name))
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
				out = append(out, s.at(name))
			}
		}
	}
	return out
}

// HasPackageComment reports whether the file says what its package is for.
func (s Source) HasPackageComment() bool { return s.file.Doc != nil }

// at is the place and text of a name.
func (s Source) at(id *ast.Ident) string {
	return fmt.Sprintf("%s:%d: %s", s.Path, s.line(id.Pos()), id.Name)
}

func (s Source) line(p token.Pos) int { return s.fset.Position(p).Line }

// receiver is the name of the type that a method belongs to.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}
