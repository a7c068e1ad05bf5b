package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
)

var (
	at    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	guest = proxmox.Ref{Node: "pve1", ID: 101}
	task  = proxmox.UPID{
		Node: "pve1", PID: 1, PStart: 2, Start: at, Type: "vzstart", ID: "101", User: "root@pam!tend",
	}
)

func open(t *testing.T, path string) *Journal {
	t.Helper()
	j, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

func begin(t *testing.T, j *Journal, verb string) *Record {
	t.Helper()
	r, err := j.Begin(Entry{Run: "r1", Time: at, Guest: guest, Verb: verb, Kind: Start})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestPending(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "journal")
	j := open(t, path)
	ended := begin(t, j, "start")
	begun := begin(t, j, "set cores")
	running := begin(t, j, "destroy")
	must(t, ended.SetTask(task), ended.End(Done), running.SetTask(task), j.Close())

	again := open(t, path)
	var got []Entry
	for _, r := range again.Pending() {
		got = append(got, r.Entry())
	}
	want := []Entry{begun.Entry(), running.Entry()}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got[1].Task != task {
		t.Errorf("task is %s", got[1].Task)
	}

	// What is looked up is ended, and numbers go on.
	must(t, again.Pending()[0].End(Settled))
	next := begin(t, again, "restart")
	if n := len(again.Pending()); n != 1 {
		t.Errorf("%d are pending, want the one that is not ended", n)
	}
	must(t, again.Close())
	third := open(t, path)
	if n := len(third.Pending()); n != 2 || third.Pending()[1].Entry().Verb != next.Entry().Verb {
		t.Errorf("%d are pending, want destroy and restart", n)
	}
}

func TestSecondWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	_, err := Open(path)
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("error is %v", err)
	}
	host, _ := os.Hostname()
	for _, part := range []string{fmt.Sprintf("process %d on %s", os.Getpid(), host), path, "wait"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	must(t, j.Close())
	open(t, path)
}

func TestClosed(t *testing.T) {
	j := open(t, filepath.Join(t.TempDir(), "journal"))
	r := begin(t, j, "start")
	must(t, j.Close(), j.Close())
	if err := r.End(Done); err == nil {
		t.Error("an end is recorded in a closed journal")
	}
	if _, err := j.Begin(Entry{Guest: guest}); err == nil {
		t.Error("a begin is recorded in a closed journal")
	}
}

func TestNone(t *testing.T) {
	var j *Journal
	r, err := j.Begin(Entry{Verb: "start", Guest: guest})
	must(t, err, r.SetTask(task), r.End(Done), j.Close())
	if len(j.Pending()) != 0 || len(j.Faults()) != 0 || r.Entry().Task != task {
		t.Error("a nil journal records")
	}
}

// TestSize shows that a journal stays small however long it is used, and keeps what is open.
func TestSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path)
	first := begin(t, j, "first")
	long := strings.Repeat("x", 32<<10)
	for range 40 {
		must(t, begin(t, j, long).End(Done))
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Size() > maxSize+64<<10 {
		t.Errorf("%d bytes", info.Size())
	}
	must(t, j.Close())
	j = open(t, path)
	if p := j.Pending(); len(p) != 1 || p[0].Entry().Verb != first.Entry().Verb {
		t.Errorf("pending is %v", p)
	}
}

func TestDamage(t *testing.T) {
	const (
		one   = `{"v":1,"n":1,"do":"begin","time":"2026-03-01T12:00:00Z","node":"pve1","vmid":101,"kind":"start","verb":"start"}` + "\n"
		two   = `{"v":1,"n":2,"do":"begin","time":"2026-03-01T12:00:00Z","node":"pve1","vmid":102,"kind":"start","verb":"start"}` + "\n"
		ended = `{"v":1,"n":1,"do":"end","outcome":"done"}` + "\n"
	)
	tests := []struct {
		name, text string
		pending    int
		faults     []string
	}{
		{"empty", "", 0, nil},
		{"whole", one + two, 2, nil},
		{"last line cut off", one + two[:40], 1, nil},
		{"line end cut off", one + two[:len(two)-1], 2, nil},
		{"zeros after a power loss", one + strings.Repeat("\x00", 512), 1, nil},
		{"last line garbled", one + "{garbled}\n", 1, nil},
		{"a line in the middle", one + "{garbled}\n" + two, 2, []string{"line 2 cannot be read: "}},
		{"an end without a begin", ended + two, 1, nil},
		{"no container", `{"v":1,"n":3,"do":"begin"}` + "\n" + one, 1, []string{"line 1 cannot be read: it names no container"}},
		{"an unknown word", `{"v":1,"n":3,"do":"sing"}` + "\n" + one, 1, []string{`line 1 cannot be read: "sing" is nothing that a line can say`}},
		{"a broken task", `{"v":1,"n":1,"do":"task","upid":"UPID:x"}` + "\n" + one, 1, []string{"line 1 cannot be read: "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "journal")
			must(t, os.WriteFile(path, []byte(tt.text), 0o600))
			j := open(t, path)
			if n := len(j.Pending()); n != tt.pending {
				t.Errorf("%d are pending, want %d", n, tt.pending)
			}
			if len(j.Faults()) != len(tt.faults) {
				t.Fatalf("faults are %v, want %v", j.Faults(), tt.faults)
			}
			for i, want := range tt.faults {
				if got := j.Faults()[i].Error(); !strings.Contains(got, want) {
					t.Errorf("fault is %q, want %q in it", got, want)
				}
				kept, err := os.ReadFile(path + ".damaged")
				if err != nil || string(kept) != tt.text {
					t.Errorf("kept aside is %q, %v", kept, err)
				}
			}
		})
	}
}

func TestOtherVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	must(t, os.WriteFile(path, []byte(`{"v":2,"n":1,"do":"begin"}`+"\n"), 0o600))
	_, err := Open(path)
	if err == nil || !strings.Contains(err.Error(), "format 2, this one knows 1") {
		t.Fatalf("error is %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `"v":2`) {
		t.Errorf("the file is now %q, %v", text, err)
	}
}

// A breakable disk fails the call with a certain number, and all later ones if it stays broken. A write that
// fails leaves a part of its text.
type breakable struct {
	osDisk
	calls, fail int
	stays       bool
}

var errBroken = errors.New("input/output error")

func (b *breakable) step() error {
	b.calls++
	if b.calls == b.fail || b.stays && b.calls > b.fail {
		return errBroken
	}
	return nil
}

func (b *breakable) create(path string) (file, error) {
	if err := b.step(); err != nil {
		return nil, err
	}
	f, err := b.osDisk.create(path)
	return &breakableFile{f, b}, err
}

// rename fails before or after the deed: the caller cannot know.
func (b *breakable) rename(from, to string) error {
	if err := b.step(); err != nil {
		return err
	}
	if err := b.osDisk.rename(from, to); err != nil {
		return err
	}
	return b.step()
}

type breakableFile struct {
	file
	disk *breakable
}

func (f *breakableFile) Write(p []byte) (int, error) {
	if err := f.disk.step(); err != nil {
		n, _ := f.file.Write(p[:len(p)/2])
		return n, err
	}
	return f.file.Write(p)
}

func (f *breakableFile) Sync() error {
	if err := f.disk.step(); err != nil {
		return err
	}
	return nil // what crashes is the process alone, so that the disk need not be waited for
}

// TestBrokenDisk fails each call of the file system in turn, once or for good, then crashes and opens the
// journal anew: what was said to be recorded is, and no line is garbled.
func TestBrokenDisk(t *testing.T) {
	for _, stays := range []bool{false, true} {
		for fail := 1; ; fail++ {
			d := &breakable{fail: fail, stays: stays}
			t.Run(fmt.Sprintf("call %d, stays %v", fail, stays), func(t *testing.T) { crash(t, d) })
			if d.calls < fail {
				break // there are no more calls to fail
			}
		}
	}
}

func crash(t *testing.T, d *breakable) {
	path := filepath.Join(t.TempDir(), "journal")
	j, err := openOn(d, path)
	if errors.Is(err, errBroken) {
		open(t, path) // the lock is free, the file whole
		return
	}
	must(t, err)
	var want []string
	var wantTask, maybe int
	for i := range 12 {
		verb := fmt.Sprintf("%02d %s", i, strings.Repeat("x", 32<<10))
		r, err := j.Begin(Entry{Time: at, Guest: guest, Verb: verb, Kind: Start})
		if err != nil {
			maybe++ // the call is not sent; that the intent stays is harmless
			continue
		}
		told := r.SetTask(task) == nil
		if i%2 == 0 && r.End(Done) == nil {
			continue
		}
		if i%2 == 0 {
			maybe++ // the end may have reached the disk though its sync failed
			continue
		}
		want = append(want, verb[:2])
		if told {
			wantTask++
		}
	}
	_ = j.file.(io.Closer).Close()
	must(t, j.lock.Close())

	again := open(t, path)
	if f := again.Faults(); len(f) > 0 {
		t.Errorf("faults: %v", f)
	}
	got := map[string]bool{}
	tasks := 0
	for _, r := range again.Pending() {
		got[r.Entry().Verb[:2]] = true
		if r.Entry().Task == task {
			tasks++
		}
	}
	for _, verb := range want {
		if !got[verb] {
			t.Errorf("%s is lost", verb)
		}
	}
	if len(got) > len(want)+maybe {
		t.Errorf("%d are pending, want at most %d: %v", len(got), len(want)+maybe, got)
	}
	if tasks < wantTask {
		t.Errorf("%d tasks are known, want %d", tasks, wantTask)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"v":1,"n":1,"do":"begin","node":"pve1","vmid":101}` + "\n" + `{"v":1,"n":1,"do":"end"}` + "\n"))
	f.Add([]byte("{}\n\n\x00"))
	f.Add([]byte(`{"v":9}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		open, _, err := parse(data)
		if err != nil {
			return
		}
		var lines []line
		for n, e := range open {
			lines = append(lines, line{Number: n, Do: doBegin, Entry: e})
		}
		text, err := format(lines)
		if err != nil {
			return // a year that JSON cannot write
		}
		again, faults, err := parse(text)
		if err != nil || len(faults) > 0 {
			t.Fatalf("%s: %v, %v", text, faults, err)
		}
		if d := cmp.Diff(len(open), len(again)); d != "" {
			t.Error(d)
		}
	})
}
