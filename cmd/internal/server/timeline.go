package server

import (
	"fmt"
	"math"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
)

// A timeline shows copies by their age, the newest on the right, on a logarithmic scale: what is kept gets sparser
// the older it is, and so does the scale.
type timeline struct {
	Marks []mark
	Ticks []mark
	Limit string // where the limit of the age is; empty: there is none on the scale
	Text  string // the same in words
}

// A mark stands somewhere on the scale.
type mark struct {
	At   string // of the width, in percent
	Text string
	Own  bool
}

// The scale's least extent, and how much of the width it takes.
const (
	leastSpan  = 24 * time.Hour
	leftMargin = 3.0
	scaleWidth = 94.0
)

func timelineOf(c *report.Copies) timeline { return timelineAt(c, time.Now()) }

func timelineAt(c *report.Copies, now time.Time) timeline {
	span := leastSpan
	for _, x := range c.List {
		span = max(span, now.Sub(x.Time))
	}
	at := func(age time.Duration) string {
		share := math.Log1p(max(0, age.Hours())) / math.Log1p(span.Hours())
		return fmt.Sprintf("%.2f%%", leftMargin+scaleWidth*(1-share))
	}
	var t timeline
	for _, x := range c.List {
		t.Marks = append(t.Marks, mark{at(now.Sub(x.Time)), x.Name, x.Own})
	}
	for _, tick := range []struct {
		age  time.Duration
		text string
	}{{0, "now"}, {time.Hour, "1 h"}, {6 * time.Hour, "6 h"}, {24 * time.Hour, "1 d"}, {7 * 24 * time.Hour, "1 w"}, {30 * 24 * time.Hour, "1 mo"}, {182 * 24 * time.Hour, "6 mo"}} {
		if tick.age <= span {
			t.Ticks = append(t.Ticks, mark{At: at(tick.age), Text: tick.text})
		}
	}
	if limit := time.Duration(c.MaxAge); limit > 0 && limit <= span {
		t.Limit = at(limit)
	}
	t.Text = "none"
	if n := len(c.List); n > 0 {
		t.Text = fmt.Sprintf("%d, the newest %s, the oldest %s", n, ago(c.List[n-1].Time, now), ago(c.List[0].Time, now))
	}
	return t
}

// ageData is the age of the last copy held against its limit.
type ageData struct {
	Text  string // "9 h ago, 26h allowed"
	Class string
	Word  string // "in time", "too old", "none", "no limit"
}

func ageOf(c *report.Copies, now time.Time) ageData {
	switch {
	case c == nil || c.Last.IsZero() && c.MaxAge == 0:
		return ageData{Class: "off", Word: "none"}
	case c.Last.IsZero():
		return ageData{Class: "warn", Word: "none", Text: c.MaxAge.String() + " allowed"}
	case c.MaxAge == 0:
		return ageData{Class: "off", Word: "no limit", Text: ago(c.Last, now)}
	case c.TooOld(now):
		return ageData{Class: "warn", Word: "too old", Text: fmt.Sprintf("%s, %s allowed", ago(c.Last, now), c.MaxAge)}
	}
	return ageData{Class: "ok", Word: "in time", Text: fmt.Sprintf("%s, %s allowed", ago(c.Last, now), c.MaxAge)}
}
