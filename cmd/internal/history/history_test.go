package history_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/history"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
)

var began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func record(trigger string) history.Record {
	return history.Record{
		Run: report.Run{
			Trigger: trigger, Began: began, Ended: began.Add(time.Second), Result: report.Converged,
			Changed: []plan.Subject{{ID: 101}},
		},
		Sheet:    &view.Sheet{Header: "cluster home", Blocks: []view.Block{{Subject: plan.Subject{ID: 101}, Name: "web", Rows: []view.Row{{Label: "cores", Text: "2 → 4"}}}}},
		Account:  &view.Account{Summary: "Applied", Became: []view.Became{{Subject: plan.Subject{ID: 101}, State: reconcile.Changed}}},
		Document: json.RawMessage(`{"kind":"result"}`),
	}
}

func open(t *testing.T, path string, l history.Limits) *history.History {
	t.Helper()
	h, err := history.Open(path, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func add(t *testing.T, h *history.History, r history.Record) uint64 {
	t.Helper()
	id, err := h.Append(r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func triggers(t *testing.T, h *history.History, before uint64, n int) string {
	t.Helper()
	runs, err := h.Runs(before, n)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range runs {
		out = append(out, fmt.Sprintf("%d:%s", r.ID, r.Trigger))
	}
	return strings.Join(out, " ")
}

// eachStore runs a test on both kinds of history.
func eachStore(t *testing.T, l history.Limits, test func(t *testing.T, h *history.History)) {
	t.Run("file", func(t *testing.T) { test(t, open(t, filepath.Join(t.TempDir(), "a", "history.db"), l)) })
	t.Run("memory", func(t *testing.T) { test(t, history.InMemory(l)) })
}

// TestKeeps shows that what was kept comes back, newest first and page by page.
func TestKeeps(t *testing.T) {
	eachStore(t, history.Limits{}, func(t *testing.T, h *history.History) {
		for _, trigger := range []string{"a", "b", "c"} {
			add(t, h, record(trigger))
		}
		for _, tt := range []struct {
			before uint64
			n      int
			want   string
		}{{0, 10, "3:c 2:b 1:a"}, {0, 2, "3:c 2:b"}, {2, 2, "1:a"}, {1, 2, ""}, {99, 1, "3:c"}} {
			if got := triggers(t, h, tt.before, tt.n); got != tt.want {
				t.Errorf("runs before %d, at most %d: %q, want %q", tt.before, tt.n, got, tt.want)
			}
		}
		got, err := h.Run(2)
		want := record("b")
		want.ID = 2
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("run 2: %v\n%s", err, diff)
		}
		if _, err := h.Run(4); !errors.Is(err, history.ErrNotFound) {
			t.Errorf("a run that there is not: %v", err)
		}
	})
}

// TestRowOfTheSame shows that runs which say nothing new stand as one, and that any news ends the row.
func TestRowOfTheSame(t *testing.T) {
	quiet := func(n int) history.Record {
		return history.Record{Run: report.Run{
			Trigger: "interval", Result: report.Quiet, Began: began.Add(time.Duration(n) * time.Minute), Ended: began.Add(time.Duration(n)*time.Minute + time.Second),
		}}
	}
	eachStore(t, history.Limits{}, func(t *testing.T, h *history.History) {
		for n := range 3 {
			if id := add(t, h, quiet(n)); id != 1 {
				t.Errorf("quiet run %d has the id %d", n, id)
			}
		}
		r, err := h.Run(1)
		if err != nil || r.Times != 3 || !r.Since.Equal(began) || r.Took() != time.Second {
			t.Errorf("the row: %d times since %s, the last took %s (%v)", r.Times, r.Since, r.Took(), err)
		}
		other := quiet(4)
		other.Revision.ID = "4f2c91e"
		failed := quiet(5)
		failed.Revision.ID, failed.Result = "4f2c91e", report.Failed
		add(t, h, other)
		add(t, h, failed)
		add(t, h, record("interval"))
		add(t, h, record("interval"))
		if got := triggers(t, h, 0, 9); got != "5:interval 4:interval 3:interval 2:interval 1:interval" {
			t.Errorf("runs: %s", got)
		}
	})
}

// TestBound shows that the oldest runs go, by number and by size, and that a huge one does not take all others along.
func TestBound(t *testing.T) {
	large := record("large")
	large.Document = json.RawMessage(`"` + strings.Repeat("x", 700) + `"`)
	huge := record("huge")
	huge.Document = json.RawMessage(`"` + strings.Repeat("x", 9000) + `"`)
	eachStore(t, history.Limits{Runs: 5, Bytes: 1 << 20}, func(t *testing.T, h *history.History) {
		for range 12 {
			add(t, h, record("x"))
		}
		if got := triggers(t, h, 0, 99); got != "12:x 11:x 10:x 9:x 8:x" {
			t.Errorf("by number: %s", got)
		}
		h.Limit(history.Limits{Runs: 2})
		if add(t, h, record("x")); triggers(t, h, 0, 99) != "13:x 12:x" {
			t.Errorf("by another number: %s", triggers(t, h, 0, 99))
		}
	})
	eachStore(t, history.Limits{Bytes: 8192}, func(t *testing.T, h *history.History) {
		for range 40 {
			add(t, h, large)
		}
		runs, err := h.Runs(0, 99)
		if err != nil || len(runs) < 4 || len(runs) > 11 || runs[0].ID != 40 {
			t.Errorf("by size: %d runs (%v)", len(runs), err)
		}
		id := add(t, h, huge)
		r, err := h.Run(id)
		if err != nil || !r.Cut || r.Document != nil || r.Trigger != "huge" {
			t.Errorf("the huge one: %+v (%v)", r, err)
		}
		if more, _ := h.Runs(0, 99); len(more) < len(runs) {
			t.Errorf("the huge one left %d of %d", len(more), len(runs))
		}
	})
}

// TestFileIsBounded shows that the file itself does not grow with the number of runs.
func TestFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h := open(t, path, history.Limits{Runs: 20})
	r := record("x")
	r.Document = json.RawMessage(`"` + strings.Repeat("x", 10_000) + `"`)
	for range 60 {
		add(t, h, r)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 1<<20 {
		t.Errorf("the file has %d bytes (%v)", info.Size(), err)
	}
}

// TestReopen shows that a history goes on where it ended, and that it may be read beside nobody.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h := open(t, path, history.Limits{})
	add(t, h, record("a"))
	if _, err := history.Read(path); err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("read while it is open: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Append(record("late")); err == nil {
		t.Error("a closed history took a run")
	}
	h = open(t, path, history.Limits{})
	if id := add(t, h, record("b")); id != 2 {
		t.Errorf("the id after a restart is %d", id)
	}
	_ = h.Close()
	read, err := history.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if got := triggers(t, read, 0, 9); got != "2:b 1:a" {
		t.Errorf("read: %s", got)
	}
}

// TestDamage breaks the file in many ways. It is never fatal: it is either read, or moved aside and told of, and a
// new history is begun.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.db")
	h := open(t, path, history.Limits{})
	for range 25 {
		add(t, h, record("x"))
	}
	_ = h.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damage := map[string][]byte{"text": []byte("this is no database"), "zeroes": make([]byte, len(whole))}
	for n := 1; n < len(whole); n += len(whole)/16 + 1 {
		damage[fmt.Sprintf("cut at %d", n)] = whole[:n]
	}
	for at := 0; at < len(whole); at += 4096 {
		broken := bytes.Clone(whole)
		for i := range 64 {
			broken[min(at+i, len(broken)-1)] ^= byte(0xA5 + 7*i)
		}
		damage[fmt.Sprintf("changed at %d", at)] = broken
	}
	aside := 0
	for name, data := range damage {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "history.db")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := history.Open(path, history.Limits{})
			t.Cleanup(func() { _ = h.Close() })
			var told *history.DamagedError
			switch {
			case errors.As(err, &told):
				aside++
				if kept, err := os.ReadFile(told.Aside); err != nil || len(kept) != len(data) {
					t.Errorf("what was moved aside has %d bytes, not %d (%v)", len(kept), len(data), err)
				}
			case err != nil:
				t.Fatalf("neither read nor moved aside: %v", err)
			}
			_, _ = h.Append(record("first")) // may find more damage
			id, err := h.Append(record("after"))
			if err != nil {
				t.Fatalf("the history takes no runs any more: %v", err)
			}
			if r, err := h.Run(id); err != nil || r.Trigger != "after" {
				t.Errorf("what was kept afterwards: %q (%v)", r.Trigger, err)
			}
			_, _ = h.Runs(0, 99)
		})
	}
	if aside < 8 {
		t.Errorf("only %d of %d damaged files were noticed: is anything looked at?", aside, len(damage))
	}
}

// TestNoFile shows that a history for which there is no file is kept in memory, and says so.
func TestNoFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "file", "history.db"), dir} {
		h, err := history.Open(path, history.Limits{})
		if err == nil || !strings.Contains(err.Error(), "kept in memory") {
			t.Errorf("%s: %v", path, err)
		}
		if id, err := h.Append(record("x")); id != 1 || err != nil {
			t.Errorf("%s: the history in memory: %d, %v", path, id, err)
		}
	}
}

// TestText shows what tend history and tend history show print.
func TestText(t *testing.T) {
	h := history.InMemory(history.Limits{})
	r := record("webhook")
	r.Revision, r.Error = report.Revision{ID: "4f2c91e07d3a", Ref: "main"}, "\x1b[31mred"
	add(t, h, r)
	runs, err := h.Runs(0, 9)
	if err != nil {
		t.Fatal(err)
	}
	var list, none, one, doc bytes.Buffer
	kept, err := h.Run(1)
	if err := errors.Join(err, history.List{Runs: runs}.Text(&list, view.Style{}), history.List{}.Text(&none, view.Style{}), kept.Text(&one, view.Style{}), kept.JSON(&doc)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ text, want string }{
		{list.String(), "converged  4f2c91e (main)  webhook\n"},
		{none.String(), "No run is in the history.\n"},
		{one.String(), "took 1s, of 4f2c91e (main), because: webhook\n"},
		{one.String(), "cores  2 → 4"},
		{one.String(), "101"},
		{doc.String(), `"kind": "run"`},
		{doc.String(), `"trigger": "webhook"`},
		{doc.String(), `"summary": "Applied"`},
	} {
		if !strings.Contains(tt.text, tt.want) {
			t.Errorf("no %q in:\n%s", tt.want, tt.text)
		}
	}
	if strings.Contains(one.String(), "\x1b") {
		t.Error("a text from elsewhere commands the terminal")
	}
}
