package server_test

import (
	"flag"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/server"
)

var pictures = flag.String("pictures", "", "write pictures of the pages into this folder")

// A shot is a page in one state.
type shot struct {
	name, path string
	board      func() *report.Report
	in         bool // whoever looks is logged in
}

func shots() []shot {
	return []shot{
		{"starting", "/", func() *report.Report { return nil }, false}, // first: nothing is published yet
		{"overview", "/", well, false},
		{"trouble", "/", trouble, false},
		{"container", "/containers/103", trouble, false},
		{"allowed", "/containers/108", trouble, true},
		{"approve", "/plan", trouble, true},
		{"degraded", "/containers/107", trouble, false},
		{"plan", "/plan", trouble, false},
		{"runs", "/runs", trouble, false},
		{"run", "/runs/62", trouble, false},
		{"source", "/source", trouble, false},
		{"node", "/node", trouble, false},
		{"many", "/", many, false},
		{"empty", "/", nothing, false},
		{"login", "/login", well, false},
		{"no-such-page", "/containers/999", well, false},
	}
}

// TestInBrowser loads every page in Chromium, on a phone and on a desk, in the light and in the dark: there is no
// error in the console, nothing is wider than the window, and axe-core finds nothing.
func TestInBrowser(t *testing.T) {
	if testing.Short() || raceDetector {
		t.Skip("a browser takes a while, and shows no more with the race detector, which the other tests run with")
	}
	b := startBrowser(t)
	axe := axe(t)
	o := options(t, nil)
	url := start(t, o)
	for i, s := range shots() {
		if r := s.board(); r != nil {
			o.Board.Publish(r)
		}
		for n, l := range []look{{390, false}, {1280, true}, {390, true}, {1280, false}} {
			if *pictures == "" && n != i%2 {
				continue // every second page on a phone in the light, the others on a desk in the dark
			}
			b.visitAs(t, s, l, url, axe)
		}
	}
	b.checkLive(t, o, url)
}

// checkLive shows that a page follows the agent without being loaded anew: what changed is exchanged, those who only
// listen are told, and whoever went somewhere with the keyboard, typed or unfolded something stays there.
func (b *browser) checkLive(t *testing.T, o server.Options, url string) {
	t.Helper()
	o.Board.Publish(well())
	b.do(t, "Network.setExtraHTTPHeaders", params{"headers": params{}})
	b.visit(t, url+"/")
	_ = b.complaints() // of the pages before
	b.until(t, "document.querySelector('#live span').textContent === 'live'")
	b.run(t, `window.same = true; document.querySelector('#containers a[href="/containers/120"]').focus();
		document.querySelector('input[name=find]').value = 'half a na'; true`, nil)
	o.Board.Publish(trouble())
	b.until(t, "document.querySelector('#verdict-text').textContent === '11 things need you'")
	b.until(t, "document.querySelector('#said').textContent === '11 things need you'")
	b.until(t, "document.title.startsWith('11 things need you')")
	b.until(t, `window.same && document.activeElement.getAttribute('href') === '/containers/120' && document.querySelector('input[name=find]').value === 'half a na'`)
	b.run(t, "document.querySelector('details.notes').open = true; true", nil)
	o.Board.Publish(well())
	b.until(t, "document.querySelector('#verdict-text').textContent === 'All is well'")
	o.Board.Publish(trouble())
	b.until(t, "window.same && document.querySelector('#needs li')")
	o.Board.Publish(nextIn(-2 * time.Second)) // and not "just now", which it is to be
	b.until(t, "document.querySelector('#verdict time[data-due]').textContent === 'now'")
	for _, c := range b.complaints() {
		t.Errorf("a page that is kept up to date complains: %s", c)
	}
}

// A look is how wide a page is, and whether it is dark.
type look struct {
	width int
	dark  bool
}

func (b *browser) visitAs(t *testing.T, s shot, l look, url, axe string) {
	t.Helper()
	name := fmt.Sprintf("%s-%d-%s", s.name, l.width, map[bool]string{false: "light", true: "dark"}[l.dark])
	headers := params{}
	if s.in {
		headers["Authorization"] = "Bearer " + token
	}
	b.do(t, "Network.setExtraHTTPHeaders", params{"headers": headers})
	b.look(t, l.width, l.dark)
	b.visit(t, url+s.path)
	var wide int
	b.run(t, "document.documentElement.scrollWidth", &wide)
	if wide > l.width {
		t.Errorf("%s is %d pixels wide", name, wide)
	}
	if axe != "" {
		b.checkAccess(t, name, axe)
	}
	for _, c := range b.complaints() {
		if s.name != "no-such-page" || !strings.Contains(c, "404") {
			t.Errorf("%s complains: %s", name, c)
		}
	}
	if *pictures != "" {
		b.shoot(t, filepath.Join(*pictures, name+".png"), l.width, 1500)
	}
}

// checkAccess asks axe-core what people would stumble over who cannot see the page, or not well.
func (b *browser) checkAccess(t *testing.T, name, axe string) {
	t.Helper()
	b.run(t, axe+"; true", nil)
	var found []struct {
		ID, Impact, Help string
		Nodes            []struct {
			HTML           string
			FailureSummary string
		}
	}
	b.run(t, "axe.run({resultTypes: ['violations']}).then((r) => r.violations.map((v) => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map((n) => ({html: n.html, failureSummary: n.failureSummary}))})))", &found)
	for _, v := range found {
		t.Errorf("%s: %s (%s): %s, %d times\n\t%s\n\t%s", name, v.ID, v.Impact, v.Help, len(v.Nodes), v.Nodes[0].HTML, v.Nodes[0].FailureSummary)
	}
}
