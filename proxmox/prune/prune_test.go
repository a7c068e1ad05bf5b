package prune_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/felhom/tend/proxmox/prune"
)

func read(t testing.TB, name string, to any) {
	t.Helper()
	data, err := os.ReadFile("../../testdata/vectors/" + name)
	if err == nil {
		err = json.Unmarshal(data, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// keepOf reads the options of a vector, which are numbers or their texts.
func keepOf(t testing.TB, options map[string]json.RawMessage) prune.Keep {
	t.Helper()
	var k prune.Keep
	for name, raw := range options {
		text := string(raw)
		if unquoted, err := strconv.Unquote(text); err == nil {
			text = unquoted
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(prune.Rules(), func(r prune.Rule) bool { return r.String() == name })
		switch {
		case name == "keep-all":
			k.All = n != 0
		case i < 0:
			t.Fatalf("option %s", name)
		default:
			k.Set(prune.Rules()[i], n)
		}
	}
	return k
}

func entries(times, protected []int64) []prune.Entry {
	var out []prune.Entry
	for _, at := range times {
		out = append(out, prune.Entry{Time: time.Unix(at, 0), Protected: slices.Contains(protected, at)})
	}
	return out
}

func TestVectors(t *testing.T) {
	var vectors []struct {
		Keep      map[string]json.RawMessage
		TZ        string
		Times     []int64
		Protected []int64
		Expect    map[string]string
	}
	read(t, "prune.json", &vectors)
	count := 0
	for i, v := range vectors {
		for j, m := range prune.Select(entries(v.Times, v.Protected), keepOf(t, v.Keep), zone(t, v.TZ)) {
			if want := v.Expect[strconv.FormatInt(v.Times[j], 10)]; m.Fate.String() != want {
				t.Errorf("%d: %v in %s: %d is %s, want %s", i, v.Keep, v.TZ, v.Times[j], m.Fate, want)
			}
			count++
		}
	}
	if len(vectors) == 0 || count < 1000 {
		t.Errorf("only %d vectors with %d entries", len(vectors), count)
	}
	t.Logf("%d vectors with %d entries agree", len(vectors), count)
}

// TestRollingVectors prunes after each new entry, as a schedule does.
func TestRollingVectors(t *testing.T) {
	var runs []struct {
		TZ                 string
		Keep               map[string]json.RawMessage
		Start, Step, Count int64
		Skipped            []int64
		ProtectAll         []int64 `json:"protect_all"`
		Checkpoints        []struct {
			After     int64
			Survivors []int64
			Protected []int64
		}
	}
	read(t, "prune-rolling.json", &runs)
	steps, checked := 0, 0
	for i, run := range runs {
		have, keep, loc := []int64{}, keepOf(t, run.Keep), zone(t, run.TZ)
		next := 0
		for j := range run.Count {
			at := run.Start + j*run.Step
			if slices.Contains(run.Skipped, j) {
				continue
			}
			have = append(have, at)
			var left []int64
			for k, m := range prune.Select(entries(have, run.ProtectAll), keep, loc) {
				if m.Fate != prune.Removed {
					left = append(left, have[k])
				}
			}
			have = left
			steps++
			for ; next < len(run.Checkpoints) && run.Checkpoints[next].After == at; next++ {
				if want := slices.Sorted(slices.Values(run.Checkpoints[next].Survivors)); !slices.Equal(have, want) {
					t.Errorf("run %d after %d:\n got %d\nwant %d", i, at, have, want)
				}
				checked++
			}
		}
		if next != len(run.Checkpoints) {
			t.Errorf("run %d: %d of %d checkpoints were reached", i, next, len(run.Checkpoints))
		}
	}
	if len(runs) == 0 || checked == 0 {
		t.Error("nothing was checked")
	}
	t.Logf("%d runs of %d steps agree at %d checkpoints", len(runs), steps, checked)
}

// TestReasons holds marks against what a person would say.
func TestReasons(t *testing.T) {
	var in []prune.Entry
	at := func(day, hour int) {
		in = append(in, prune.Entry{Time: time.Date(2026, 11, day, hour, 0, 0, 0, time.UTC)})
	}
	at(22, 12)             // 0 Sunday
	at(22, 6)              // 1 second of the two latest
	at(22, 3)              // 2 its day is 0's
	at(21, 12)             // 3 first of keep-daily
	at(21, 6)              // 4 its day is 3's
	at(20, 6)              // 5 second of keep-daily
	at(17, 6)              // 6 its week is 0's
	at(14, 6)              // 7 keep-weekly
	at(13, 6)              // 8 its week is 7's
	at(7, 6)               // 9 keep-weekly had its one
	in = append(in, in[9]) // 10
	in[10].Protected = true
	keep := prune.Keep{Last: 2, Daily: 2, Weekly: 1}
	want := []prune.Mark{
		{prune.Kept, prune.Last, 1, -1},
		{prune.Kept, prune.Last, 2, -1},
		{prune.Removed, prune.Daily, 0, 1},
		{prune.Kept, prune.Daily, 1, -1},
		{prune.Removed, prune.Daily, 0, 3},
		{prune.Kept, prune.Daily, 2, -1},
		{prune.Removed, prune.Weekly, 0, 5},
		{prune.Kept, prune.Weekly, 1, -1},
		{prune.Removed, prune.Weekly, 0, 7},
		{prune.Removed, prune.Weekly, 0, -1},
		{prune.Protected, prune.None, 0, -1},
	}
	for i, got := range prune.Select(in, keep, nil) {
		if got != want[i] {
			t.Errorf("%d: got %+v, want %+v", i, got, want[i])
		}
	}
}

func TestWords(t *testing.T) {
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	for r, want := range map[prune.Rule][2]string{
		prune.None: {"", ""}, prune.Last: {"keep-last", "2027-01-02 03:04:05"}, prune.Hourly: {"keep-hourly", "2027-01-02 03h"},
		prune.Daily: {"keep-daily", "2027-01-02"}, prune.Weekly: {"keep-weekly", "2026-W53"},
		prune.Monthly: {"keep-monthly", "2027-01"}, prune.Yearly: {"keep-yearly", "2027"}, 9: {"Rule(9)", ""},
	} {
		if got := [2]string{r.String(), r.Period(at)}; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, tt := range []struct {
		keep    prune.Keep
		text    string
		most    int
		limited bool
	}{
		{prune.Keep{}, "keep-all=1", 0, false},
		{prune.Keep{All: true, Last: 3}, "keep-all=1", 0, false},
		{prune.Keep{Last: 2, Daily: 7, Yearly: -1}, "keep-last=2,keep-daily=7", 9, true},
		{prune.Keep{Hourly: 1, Weekly: 2, Monthly: 3, Yearly: 4}, "keep-hourly=1,keep-weekly=2,keep-monthly=3,keep-yearly=4", 10, true},
	} {
		if tt.keep.String() != tt.text || tt.keep.Most() != tt.most || tt.keep.Limited() != tt.limited {
			t.Errorf("%+v: %s, %d, %t", tt.keep, tt.keep, tt.keep.Most(), tt.keep.Limited())
		}
	}
	var k prune.Keep
	if k.Set(prune.None, 3); k != (prune.Keep{}) || k.Count(prune.None) != 0 {
		t.Errorf("no rule has a count: %+v", k)
	}
}

// TestProperties checks what holds for all entries: the newest is kept, no more than the counts, and marks that agree
// with one another.
func TestProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	zones := []*time.Location{nil, zone(t, "Europe/Vienna"), zone(t, "Pacific/Apia"), zone(t, "Australia/Lord_Howe"), zone(t, "Antarctica/Troll")}
	for range 20000 {
		keep := prune.Keep{Last: rng.IntN(3), Hourly: rng.IntN(4), Daily: rng.IntN(4), Weekly: rng.IntN(3), Monthly: rng.IntN(3), Yearly: rng.IntN(2)}
		loc := zones[rng.IntN(len(zones))]
		in := make([]prune.Entry, rng.IntN(30))
		span := []int64{3600, 1e5, 1e7, 1e8}[rng.IntN(4)]
		for i := range in {
			in[i] = prune.Entry{Time: time.Unix(1.7e9+rng.Int64N(span), rng.Int64N(1e9)), Protected: rng.IntN(9) == 0}
		}
		kept := 0
		newest := time.Time{}
		marks := prune.Select(in, keep, loc)
		for i, m := range marks {
			switch {
			case (m.Fate == prune.Protected) != in[i].Protected:
				t.Fatalf("%+v: %+v", in[i], m)
			case m.Fate == prune.Kept:
				kept++
				if keep.Limited() && (m.N < 1 || m.N > keep.Count(m.Rule)) {
					t.Fatalf("%+v keeps %+v", keep, m)
				}
			case m.Fate == prune.Removed && (keep.Count(m.Rule) == 0 || m.By >= 0 && marks[m.By].Fate != prune.Kept):
				t.Fatalf("%+v removes %+v", keep, m)
			}
			if !in[i].Protected && in[i].Time.After(newest) {
				newest = in[i].Time
			}
		}
		for i, m := range marks {
			if !in[i].Protected && in[i].Time.Unix() == newest.Unix() && m.Fate == prune.Kept {
				newest = time.Time{}
			}
		}
		if !newest.IsZero() {
			t.Fatalf("%+v does not keep the newest of %v", keep, in)
		}
		if most := keep.Most(); most > 0 && kept > most {
			t.Fatalf("%+v keeps %d", keep, kept)
		}
	}
}

func BenchmarkSelect(b *testing.B) {
	keep, loc := prune.Keep{Last: 3, Hourly: 24, Daily: 7, Weekly: 4, Monthly: 12}, zone(b, "Europe/Vienna")
	for _, n := range []int{10, 50, 1000} {
		in := make([]prune.Entry, n)
		for i := range in {
			in[i].Time = time.Unix(1.7e9+int64(i)*3600, 0)
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				prune.Select(in, keep, loc)
			}
		})
	}
}
