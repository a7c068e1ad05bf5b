package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maintainer stands in the package, where Debian wants a name and an address.
const maintainer = "felhom <felhom@users.noreply.github.com>"

// A packing is one making of all that is given to people: for each architecture the binary, its Debian package and the
// list of what is in it, and the checksums of all.
type packing struct {
	version string    // as git describes it
	deb     string    // the same, for dpkg
	date    time.Time // of the commit; the one time that files have
	out     string
	sbom    bool
	quick   bool // take what tests have compiled, for tests of the package itself: not static, and with paths of this machine
	stderr  io.Writer
}

// runPackage makes dist/. The same commit makes the same bytes: there is no other time than that of the commit, no
// path of this machine, and whether it is a checkout or a copy is not asked.
func runPackage(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("gate package", flag.ContinueOnError)
	flags.SetOutput(stderr)
	version := flags.String("version", "dev", "what git describe says")
	date := flags.Int64("date", 0, "time of the commit, in `seconds` since 1970")
	out := flags.String("out", "dist", "`folder` that is made anew")
	archs := flags.String("arch", "amd64,arm64", "architectures, as Go names them")
	sbom := flags.Bool("sbom", true, "also write what each binary is made of, for CycloneDX")
	quick := flags.Bool("quick", false, "for tests of the package: take what is compiled already, and is not static")
	if err := flags.Parse(args); err != nil {
		return err
	}
	when := time.Unix(*date, 0).UTC()
	p := packing{version: *version, deb: debVersion(*version, when), date: when, out: *out, sbom: *sbom, quick: *quick, stderr: stderr}
	if err := errors.Join(os.RemoveAll(p.out), os.MkdirAll(p.out, 0o755)); err != nil {
		return err
	}
	stage, err := os.MkdirTemp("", "tend-package-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	if err := p.common(stage); err != nil {
		return err
	}
	for _, arch := range strings.Split(*archs, ",") {
		if err := p.pack(stage, arch); err != nil {
			return fmt.Errorf("package for %s: %w", arch, err)
		}
	}
	sums, err := checksums(p.out)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s", sums)
	return os.WriteFile(filepath.Join(p.out, "SHA256SUMS"), sums, 0o644)
}

// pack makes what there is of one architecture.
func (p packing) pack(stage, arch string) error {
	binary := filepath.Join(stage, "tend")
	env, args := []string{"GOOS=linux", "GOARCH=" + arch}, []string{"build"}
	if !p.quick {
		env, args = append(env, "CGO_ENABLED=0"), append(args, "-trimpath")
	}
	err := p.goRun(env, append(args, "-buildvcs=false", "-ldflags", "-s -w -X github.com/felhom/tend/cmd/internal/app.version="+p.version,
		"-o", binary, "./cmd/tend")...)
	if err != nil {
		return err
	}
	name := filepath.Join(p.out, "tend_"+p.deb+"_linux_"+arch)
	raw, err := os.ReadFile(binary)
	if err == nil {
		err = errors.Join(os.WriteFile(name, raw, 0o755), os.Chmod(binary, 0o755), os.Chtimes(binary, p.date, p.date))
	}
	if err != nil {
		return err
	}
	env = []string{
		"STAGE=" + stage, "ARCH=" + arch, "VERSION=" + p.deb, "MAINTAINER=" + maintainer,
		"SOURCE_DATE_EPOCH=" + strconv.FormatInt(p.date.Unix(), 10),
	}
	target := filepath.Join(p.out, "tend_"+p.deb+"_"+arch+".deb")
	if err := p.tool(env, "nfpm", "package", "--config", "packaging/nfpm.yaml", "--packager", "deb", "--target", target); err != nil {
		return err
	}
	if !p.sbom {
		return nil
	}
	// It tells its own checksum, which must not depend on where it was compiled.
	return p.tool([]string{"GOFLAGS=-trimpath -buildvcs=false"}, "cyclonedx-gomod", "bin", "-json", "-std", "-noserial", "-notimestamp", "-version", p.version,
		"-output", name+".cdx.json", name)
}

// tool runs a program of packaging/tools, a module of its own.
func (p packing) tool(env []string, args ...string) error {
	return p.goRun(env, append([]string{"tool", "-modfile=packaging/tools/go.mod"}, args...)...)
}

// goRun runs the go command and shows what it says only where it fails.
func (p packing) goRun(env []string, args ...string) error {
	var said bytes.Buffer
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		_, _ = p.stderr.Write(said.Bytes())
		return fmt.Errorf("go %s: %w", strings.Join(args[:min(3, len(args))], " "), err)
	}
	return nil
}

// checksums is what sha256sum -c reads, of all files of a folder, by name.
func checksums(dir string) ([]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	var out bytes.Buffer
	for _, e := range entries {
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(raw), e.Name())
	}
	return out.Bytes(), nil
}
