package sim

import (
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

var taskRoutes = []route{
	{method: "GET", path: "/nodes/{node}/tasks", onNode: true, perm: everybody, props: props{
		"start": integer().from("0"), "limit": integer().from("0"), "userfilter": str(), "typefilter": str(),
		"vmid": vmidParam(), "errors": boolean(), "source": enum("archive", "active", "all"), "since": integer(),
		"until": integer(), "statusfilter": format("pve-task-status-type-list"),
	}, handler: listTasks},
	{method: "GET", path: "/nodes/{node}/tasks/{upid}", onNode: true, perm: everybody, handler: index("name", "log", "status")},
	{method: "DELETE", path: "/nodes/{node}/tasks/{upid}", onNode: true, protected: true, perm: everybody, handler: stopTask},
	{method: "GET", path: "/nodes/{node}/tasks/{upid}/status", onNode: true, protected: true, perm: everybody, handler: taskStatus},
	{method: "GET", path: "/nodes/{node}/tasks/{upid}/log", onNode: true, protected: true, perm: everybody, props: props{
		"start": integer().from("0"), "limit": integer().from("0"), "download": boolean(),
	}, handler: taskLog},
	{method: "GET", path: "/cluster/tasks", perm: everybody, handler: clusterTasks},
}

// A taskRow is a task as the API tells of it (pve-manager API2/Tasks.pm).
type taskRow struct {
	UPID       string `json:"upid"`
	Node       string `json:"node"`
	PID        uint32 `json:"pid"`
	PStart     uint64 `json:"pstart"`
	StartTime  int64  `json:"starttime"`
	Type       string `json:"type"`
	ID         string `json:"id"`
	User       string `json:"user"`
	TokenID    string `json:"tokenid,omitempty"`
	EndTime    int64  `json:"endtime,omitempty"`
	Status     string `json:"status,omitempty"`
	ExitStatus string `json:"exitstatus,omitempty"`
	Saved      string `json:"saved,omitempty"`
}

func (t *task) row() taskRow {
	owner, token, _ := splitToken(t.UPID.User)
	return taskRow{
		UPID: t.upid, Node: t.UPID.Node, PID: t.UPID.PID, PStart: t.UPID.PStart, StartTime: t.UPID.Start.Unix(),
		Type: t.UPID.Type, ID: t.UPID.ID, User: owner, TokenID: token,
	}
}

// owns reports whether the task is the caller's: a token sees only its own, a user also those of his tokens
// (Tasks.pm, $check_task_user).
func (c *call) owns(t *task) bool {
	owner, _, _ := splitToken(t.UPID.User)
	return c.user == t.UPID.User || c.user == owner
}

// myTask finds the task of the call, which must be the caller's, or he needs the privilege on the node.
func (c *call) myTask(priv string) (*task, error) {
	t, err := c.sim.tasks.find(c.str("upid"))
	if err != nil {
		return nil, err
	}
	if c.owns(t) {
		return t, nil
	}
	return t, c.need("/nodes/"+c.node, priv)
}

// statusType is the kind of a status (pve-common UPID.pm, normalize_status_type).
func statusType(status string) string {
	switch {
	case status == "OK":
		return "ok"
	case strings.HasPrefix(status, "WARNINGS: "):
		return "warning"
	case status == "" || status == "unexpected status":
		return "unknown"
	}
	return "error"
}

// A taskFilter is what a listing is narrowed to.
type taskFilter struct {
	call    *call
	auditor bool
	states  map[string]bool
	count   int
	start   int
	limit   int
	rows    []taskRow
}

func listTasks(c *call) (any, error) {
	f := &taskFilter{
		call: c, auditor: c.sim.access.has(c.user, "/nodes/"+c.node, "Sys.Audit"),
		start: int(c.integer("start", 0)), limit: int(c.integer("limit", 50)), rows: []taskRow{},
		states: map[string]bool{"ok": true, "warning": true, "error": true, "unknown": true},
	}
	switch {
	case c.on("errors"):
		f.states["ok"] = false
	case c.given("statusfilter"):
		clear(f.states)
		for _, s := range splitList(c.str("statusfilter")) {
			f.states[strings.ToLower(s)] = true
		}
	}
	running, ended := c.sim.tasks.newest(c.node)
	source := c.str("source")
	if source == "active" || source == "all" {
		for _, t := range running {
			row := t.row()
			row.Status = "RUNNING"
			f.add(t, row)
		}
	}
	if source != "active" {
		for _, t := range ended {
			row := t.row()
			row.EndTime, row.Status = t.End, t.Status
			f.add(t, row)
		}
	}
	c.total = &f.count
	return f.rows, nil
}

func (f *taskFilter) add(t *task, row taskRow) {
	c := f.call
	switch {
	case c.str("userfilter") != "" && !strings.Contains(strings.ToLower(row.User), strings.ToLower(c.str("userfilter"))),
		!f.auditor && !c.owns(t),
		c.str("typefilter") != "" && t.UPID.Type != c.str("typefilter"),
		c.given("vmid") && t.UPID.ID != c.str("vmid"),
		c.given("since") && row.StartTime < c.integer("since", 0),
		c.given("until") && row.StartTime > c.integer("until", 0),
		!f.states[statusType(t.Status)]:
		return
	}
	f.count++
	if f.count > f.start && f.limit > 0 {
		f.limit--
		f.rows = append(f.rows, row)
	}
}

func taskStatus(c *call) (any, error) {
	t, err := c.myTask("Sys.Audit")
	if err != nil {
		return nil, err
	}
	row := t.row()
	row.Status = "running"
	if t.Status != "" {
		row.Status, row.ExitStatus = "stopped", t.Status
	}
	return row, nil
}

// unknownTask reports whether the UPID of the call is one, of a task that nobody knows.
func (c *call) unknownTask() bool {
	_, err := proxmox.ParseUPID(c.str("upid"))
	return err == nil && c.sim.tasks.byUPID[c.str("upid")] == nil
}

// A logLine is one line of a task's log.
type logLine struct {
	N int    `json:"n"`
	T string `json:"t"`
}

func taskLog(c *call) (any, error) {
	t, err := c.myTask("Sys.Audit")
	if err != nil && c.unknownTask() {
		one := 1
		c.total = &one
		return []logLine{{1, "unable to open file - No such file or directory"}}, nil
	}
	if err != nil {
		return nil, err
	}
	if c.on("download") && (c.given("start") || c.given("limit")) {
		return nil, dief("'download' cannot be used together with 'start' or 'limit' parameters")
	}
	start, limit := int(c.integer("start", 0)), int(c.integer("limit", 50))
	total := len(t.Log)
	c.total = &total
	out := []logLine{}
	for i := start; i < len(t.Log) && (limit == 0 || i < start+limit); i++ {
		out = append(out, logLine{i + 1, t.Log[i]})
	}
	if total == 0 { // pve-common Tools.pm, dump_logfile
		total = 1
		out = append(out, logLine{1, "no content"})
	}
	return out, nil
}

// stopTask asks a worker to stop; one that has ended is left alone.
func stopTask(c *call) (any, error) {
	t, err := c.myTask("Sys.Modify")
	if err != nil {
		return nil, err
	}
	if t.Status == "" {
		t.stop()
		c.forked = append(c.forked, t)
	}
	return nil, nil
}

// recentTasks is how many ended tasks of a node the cluster's list holds.
const recentTasks = 25

// clusterTasks is API2/Cluster.pm, tasks. It compares the owner without his token with the caller, so that a token
// without Sys.Audit on / sees none.
func clusterTasks(c *call) (any, error) {
	all := c.sim.access.has(c.user, "/", "Sys.Audit")
	rows := []taskRow{}
	for _, n := range sortedKeys(c.sim.st.Nodes) {
		running, ended := c.sim.tasks.newest(n)
		for _, t := range slices.Concat(running, ended[:min(len(ended), recentTasks)]) {
			row := t.row()
			if t.Status != "" {
				row.EndTime, row.Status, row.Saved = t.End, t.Status, "1"
			}
			if all || row.User == c.user {
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}
