package server

import (
	"log/slog"
	"math"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/view"
)

// metricsHandler serves the metrics of the agent and of its process.
func metricsHandler(b *report.Board, log *slog.Logger) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{b}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4, Timeout: readTime,
	})
}

// A collector makes metrics of the report when they are asked for, so that they say what the page says and are
// counted nowhere twice.
type collector struct{ board *report.Board }

// desc describes a metric.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tend_"+name, help, labels, nil)
}

var (
	buildInfo  = desc("build_info", "The version of the agent; always 1.", "version", "goversion")
	reportTime = desc("report_timestamp_seconds", "When the agent last told anything of itself.")
	observed   = desc("observed_timestamp_seconds", "When the node was last read.")
	attention  = desc("attention", "Things that a person should know, by how much they matter: note, warning, danger.", "level")
	dryRun     = desc("dry_run", "Whether the agent changes nothing.")
	leads      = desc("leads", "Whether the agent acts for the whole cluster; 0 where it follows another one or waits, absent while that is not known.")

	lastRun     = desc("last_reconcile_timestamp_seconds", "When the last run ended.")
	lastGood    = desc("last_good_reconcile_timestamp_seconds", "When the last run that left everything in sync ended.")
	lastTook    = desc("last_reconcile_duration_seconds", "How long the last run took.")
	lastSuccess = desc("last_reconcile_success", "Whether the last run did what it could; 0 where it failed, or could not begin.")
	runsTotal   = desc("reconciles_total", "Runs since the agent started, by how they ended.", "result")
	runSeconds  = desc("reconcile_duration_seconds", "How long runs took, since the agent started.")
	inARow      = desc("reconcile_failures", "Runs that failed one after the other.")

	sourceOK       = desc("source_ok", "Whether the source is followed.")
	sourceFailing  = desc("source_failing_since_timestamp_seconds", "Since when the source is not followed; absent where it is.")
	sourceLooked   = desc("source_looked_timestamp_seconds", "When it was last known what stands at the source.")
	sourceRevision = desc("source_revision_info", "The revision in force; always 1.", "revision", "ref")

	cSync     = desc("container_sync", "1 for the state that a container is in: synced, out of sync, blocked, suspended, unclaimed.", "id", "name", "state")
	cHealth   = desc("container_health", "1 for the state that a container is in: healthy, degraded, unknown.", "id", "name", "state")
	cDrift    = desc("container_drift", "Differences between a container and the spec.", "id", "name")
	cRestart  = desc("container_pending_restart", "Whether something waits for a restart of a container.", "id", "name")
	cSnapAge  = desc("container_snapshot_age_seconds", "Age of the last snapshot; infinite where there must be one and is none.", "id", "name")
	cSnapMax  = desc("container_snapshot_age_limit_seconds", "How old the last snapshot may be.", "id", "name")
	cBackAge  = desc("container_backup_age_seconds", "Age of the last backup; infinite where there must be one and is none.", "id", "name")
	cBackMax  = desc("container_backup_age_limit_seconds", "How old the last backup may be.", "id", "name")
	cDrillAge = desc("container_backup_drill_age_seconds", "Time since a backup was last restored into a scratch container to see whether it can be.", "id", "name")
	cDrillOK  = desc("container_backup_drill_success", "Whether that went well.", "id", "name")
	approvals = desc("approvals_waiting", "Plans that wait for a yes.")
	suspended = desc("suspensions", "Suspensions in force.")

	requests = desc("api_requests_total", "Requests to Proxmox, by method and HTTP status; 0: no answer.", "method", "code")
	queue    = desc("queue_depth", "Kinds of calls for a run that has not begun: webhook, change, signal, person.")
	backoff  = desc("queue_backoff", "Whether runs are put off, since the last ones failed.")
	journal  = desc("journal_open_entries", "Calls whose end is not known.")
	channels = desc("channel_failing", "1 for a way by which others are told that fails: notifications, commit status; absent where it does not.", "channel")

	diskOK   = desc("disk_healthy", "Whether a disk says that it is well; absent where it says nothing.", "node", "device", "model")
	diskHeat = desc("disk_temperature_celsius", "Temperature of a disk.", "node", "device", "model")
	diskWear = desc("disk_wear_ratio", "How much of the life of a disk is used up, from 0 to 1.", "node", "device", "model")
	sensor   = desc("sensor_value", "What a sensor measures, in its unit.", "node", "sensor", "unit")
)

// Describe implements [prometheus.Collector]: what is collected depends on the report, so that nothing is promised.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	r, _ := c.board.Report()
	if r == nil {
		return
	}
	m := meter{ch, time.Now()}
	m.gauge(buildInfo, 1, r.Agent.Version, runtime.Version())
	m.time(reportTime, r.Time)
	m.flag(dryRun, r.Agent.DryRun)
	if lead := r.Agent.Lead; lead != nil {
		m.flag(leads, lead.Acts())
	}
	m.attention(r)
	m.loop(r.Loop)
	m.source(r.Source)
	for i := range r.Containers {
		m.container(&r.Containers[i])
	}
	m.gauge(approvals, float64(len(r.Approvals)))
	m.gauge(suspended, float64(len(r.Suspended)))
	for _, q := range r.Requests {
		m.counter(requests, float64(q.Count), q.Method, strconv.Itoa(q.Code))
	}
	m.gauge(queue, float64(r.Queue.Depth))
	m.flag(backoff, r.Queue.Backoff.After(m.now))
	m.gauge(journal, float64(len(r.Journal)))
	for _, c := range r.Channels {
		m.gauge(channels, 1, c.Name)
	}
	m.node(r)
}

// A meter makes metrics at one moment.
type meter struct {
	ch  chan<- prometheus.Metric
	now time.Time
}

func (m meter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	for i := range labels {
		labels[i] = view.Clean(labels[i])
	}
	m.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (m meter) counter(d *prometheus.Desc, v float64, labels ...string) {
	m.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func (m meter) flag(d *prometheus.Desc, on bool, labels ...string) {
	v := 0.0
	if on {
		v = 1
	}
	m.gauge(d, v, labels...)
}

// time is absent where it is not known: 0 would read as 1970.
func (m meter) time(d *prometheus.Desc, t time.Time) {
	if !t.IsZero() {
		m.gauge(d, float64(t.UnixMilli())/1000)
	}
}

func (m meter) attention(r *report.Report) {
	n := map[report.Level]int{report.Note: 0, report.Warn: 0, report.Danger: 0}
	for _, i := range r.Attention(m.now) {
		n[i.Level]++
	}
	for level, count := range n {
		m.gauge(attention, float64(count), level.String())
	}
}

func (m meter) loop(l report.Loop) {
	m.time(observed, l.Observed)
	m.time(lastGood, l.Good)
	m.gauge(inARow, float64(l.Failures))
	var count uint64
	for _, result := range report.Results() {
		m.counter(runsTotal, float64(l.Ended[result]), string(result))
		count += l.Ended[result]
	}
	m.ch <- prometheus.MustNewConstSummary(runSeconds, count, l.Seconds, nil)
	if l.Last != nil {
		m.time(lastRun, l.Last.Ended)
		m.gauge(lastTook, l.Last.Took().Seconds())
		m.flag(lastSuccess, !l.Last.Result.Bad())
	}
}

func (m meter) source(s report.Source) {
	m.flag(sourceOK, s.Error == "")
	if s.Error != "" {
		m.time(sourceFailing, s.Failing)
	}
	m.time(sourceLooked, s.Looked)
	if s.InForce.ID != "" {
		m.gauge(sourceRevision, 1, s.InForce.ID, s.InForce.Ref)
	}
}

func (m meter) container(c *report.Container) {
	id := c.ID.String()
	m.gauge(cSync, 1, id, c.Name, string(c.Sync))
	m.gauge(cHealth, 1, id, c.Name, string(c.Health()))
	m.gauge(cDrift, float64(max(len(c.Differences), len(c.Differs))), id, c.Name)
	m.flag(cRestart, len(c.Restart) > 0, id, c.Name)
	m.copies(c.Snapshots, cSnapAge, cSnapMax, id, c.Name)
	m.copies(c.Backups, cBackAge, cBackMax, id, c.Name)
	if d := c.Drill; d != nil {
		m.gauge(cDrillAge, m.now.Sub(d.At).Seconds(), id, c.Name)
		m.flag(cDrillOK, d.Failed == "", id, c.Name)
	}
}

func (m meter) copies(c *report.Copies, age, limit *prometheus.Desc, labels ...string) {
	if c == nil {
		return
	}
	switch {
	case !c.Last.IsZero():
		m.gauge(age, c.Age(m.now).Seconds(), labels...)
	case c.MaxAge > 0:
		m.gauge(age, math.Inf(1), labels...)
	}
	if c.MaxAge > 0 {
		m.gauge(limit, time.Duration(c.MaxAge).Seconds(), labels...)
	}
}

func (m meter) node(r *report.Report) {
	for _, d := range r.Disks {
		if d.Health != report.UnknownHealth {
			m.flag(diskOK, d.Health == report.Healthy, d.Node, d.Device, d.Model)
		}
		if d.Celsius > 0 {
			m.gauge(diskHeat, float64(d.Celsius), d.Node, d.Device, d.Model)
		}
		if d.WearPercent > 0 {
			m.gauge(diskWear, float64(d.WearPercent)/100, d.Node, d.Device, d.Model)
		}
	}
	for _, s := range r.Sensors {
		m.gauge(sensor, s.Value, s.Node, s.Name, s.Unit)
	}
}
