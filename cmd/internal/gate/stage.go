package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// common writes what is the same on every architecture: manual pages, completion, units and documentation.
func (p packing) common(stage string) error {
	err := p.goRun(nil, "run", "./cmd/internal/manual", "-version", p.version, "-date", strconv.FormatInt(p.date.Unix(), 10), stage)
	if err != nil {
		return err
	}
	pages, err := filepath.Glob(filepath.Join(stage, "man", "*"))
	for _, page := range pages {
		err = errors.Join(err, compress(page))
	}
	doc := filepath.Join(stage, "doc")
	for _, c := range []struct{ from, to string }{
		{"packaging/systemd", filepath.Join(stage, "units")},
		{"packaging/sysusers.d", filepath.Join(stage, "sysusers.d")},
		{"packaging/deb/copyright", filepath.Join(doc, "copyright")},
		{"packaging/examples", filepath.Join(doc, "examples/config")},
		{"packaging/ci", filepath.Join(doc, "ci")},
		{"packaging/grafana", filepath.Join(doc, "grafana")},
		{"packaging/prometheus", filepath.Join(doc, "prometheus")},
		{"README.md", filepath.Join(doc, "README.md")},
		{"CHANGELOG.md", filepath.Join(doc, "CHANGELOG.md")},
		{"docs", filepath.Join(doc, "docs")},
		{"examples", filepath.Join(doc, "examples")},
	} {
		err = errors.Join(err, copyAll(c.from, c.to))
	}
	licenses, lerr := p.licenses()
	log := fmt.Sprintf("tend (%s) unstable; urgency=medium\n\n  * What is new stands in CHANGELOG.md.\n\n -- %s  %s\n",
		p.deb, maintainer, p.date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	for name, text := range map[string]string{"third-party-licenses": licenses, "changelog": log} {
		file := filepath.Join(doc, name)
		err = errors.Join(err, os.WriteFile(file, []byte(text), 0o644), compress(file))
	}
	return errors.Join(err, lerr, p.settle(stage))
}

// settle gives all files and folders the modes and the one time that they have in the package, whoever makes it.
func (p packing) settle(stage string) error {
	return filepath.WalkDir(stage, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if e.IsDir() || strings.HasSuffix(path, ".sh") {
			mode = 0o755
		}
		return errors.Join(os.Chmod(path, mode), os.Chtimes(path, p.date, p.date))
	})
}

// compress puts file.gz in the place of a file, the same bytes each time.
func compress(file string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(file+".gz", out.Bytes(), 0o644), os.Remove(file))
}

// copyAll copies a file or a folder; pictures and code stay behind.
func copyAll(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || slices.Contains([]string{".png", ".go"}, filepath.Ext(path)) {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		return errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.WriteFile(target, raw, 0o644))
	})
}

// legal are the names of files that say under which terms a module may be passed on.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// licenses are the modules that are linked into the binary and Go itself, each with its terms.
func (p packing) licenses() (string, error) {
	const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{"\t"}}{{.Dir}}{{end}}{{end}}`
	list := exec.Command("go", "list", "-deps", "-f", format, "./cmd/tend")
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	raw, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("list the modules of tend: %w", err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	modules := slices.Sorted(slices.Values(strings.Split(strings.TrimSpace(string(raw)), "\n")))
	modules = append([]string{"Go and its standard library\t" + strings.TrimSpace(string(root))}, slices.Compact(modules)...)
	var out strings.Builder
	for _, m := range modules {
		name, dir, _ := strings.Cut(m, "\t")
		texts, err := terms(dir)
		if err != nil {
			return "", fmt.Errorf("read the license of %s: %w", name, err)
		}
		fmt.Fprintf(&out, "==== %s\n\n%s\n", name, texts)
	}
	return out.String(), nil
}

// terms are the legal texts of a module; there must be one.
func terms(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, e := range entries {
		if e.IsDir() || !legal.MatchString(e.Name()) {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s\n", bytes.TrimSpace(raw))
	}
	if out.Len() == 0 {
		return "", errors.New("it has no file with its terms")
	}
	return out.String(), nil
}
