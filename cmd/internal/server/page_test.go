package server_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/reconcile/plan"
)

// parse takes a page apart.
func parse(t *testing.T, text string) *html.Node {
	t.Helper()
	n, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// find are the elements of a page for which a condition holds, in order.
func find(n *html.Node, is func(*html.Node) bool) (out []*html.Node) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && is(d) {
			out = append(out, d)
		}
	}
	return out
}

func tag(names ...string) func(*html.Node) bool {
	return func(n *html.Node) bool { return slices.Contains(names, n.Data) }
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

// words is the text of an element, with single spaces.
func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestStructure holds every page against what makes it readable for those who do not see it, and harmless.
func TestStructure(t *testing.T) {
	for _, s := range shots() {
		t.Run(s.name, func(t *testing.T) {
			var headers []header
			if s.in {
				headers = append(headers, bearer)
			}
			got := send(handler(t, options(t, s.board()), false, true), "GET", s.path, "", append(headers, person)...)
			page := parse(t, got.Body.String())
			if n := len(find(page, tag("h1"))); n != 1 {
				t.Errorf("%d headings of the first level", n)
			}
			level := 0
			for _, h := range find(page, tag("h1", "h2", "h3", "h4")) {
				if l := int(h.Data[1] - '0'); l > level+1 {
					t.Errorf("%s %q follows a heading of level %d", h.Data, words(h), level)
				} else {
					level = l
				}
			}
			if main := find(page, tag("main")); len(main) != 1 || attr(main[0], "id") != "main" {
				t.Error("not one main part")
			}
			ids := map[string]int{}
			for _, n := range find(page, func(n *html.Node) bool { return has(n, "id") }) {
				ids[attr(n, "id")]++
			}
			for id, n := range ids {
				if n > 1 {
					t.Errorf("the id %s stands there %d times", id, n)
				}
			}
			for _, n := range find(page, func(*html.Node) bool { return true }) {
				checkElement(t, n, ids)
			}
		})
	}
}

// checkElement holds one element against the rules.
func checkElement(t *testing.T, n *html.Node, ids map[string]int) {
	t.Helper()
	for _, a := range n.Attr {
		switch {
		case strings.HasPrefix(a.Key, "on") || a.Key == "style":
			t.Errorf("<%s %s> is forbidden by the policy", n.Data, a.Key)
		case (a.Key == "src" || a.Key == "href" || a.Key == "action") && !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#"):
			t.Errorf("<%s %s=%q> leads elsewhere", n.Data, a.Key, a.Val)
		case a.Key == "aria-labelledby" && ids[a.Val] == 0:
			t.Errorf("<%s> is named by %s, which there is not", n.Data, a.Val)
		}
	}
	switch n.Data {
	case "script", "style":
		if n.FirstChild != nil {
			t.Errorf("<%s> stands in the page", n.Data)
		}
	case "table":
		if len(find(n, tag("caption"))) != 1 {
			t.Error("a table without a caption")
		}
		for _, th := range find(n, tag("th")) {
			if attr(th, "scope") == "" {
				t.Errorf("the heading %q has no scope", words(th))
			}
		}
	case "time":
		if _, err := time.Parse(time.RFC3339, attr(n, "datetime")); err != nil {
			t.Error(err)
		}
	case "form":
		if attr(n, "method") == "post" && len(find(n, tag("button"))) == 0 {
			t.Error("a form without a button")
		}
	case "i":
		if p := n.Parent; strings.Contains(attr(p, "class"), "badge") && words(p) == "" {
			t.Error("a state without a word")
		}
	}
	if has(n, "data-live") && attr(n, "id") == "" {
		t.Errorf("<%s> is kept up to date and has no id", n.Data)
	}
}

// textOf is the text of an element with an id.
func textOf(t *testing.T, r *report.Report, path, id string, headers ...header) string {
	t.Helper()
	got := send(handler(t, options(t, r), false, true), "GET", path, "", append(headers, person)...)
	for _, n := range find(parse(t, got.Body.String()), func(n *html.Node) bool { return attr(n, "id") == id }) {
		return words(n)
	}
	t.Fatalf("%s (%d) has no part %s", path, got.Code, id)
	return ""
}

// TestTells shows that what a person must see is there, in words.
func TestTells(t *testing.T) {
	for _, tt := range []struct {
		name, path, id string
		r              *report.Report
		want           []string
	}{
		{"well", "/", "verdict", well(), []string{"All is well", "12: 12 synced, 12 healthy", "4f2c91e", "Anna Example", "nothing to do"}},
		{"a look that is about to come", "/", "verdict", nextIn(5 * time.Second), []string{"next look soon"}},
		{"a look that has come", "/", "verdict", nextIn(-2 * time.Second), []string{"next look now"}},
		{"a look that is overdue", "/", "verdict", nextIn(-2 * time.Minute), []string{"next look now"}},
		{"a look to come", "/source", "source", nextIn(90 * time.Second), []string{"next in 1 min"}},
		{"trouble first", "/", "verdict", trouble(), []string{"11 things need you", "not followed", "failed"}},
		{"what needs a person", "/", "needs", trouble(), []string{
			"danger The source is not followed: not signed", "sign it with an allowed key", "120 media is degraded", "it shall run",
			"A plan waits for your yes", "tend approve 7be1d0c35a9f4421", "Disk /dev/sda on pve1 is failing", "107 cloud has no snapshot of the last 26h", "108 photos is suspended",
		}},
		{"the list", "/", "containers", trouble(), []string{"103 web", "blocked", "cores 2 → 4", "unknown", "pve2 does not answer", "restart pending: features", "too old", "moving the library"}},
		{"differences", "/containers/103", "differences", trouble(), []string{"cores", "2 → 4", "online", "ben@pam", "mount /srv", "root", "bind mounts are for root@pam"}},
		{"last change", "/containers/103", "change", trouble(), []string{"set cores, memory", "changed", "9a3f00d", "Anna Example <anna@example.com>", "run 41"}},
		{"snapshots", "/containers/107", "snapshots", trouble(), []string{"too old", "26h allowed", "not available for mount /data", "made by hand, kept", "daily"}},
		{"plan", "/plan", "plan", trouble(), []string{"7be1d0c", "130 old-wiki", "destroy", "data is lost", "2 → 4", "destroy is forbidden by lifecycle", "140 test", "promised 1.4 times"}},
		{"source", "/source", "source", trouble(), []string{"not signed, first seen", "commit deadbee", "In force", "4f2c91e07d3a5b6c8e9f00112233445566778899", "ED25519", "Refused", "Mallory", "Only revisions signed"}},
		{"runs", "/runs", "runs", trouble(), []string{"61", "failed", "asked for by root", "118 times, first", "Older runs"}},
		{"older runs", "/runs?before=5", "runs", trouble(), []string{"4 interval 3", "1 interval 0"}},
		{"one run", "/runs/62", "main", trouble(), []string{"Run 62", "failed", "lxc_spawn: failed to set up mount", "not done: start", "130 old-wiki", "Still running"}},
		{"node", "/node", "main", trouble(), []string{"12 pending sectors", "52 °C", "780 rpm", "51234", "Waiting 1, changed", "120: start"}},
		{"no containers", "/", "containers", nothing(), []string{"The spec declares no container yet", "tend import"}},
		{"no plan", "/plan", "plan", nothing(), []string{"There is no plan yet"}},
		{"nothing yet", "/", "verdict", nil, []string{"Starting"}},
		{"nothing like it", "/?find=nowhere", "containers", well(), []string{"No container is like this", "Show all 12"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := textOf(t, tt.r, tt.path, tt.id)
			for _, w := range tt.want {
				if !strings.Contains(text, w) {
					t.Errorf("no %q in: %s", w, text)
				}
			}
		})
	}
}

// nextIn is a homelab in which nothing is to be done, and the next look is a while away.
func nextIn(d time.Duration) *report.Report {
	r := well()
	r.Loop.Next, r.Source.Next = time.Now().Add(d), time.Now().Add(d)
	return r
}

// TestReadOnly shows that whoever may not ask for anything is offered nothing, and told how.
func TestReadOnly(t *testing.T) {
	for _, path := range []string{"/", "/plan", "/containers/103"} {
		for _, in := range []bool{false, true} {
			headers := []header{person}
			if in {
				headers = append(headers, bearer)
			}
			page := parse(t, send(handler(t, options(t, trouble()), false, true), "GET", path, "", headers...).Body.String())
			forms := find(page, func(n *html.Node) bool { return strings.HasPrefix(attr(n, "action"), "/actions/") })
			if len(forms) > 0 != in {
				t.Errorf("%s, logged in %t: %d forms", path, in, len(forms))
			}
			if text := words(page); !in && !strings.Contains(text, "On the host") && !strings.Contains(text, "on the host") {
				t.Errorf("%s does not tell how", path)
			}
		}
	}
}

// TestFilters shows that the list can be narrowed, and that the numbers are right.
func TestFilters(t *testing.T) {
	rows := func(path string) []string {
		page := parse(t, send(handler(t, options(t, many()), false, true), "GET", path, "", person).Body.String())
		var out []string
		for _, n := range find(page, func(n *html.Node) bool {
			return n.Data == "a" && strings.HasPrefix(attr(n, "href"), "/containers/") && strings.Contains(attr(n.Parent, "class"), "c-name")
		}) {
			out = append(out, words(n))
		}
		return out
	}
	for path, want := range map[string]int{"/": 200, "/?show=degraded": 4, "/?show=differs": 8, "/?show=needs": 4, "/?find=customer-04": 10, "/?find=PVE3": 40, "/?find=207": 1, "/?show=degraded&find=pve3": 4, "/?show=nonsense": 200} {
		if got := rows(path); len(got) != want {
			t.Errorf("%s: %d containers, want %d", path, len(got), want)
		}
	}
	if first := rows("/")[:5]; first[0] != "207 customer-007" || first[4] != "203 customer-003" {
		t.Errorf("those that need somebody do not come first: %v", first)
	}
}

// TestHostileTexts shows that texts from elsewhere are shown as texts, whatever is in them.
func TestHostileTexts(t *testing.T) {
	evil := "<script>alert(1)</script>\"'\x1b[31m\u202e"
	r := trouble()
	r.Source.Error, r.Source.InForce.Author, r.Source.InForce.Message, r.Source.InForce.Ref = evil, evil, evil, evil
	r.Agent.Cluster, r.Loop.Doing = evil, evil
	c := r.Container(103)
	c.Name, c.Problems, c.Healthy = evil, []string{evil}, false
	c.Differences = append(c.Differences, report.Difference{Row: view.Row{Mark: "~", Label: evil, Text: evil, More: []string{evil}, Effect: evil}})
	c.Snapshots.List[0].Name = evil
	r.Plan.Sheet.Blocks = append(r.Plan.Sheet.Blocks, view.Block{Subject: plan.Subject{Kind: plan.JobKind, Name: evil}, Name: evil, Reason: evil, Ways: []string{evil}})
	o := options(t, r)
	for _, path := range []string{"/", "/containers/103", "/plan", "/source", "/node", "/?find=" + "%3Cscript%3E", "/metrics"} {
		got := send(handler(t, o, false, true), "GET", path, "", person)
		if got.Code != 200 {
			t.Errorf("%s: %d", path, got.Code)
		}
		if path == "/metrics" {
			continue
		}
		body := got.Body.String()
		if strings.ContainsAny(body, "\x1b\u202e") {
			t.Errorf("%s has control characters", path)
		}
		if n := len(find(parse(t, body), tag("script"))); n != 1 {
			t.Errorf("%s has %d scripts", path, n)
		}
	}
}

// TestEvents shows that a page learns of each report, that streams are bounded, and that they end with the server.
func TestEvents(t *testing.T) {
	o := options(t, well())
	url := start(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	connect := func() *http.Response {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}
	first := connect()
	lines := bufio.NewScanner(first.Body)
	next := func() string {
		for lines.Scan() {
			if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
				return id
			}
		}
		return "the end"
	}
	r, _ := o.Board.Report()
	if got := next(); got != fmt.Sprint(r.Time.UnixMilli()) {
		t.Errorf("the first report: %s", got)
	}
	other := well()
	other.Time = other.Time.Add(time.Hour)
	o.Board.Publish(other)
	if got := next(); got != fmt.Sprint(other.Time.UnixMilli()) {
		t.Errorf("the next report: %s", got)
	}
	refused := 0
	for range 40 {
		if connect().StatusCode == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused != 9 {
		t.Errorf("%d of 41 streams were refused", refused)
	}
}
