package spec

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a zone has the same name wherever a spec is read

	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/proxmox/prune"
	"github.com/felhom/tend/spec/setting"
)

// Rows of a snapshot policy.
var (
	PolicySchedule = setting.Key[string]{
		Path: "schedule", Type: setting.Text("calendar event, as in 02:30", checkSchedule), Example: `"02:30"`,
		Doc: "When snapshots are taken: a calendar event, as in mon..fri 22:00 or hourly (tend explain schedule). Absent: only before changes, where beforeChange says so.",
	}
	PolicyTimeZone = setting.Key[string]{
		Path: "timeZone", Type: zoneType(), Example: "Europe/Vienna",
		Doc: "Time zone of the schedule, and of the days, weeks, months and years of keep. Absent: that of the cluster (cluster.timeZone).",
	}
	PolicyDST = setting.Key[string]{
		Path: "dst", Type: setting.Enum(calendar.Shift.String(), calendar.Upstream.String()), Default: new(calendar.Shift.String()),
		Example: "upstream",
		Doc: "What becomes of a run at an hour that a change of the clocks leaves out: shift takes it at the first moment after, " +
			"upstream leaves it out, as Proxmox would.",
	}
	PolicyKeep = setting.Key[setting.Record]{
		Path: "keep", Type: policyKeep.Type(), Example: "{last: 2, daily: 7, weekly: 4, monthly: 6}",
		Doc: "Which snapshots are kept, by Proxmox's rules of retention; the others of the policy are dropped.",
	}
	PolicyMaxAge = setting.Key[time.Duration]{
		Path: "maxAge", Type: setting.Duration(), Example: "26h",
		Doc: "Age of the newest snapshot above which it counts as overdue: it is reported, and nothing is dropped. Absent: an hour " +
			"after the next one was due.",
	}
	PolicyMinAge = setting.Key[time.Duration]{
		Path: "minAge", Type: setting.Duration(), Default: new(time.Duration(0)), Example: "1h",
		Doc: "Age below which a snapshot is never dropped.",
	}
	PolicyMaxDeletions = setting.Key[int64]{
		Path: "maxDeletions", Type: setting.Integer(1, 100), Default: new(int64(3)), Example: "10",
		Doc: "How many snapshots of a container are dropped in one run at most, the oldest first.",
	}
	PolicyPrefix = setting.Key[string]{
		Path: "prefix", Type: setting.Pattern("beginning of a name (a letter, then letters, digits, - and _)", `[A-Za-z][A-Za-z0-9_-]*`), Default: new("tend"),
		Doc: "What names of snapshots begin with. The policy and the time in UTC follow, as in tend-nightly-20261121T013000Z; 40 characters in all.", Example: "auto",
	}
	PolicyBeforeChange = setting.Key[bool]{
		Path: "beforeChange", Type: setting.Boolean(), Default: new(false), Example: "true",
		Doc: "Take one before a change that restarts the container or is larger. If it cannot be taken, the change does not happen.",
	}
	PolicyChangeAge = setting.Key[time.Duration]{
		Path: "changeAge", Type: setting.Duration(), Default: new(72 * time.Hour), Example: "168h",
		Doc: "Age at which a snapshot that was taken before a change is dropped. It does not count for keep.",
	}
	PolicySpread = setting.Key[time.Duration]{
		Path: "spread", Type: setting.Duration(), Default: new(time.Duration(0)), Example: "20m",
		Doc: "Time after the schedule's over which the containers are spread: each has its own moment, always the same.",
	}
	PolicyCatchUp = setting.Key[bool]{
		Path: "catchUp", Type: setting.Boolean(), Default: new(true), Example: "false",
		Doc: "Take one snapshot after a pause in which some were due. With false, wait for the next time.",
	}
	PolicyAtOnce = setting.Key[bool]{
		Path: "atOnce", Type: setting.Boolean(), Default: new(false), Example: "true",
		Doc: "Take the first snapshot of a container as soon as it is seen. With false, wait for the next time.",
	}
	PolicyLockWait = setting.Key[time.Duration]{
		Path: "lockWait", Type: setting.Duration(), Default: new(10 * time.Minute), Example: "30m",
		Doc: "How long to wait for a lock of the container, such as that of a backup, before the run counts as missed.",
	}
	PolicyFallback = setting.Key[string]{
		Path: "fallback.backup", Type: setting.StorageName(), Example: "backups",
		Doc: "Storage for a backup in place of the snapshot where the container cannot have any, as with a bind mount: by the same " +
			"schedule and retention. Backups of others, and those that are protected, are never removed and not counted.",
	}
	PolicyBefore        = hookCommand("hooks.before.command", "Command that is run in the container before the snapshot, as root.", "[fsfreeze, -f, /data]")
	PolicyBeforeTimeout = hookTimeout("hooks.before.timeout")
	PolicyBeforeFailure = setting.Key[string]{
		Path: "hooks.before.onFailure", Type: setting.Enum(string(HookAbort), string(HookContinue)), Default: new(string(HookAbort)), Example: "continue",
		Doc: "What happens when the command fails or takes too long: abort takes no snapshot, continue takes one as after a power cut.",
	}
	PolicyAfter        = hookCommand("hooks.after.command", "Command that is run in the container after the snapshot, whether or not it or the command before it succeeded.", "[fsfreeze, -u, /data]")
	PolicyAfterTimeout = hookTimeout("hooks.after.timeout")
	PolicyAfterFailure = setting.Key[string]{
		Path: "hooks.after.onFailure", Type: setting.Enum(string(HookAbort), string(HookContinue)), Default: new(string(HookAbort)), Example: "continue",
		Doc: "What happens when the command fails or takes too long: abort ends the run as failed, so that nothing is dropped; continue goes on.",
	}
	PolicyWhenUnused = setting.Key[string]{
		Path: "whenUnused", Type: setting.Enum("keep", "drop"), Default: new("keep"), Example: "drop",
		Doc: "What becomes of its snapshots of containers that do not have the policy any more: they are kept, or dropped, " +
			"maxDeletions in a run. The snapshots of a policy that is taken out of the spec are kept.",
	}
)

func hookCommand(path, doc, example string) setting.Key[[]string] {
	return setting.Key[[]string]{Path: path, Type: argumentVector(), Doc: doc, Example: example}
}

func hookTimeout(path string) setting.Key[time.Duration] {
	return setting.Key[time.Duration]{
		Path: path, Type: setting.Duration(), Default: new(30 * time.Second), Doc: "How long the command may take.", Example: "2m",
	}
}

// policyKeep are the counts of a retention. There is no keep-all: snapshots that are never dropped fill the storage,
// and in the end the file that holds the container's configuration.
var policyKeep = setting.Object{Name: "retention", Rows: keepFields.Rows[1:]}

// policyRows are those that a container can override, too.
var policyRows = []setting.Row{
	PolicySchedule, PolicyTimeZone, PolicyDST, PolicyKeep, PolicyMaxAge, PolicyMinAge, PolicyMaxDeletions, PolicyPrefix,
	PolicyBeforeChange, PolicyChangeAge, PolicySpread, PolicyCatchUp, PolicyAtOnce, PolicyLockWait, PolicyFallback,
	PolicyBefore, PolicyBeforeTimeout, PolicyBeforeFailure, PolicyAfter, PolicyAfterTimeout, PolicyAfterFailure,
}

var policyGroups = map[string]setting.Group{
	"fallback":     {Doc: "What to do where the container cannot have snapshots.", Example: "{backup: backups}"},
	"hooks":        {Doc: "Commands in the container around the snapshot. They need root@pam's lane.", Example: "{before: {command: [sync]}}"},
	"hooks.before": {Doc: "Before the snapshot, to bring data into a state that can be restored.", Example: "{command: [sync]}"},
	"hooks.after":  {Doc: "After the snapshot.", Example: "{command: [systemctl, start, db]}"},
}

// PolicyFields is everything that may be written for one snapshot policy.
var PolicyFields = setting.Object{
	Name: "snapshot policy", Groups: policyGroups, Rows: append(policyRows[:len(policyRows):len(policyRows)], PolicyWhenUnused),
}

// SnapshotPolicies is where they are written.
var SnapshotPolicies = setting.Key[setting.Members]{
	Path: "snapshotPolicies", Type: setting.Mapping(setting.Pattern("name of a snapshot policy (letters, digits, _ and -)", jobExpr), PolicyFields),
	Doc:     "When snapshots are taken and which are kept. Containers name a policy: snapshots: nightly.",
	Example: `{nightly: {schedule: "02:30", keep: {last: 2, daily: 7, weekly: 4}}}`,
}

// UsePolicy is the row of the policy that a container's snapshots follow.
var UsePolicy = setting.Key[string]{
	Path: "policy", Type: setting.Pattern("name of a snapshot policy, or none", jobExpr), Example: "nightly",
	Doc: "Policy of the spec that the other fields change for this container; none is no snapshots.",
}

var useFields = setting.Object{
	Name: "snapshots", Groups: policyGroups, Rows: append([]setting.Row{UsePolicy}, policyRows...),
	Elsewhere: map[string]string{PolicyWhenUnused.Path: "is a field of the policy: write it there"},
}

// Rows of a container's snapshots.
var (
	Snapshots = setting.Key[setting.Record]{
		Path: "snapshots", Type: policyUse(), Example: "nightly",
		Doc: "Snapshot policy of the container: the name of one, or a mapping with fields of its own, which change those of " +
			"the policy that it names. none: no snapshots, whatever a lower layer says.",
	}
	SnapshotHolds = setting.Key[[]string]{
		Path: "snapshotHolds", Example: "[tend-nightly-20261121T013000Z]",
		Type: setting.List("name of a snapshot", setting.Words, " ", func(s string) error {
			if !ValidSnapshotName(s) {
				return errors.New("is no name of a snapshot: write 2 to 40 letters, digits, - and _, the first one a letter")
			}
			return nil
		}),
		Doc: `Snapshots that are never dropped and count for nothing. The word hold in a snapshot's description does the same.`,
	}
)

// policyUse is the type of [Snapshots]: a text is the name of a policy.
func policyUse() setting.Type[setting.Record] {
	t := useFields.Type()
	decode, encode := t.Decode, t.Encode
	t.Name = "name of a snapshot policy, or mapping"
	t.Decode = func(in any, at setting.Path, report setting.Report) (setting.Record, bool) {
		switch in.(type) {
		case map[string]any:
			return decode(in, at, report)
		case string:
		default:
			report(at, errors.New("is neither the name of a snapshot policy nor a mapping: write snapshots: nightly, with the name of one"))
			return nil, false
		}
		name, ok := UsePolicy.Type.Decode(in, at, report)
		return setting.Record{UsePolicy.Path: name}, ok
	}
	t.Encode = func(r setting.Record) any {
		if name, ok := UsePolicy.Get(r); ok && len(r) == 1 {
			return name
		}
		return encode(r)
	}
	t.Schema = setting.Schema{"anyOf": []any{UsePolicy.Type.Schema, t.Schema}}
	return t
}

// argumentVector is a command with its arguments. A text is a command without any: what a shell would make of blanks
// and quotes in it is not guessed.
func argumentVector() setting.Type[[]string] {
	t := setting.List("argument", setting.Words, " ", func(s string) error {
		if s == "" || strings.ContainsRune(s, 0) {
			return errors.New("is no argument")
		}
		return nil
	})
	decode := t.Decode
	t.Name = "list of: command and its arguments"
	t.Decode = func(in any, at setting.Path, report setting.Report) ([]string, bool) {
		if s, ok := in.(string); ok && len(strings.Fields(s)) != 1 {
			report(at, fmt.Errorf("%q goes through no shell: write the command and each argument as an element, [%s]", s, strings.Join(strings.Fields(s), ", ")))
			return nil, false
		}
		out, ok := decode(in, at, report)
		if ok && len(out) == 0 {
			report(at, errors.New("names no command: write one, or remove the line"))
			return nil, false
		}
		return out, ok
	}
	return t
}

// zoneType is a time zone by its name in the zone database, which the program carries with it.
func zoneType() setting.Type[string] {
	return setting.Text("time zone, as in Europe/Vienna or UTC", func(s string) error {
		_, err := Location(s)
		return err
	})
}

// Location is the time zone with a name in the zone database. The error completes `"name" …`.
func Location(name string) (*time.Location, error) {
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, errors.New("is not a time zone: write an area and place such as Europe/Vienna, or UTC")
	}
	return loc, nil
}

// newKeep makes a retention from the values of [PolicyKeep].
func newKeep(r setting.Record) (k prune.Keep) {
	for _, rule := range prune.Rules() {
		n, _ := r[strings.TrimPrefix(rule.String(), "keep-")].(int64)
		k.Set(rule, int(n))
	}
	return k
}
