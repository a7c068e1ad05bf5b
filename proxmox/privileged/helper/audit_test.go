package helper_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/helper"
)

// TestSecrets carries out and refuses requests that hold secrets, whose errors repeat them; the log and its neighbours
// hold none.
func TestSecrets(t *testing.T) {
	create := privileged.Create{Node: "pve1", Params: proxmox.CreateParams{
		ID: 101, Template: "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst", Password: proxmox.NewSecret("geheim-1"),
		Values: proxmox.Values{"features": "keyctl=1", "description": "geheim-1"},
	}}
	bad := create
	bad.Params.Values = proxmox.Values{"cores": "2"}
	raw := privileged.SetRaw{Ref: ref, Digest: digest, Lines: []proxmox.RawLine{{Key: "lxc.init.cmd", Value: "X=geheim-2"}, {Key: "lxc.tty.max", Value: "geheim-3"}}}
	badRaw := raw
	badRaw.Lines = []proxmox.RawLine{{Key: "lxc.environment", Value: "geheim-4\nrootfs: x"}}
	exec := privileged.Exec{Ref: ref, Argv: []string{"mysqldump", "--password=geheim-5"}, Timeout: time.Minute}
	all := []privileged.Request{create, bad, raw, badRaw, exec}
	repeat := map[privileged.Row]string{
		privileged.RowSettings: "no: geheim-1", privileged.RowRawLines: "no: geheim-2 X=geheim-2 geheim-3", privileged.RowGuestCommands: "no: --password=geheim-5",
	}
	d := &doer{do: func(_ context.Context, r privileged.Request) (privileged.Result, error) {
		return privileged.Result{Output: []byte("geheim-6")}, errors.New(repeat[r.Row()])
	}}
	seen := func(audit string) {
		t.Helper()
		files, err := filepath.Glob(audit + "*")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if text, err := os.ReadFile(f); err != nil || strings.Contains(string(text), "geheim") {
				t.Errorf("%s: %v\n%s", f, err, text)
			}
			if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", f, info.Mode(), err)
			}
		}
	}
	socket, audit := serve(t, d, nil)
	inner := d.do
	d.do = func(ctx context.Context, r privileged.Request) (privileged.Result, error) {
		seen(audit)
		return inner(ctx, r)
	}
	for _, r := range all {
		if _, err := (&helper.Client{Path: socket}).Do(t.Context(), r); err == nil {
			t.Errorf("%v: no error", r)
		}
	}
	seen(audit)
	log := lines(t, audit)
	if len(log) != len(all) {
		t.Errorf("%d lines for %d requests", len(log), len(all))
	}
	for i, want := range []helper.Outcome{helper.Failed, helper.Refused, helper.Failed, helper.Refused, helper.Failed} {
		if log[i].Outcome != want || log[i].What != all[i].String() {
			t.Errorf("%v: written: %+v", all[i], log[i])
		}
	}
}

// TestLost writes down, when it is opened again, what was under way when the helper died.
func TestLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	var text []byte
	s := run(t, &doer{do: func(context.Context, privileged.Request) (privileged.Result, error) {
		var err error
		text, err = os.ReadFile(path + ".running")
		return privileged.Result{}, err
	}}, func(o *helper.Options) { o.Audit = openLog(t, path, helper.LogOptions{}) })
	c := s.talk()
	c.write(message(1, unlock(101), nil))
	if r := c.reply(); r.Failure != nil {
		t.Fatal(r.Failure)
	}
	c.write(message(2, unlock(102), nil))
	c.reply()
	if len(lines(t, path)) != 2 {
		t.Fatal("two requests, and not two lines")
	}
	other := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(other+".running", text, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l, err := helper.OpenLog(other, helper.LogOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		log := lines(t, other)
		if len(log) != 1 || log[0].Outcome != helper.Lost || log[0].Guest != 102 || log[0].ID == "" {
			t.Errorf("written: %+v", log)
		}
	}
	// it died after the line was written and before the other file was
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	third := filepath.Join(t.TempDir(), "audit.log")
	for name, data := range map[string][]byte{third: whole, third + ".running": text} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openLog(t, third, helper.LogOptions{})
	if log := lines(t, third); len(log) != 2 {
		t.Errorf("it is written twice: %+v", log)
	}
}

// TestRotate puts full files aside, keeps so many, and loses no line between them.
func TestRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	s := run(t, &doer{}, func(o *helper.Options) { o.Audit = openLog(t, path, helper.LogOptions{Size: 1000, Keep: 2}) })
	c := s.talk()
	for seq := range uint64(20) {
		c.write(message(seq+1, unlock(101), nil))
		c.reply()
	}
	var ids []string
	for _, f := range []string{path + ".2", path + ".1", path} {
		if info, err := os.Stat(f); err != nil || info.Size() > 1000 {
			t.Fatalf("%s: %v", f, err)
		}
		for _, r := range lines(t, f) {
			ids = append(ids, strings.TrimLeft(r.ID, "0"))
		}
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("more are kept than two")
	}
	all := "1 2 3 4 5 6 7 8 9 a b c d e f 10 11 12 13 14"
	if len(ids) < 5 || !strings.HasSuffix(all, strings.Join(ids, " ")) {
		t.Errorf("the files hold %v", ids)
	}
}

// TestUnrecorded does nothing that it cannot write down, and writes down later what it could not.
func TestUnrecorded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	block := func(on bool) { // a directory stands where the file is to be put
		t.Helper()
		if on {
			if err := errors.Join(os.Rename(path, path+".away"), os.Mkdir(path+".running.tmp", 0o700)); err != nil {
				t.Fatal(err)
			}
			return
		}
		if err := errors.Join(os.Rename(path+".away", path), os.Remove(path+".running.tmp")); err != nil {
			t.Fatal(err)
		}
	}
	s := run(t, &doer{}, func(o *helper.Options) { o.Audit = openLog(t, path, helper.LogOptions{}) })
	c := s.talk()
	block(true)
	c.write(message(1, unlock(101), nil))
	if r := c.reply(); r.Refusal == nil || r.Refusal.Code != helper.Unrecorded || s.doer.count() != 0 {
		t.Errorf("%d were done: %+v", s.doer.count(), r)
	}
	block(false)
	c.write(message(2, unlock(101), nil))
	if r := c.reply(); r.Result == nil {
		t.Errorf("afterwards: %+v", r)
	}
	if log := lines(t, path); len(log) != 2 || log[0].Code != helper.Unrecorded || log[1].Outcome != helper.Done {
		t.Errorf("written: %+v", log)
	}
}

func TestOpenLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	openLog(t, path, helper.LogOptions{})
	if _, err := helper.OpenLog(path, helper.LogOptions{}); err == nil || !strings.Contains(err.Error(), "another tend helper") {
		t.Errorf("a second one: %v", err)
	}
	if _, err := helper.OpenLog(filepath.Join(dir, "none", "audit.log"), helper.LogOptions{}); err == nil {
		t.Error("without its directory")
	}
	link := filepath.Join(dir, "link.log")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	if _, err := helper.OpenLog(link, helper.LogOptions{}); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a symbolic link: %v", err)
	}
	open := filepath.Join(dir, "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := helper.OpenLog(filepath.Join(open, "audit.log"), helper.LogOptions{}); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("in a directory of everyone: %v", err)
	}
	wide := filepath.Join(dir, "wide.log")
	if err := os.WriteFile(wide, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	openLog(t, wide, helper.LogOptions{})
	if info, err := os.Stat(wide); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
