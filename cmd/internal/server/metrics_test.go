package server_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.yaml.in/yaml/v3"
)

// scrape is what Prometheus gets.
func scrape(t *testing.T) string {
	t.Helper()
	got := send(handler(t, options(t, trouble()), false, true), "GET", "/metrics", "")
	if got.Code != 200 {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	return got.Body.String()
}

// TestMetrics shows what the metrics of a report say.
func TestMetrics(t *testing.T) {
	text := scrape(t)
	for _, want := range []string{
		`tend_build_info{goversion="go`, `tend_last_reconcile_success 0`, `tend_reconciles_total{result="nothing to do"} 17000`,
		`tend_reconciles_total{result="not reachable"} 0`, `tend_reconcile_duration_seconds_sum 9120`, `tend_reconcile_duration_seconds_count 17013`,
		`tend_container_drift{id="103",name="web"} 3`, `tend_container_sync{id="103",name="web",state="blocked"} 1`,
		`tend_container_health{id="120",name="media",state="degraded"} 1`, `tend_container_health{id="122",name="paperless",state="unknown"} 1`,
		`tend_container_pending_restart{id="105",name="mail"} 1`, `tend_container_snapshot_age_seconds{id="107",name="cloud"} 2592`,
		`tend_container_snapshot_age_limit_seconds{id="107",name="cloud"} 93600`, `tend_api_requests_total{code="200",method="PUT"} 14`,
		`tend_queue_depth 1`, `tend_queue_backoff 1`, `tend_journal_open_entries 1`, `tend_source_ok 0`, `tend_approvals_waiting 1`, `tend_suspensions 1`,
		`tend_channel_failing{channel="notifications to phone"} 1`,
		`tend_container_backup_drill_success{id="104",name="git"} 1`, `tend_container_backup_drill_success{id="121",name="home-assistant"} 0`,
		`tend_container_backup_drill_age_seconds{id="104",name="git"} 1296`,
		`tend_disk_healthy{device="/dev/sda",model="WDC WD80EFPX",node="pve1"} 0`, `tend_attention{level="danger"} 4`, `go_goroutines `, `process_resident_memory_bytes `,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if got := send(handler(t, options(t, nil), false, true), "GET", "/metrics", ""); got.Code != 200 || strings.Contains(got.Body.String(), "tend_") {
		t.Errorf("before the first report: %d", got.Code)
	}
}

var (
	sample     = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{([^}]*)\})? `)
	labelName  = regexp.MustCompile(`([a-z_]+)=`)
	metricName = regexp.MustCompile(`\b(?:tend|process|go)_[a-z_]+\b`)
	matchers   = regexp.MustCompile(`\b((?:tend|process|go)_[a-z_]+)\{([^}]*)\}`)
	grouped    = regexp.MustCompile(`\b(?:by|on|ignoring|without)\s*\(([^)]*)\)`)
	legend     = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}`)
)

// known are the metrics that there are, with their labels.
func known(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, m := range sample.FindAllStringSubmatch(scrape(t), -1) {
		labels := out[m[1]]
		for _, l := range labelName.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) {
				labels = append(labels, l[1])
			}
		}
		out[m[1]] = labels
	}
	return out
}

// checkQuery holds a query, and what is said of its result, against the metrics that there are.
func checkQuery(t *testing.T, where, query string, texts ...string) {
	t.Helper()
	all := known(t)
	used := metricName.FindAllString(query, -1)
	if len(used) == 0 && !strings.Contains(query, "up{") && !strings.Contains(query, "absent(up") {
		t.Errorf("%s asks for no metric: %s", where, query)
	}
	labels := []string{"instance", "job", "level"}
	for _, m := range used {
		got, ok := all[m]
		if !ok && m != "tend_source_failing_since_timestamp_seconds" {
			t.Errorf("%s: there is no metric %s", where, m)
		}
		labels = append(labels, got...)
	}
	var asked []string
	for _, m := range matchers.FindAllStringSubmatch(query, -1) {
		for _, l := range regexp.MustCompile(`([a-z_]+)\s*(?:=~|!=|!~|=)`).FindAllStringSubmatch(m[2], -1) {
			asked = append(asked, l[1])
		}
	}
	for _, g := range grouped.FindAllStringSubmatch(query, -1) {
		for l := range strings.SplitSeq(g[1], ",") {
			if l = strings.TrimSpace(l); l != "" {
				asked = append(asked, l)
			}
		}
	}
	for _, text := range texts {
		for _, l := range legend.FindAllStringSubmatch(text, -1) {
			asked = append(asked, l[1])
		}
	}
	for _, l := range asked {
		if !slices.Contains(labels, l) {
			t.Errorf("%s: %s have no label %s", where, used, l)
		}
	}
}

// TestAlerts holds the alert rules that are shipped against the metrics.
func TestAlerts(t *testing.T) {
	data, err := os.ReadFile("../../../packaging/prometheus/tend.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	d := yaml.NewDecoder(strings.NewReader(string(data)))
	d.KnownFields(true)
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range doc.Groups {
		for _, r := range g.Rules {
			n++
			if r.Alert == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" || !slices.Contains([]string{"critical", "warning"}, r.Labels["severity"]) {
				t.Errorf("%s: %+v is not complete", g.Name, r)
			}
			checkQuery(t, r.Alert, r.Expr, r.Annotations["summary"], r.Annotations["description"])
		}
	}
	if n < 10 {
		t.Errorf("%d rules", n)
	}
}

// TestDashboard holds the dashboard that is shipped against the metrics.
func TestDashboard(t *testing.T) {
	data, err := os.ReadFile("../../../packaging/grafana/tend.json")
	if err != nil {
		t.Fatal(err)
	}
	type panel struct {
		ID         int
		Title      string
		Type       string
		GridPos    struct{ X, Y, W, H int }
		Datasource struct{ UID string }
		Targets    []struct{ Expr, LegendFormat string }
	}
	var doc struct {
		Title, UID string
		Panels     []panel
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, p := range doc.Panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 {
			t.Errorf("%s: id %d, place %+v", p.Title, p.ID, p.GridPos)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s has the source %q and %d queries", p.Title, p.Datasource.UID, len(p.Targets))
		}
		for _, q := range p.Targets {
			checkQuery(t, p.Title, q.Expr, q.LegendFormat)
		}
	}
	if len(doc.Panels) < 10 || doc.UID == "" || len(doc.Templating.List) == 0 {
		t.Errorf("%d panels, uid %q", len(doc.Panels), doc.UID)
	}
}
