package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A listed package is what go list says of one, and of the program that its tests are linked into.
type listed struct {
	ImportPath, Dir           string
	GoFiles, CgoFiles         []string
	TestGoFiles, XTestGoFiles []string
	Deps                      []string
}

// atOnce are the packages in whose tests something may run at once, in the order of the patterns, and alone the others that
// have tests, in which the race detector has nothing to find.
//
// Doubt is for the detector: a package is among them if its tests are linked with the network (as the simulator and all
// clients are) or with synctest, or if one of its files, tests included, knows of a context or of a lock, has a go
// statement, or calls what starts goroutines for others. What others start, from here down, wants a context.
func atOnce(patterns []string, stderr io.Writer) (found, alone []string, err error) {
	cmd := exec.Command("go", append([]string{"list", "-test", "-json=ImportPath,Dir,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Deps"}, patterns...)...)
	cmd.Stderr = stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("list packages: %w", err)
	}
	var pkgs []listed
	linked := make(map[string][]string)
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			return nil, nil, fmt.Errorf("read the output of go list: %w", err)
		}
		if of, ok := strings.CutSuffix(p.ImportPath, ".test"); ok {
			linked[of] = p.Deps
		} else if !strings.Contains(p.ImportPath, " ") { // not as it is compiled for a test
			pkgs = append(pkgs, p)
		}
	}
	for _, p := range pkgs {
		deps := linked[p.ImportPath]
		if deps == nil {
			continue // it has no tests
		}
		starts := slices.Contains(deps, "net") || slices.Contains(deps, "testing/synctest")
		for _, file := range slices.Concat(p.GoFiles, p.CgoFiles, p.TestGoFiles, p.XTestGoFiles) {
			starts = starts || startsSomething(filepath.Join(p.Dir, file), nil)
		}
		if starts {
			found = append(found, p.ImportPath)
		} else {
			alone = append(alone, p.ImportPath)
		}
	}
	return found, alone, nil
}

// startsSomething reports whether a file may start a goroutine. One that cannot be read may do anything. src is its text,
// or nil to read it.
func startsSomething(file string, src any) bool {
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
	if err != nil {
		return true
	}
	for _, i := range f.Imports {
		if slices.Contains([]string{`"context"`, `"sync"`, `"sync/atomic"`, `"C"`}, i.Path.Value) {
			return true
		}
	}
	var found bool
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt, *ast.ChanType:
			found = true
		case *ast.SelectorExpr:
			found = found || slices.Contains([]string{"Go", "AfterFunc", "Parallel", "RunParallel", "StdoutPipe", "StdinPipe"}, n.Sel.Name)
		}
		return !found
	})
	return found
}
