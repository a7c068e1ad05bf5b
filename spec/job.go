package spec

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/calendar"
	"github.com/felhom/tend/proxmox/property"
	"github.com/felhom/tend/spec/setting"
)

// Rows of a backup job. What is absent is as Proxmox has it, which /etc/vzdump.conf of a node may change.
var (
	JobID = setting.Key[string]{
		Path: "id", Type: setting.Pattern("id of a backup job (a letter, then letters, digits, _ and -)", `[A-Za-z][A-Za-z0-9_-]{1,49}`),
		Label: "job id", Doc: "Id of the job in Proxmox. Absent: the owner and the name, as in tend-weekly.", Example: "backup-weekly",
	}
	JobAdopt = setting.Key[bool]{
		Path: "adopt", Type: setting.Boolean(), Default: new(false),
		Doc: "Take over an existing job of this id that does not carry the owner's mark.", Example: "true",
	}
	JobSchedule = setting.Key[string]{
		Path: "schedule", PVE: "schedule", Type: setting.Text("calendar event, as in sun 03:00", checkSchedule), Required: true, Fixed: true,
		Doc: "When it runs: a calendar event, as in mon..fri 22:00 or daily, in the time zone of the node.", Example: `"sun 03:00"`,
	}
	JobStorage = setting.Key[string]{
		Path: "storage", PVE: "storage", Type: setting.StorageName(), Required: true, Fixed: true,
		Doc: "Storage for the backups. It must take them (content backup).", Example: "pbs",
	}
	JobTags = setting.Key[[]string]{
		Path: "select.tags", Type: setting.Tags.Type, Virtual: true, Label: "tags",
		Doc: "Containers of the spec, or that carry the owner's tag, with one of these tags. Which they are is found out for " +
			"each plan, and the job names them by their VMIDs.",
		Example: "[media]",
	}
	JobGuests = setting.Key[[]int64]{
		Path: "select.ids", PVE: "vmid", Type: vmids(), Label: "guests", Doc: "Guests by their VMIDs.", Example: "[120, 121]",
	}
	JobAll = setting.Key[bool]{
		Path: "select.all", PVE: "all", Type: setting.Boolean(), Absent: new(false), Label: "all guests",
		Doc: "All guests of the cluster, virtual machines too.", Example: "true",
	}
	JobExclude = setting.Key[[]int64]{
		Path: "select.exclude", PVE: "exclude", Type: vmids(), Label: "exclude", Doc: "Guests that all leaves out.", Example: "[9000]",
	}
	JobPool = setting.Key[string]{
		Path: "select.pool", PVE: "pool", Type: setting.Pattern("name of a pool", poolExpr), Label: "pool",
		Doc: "Guests of a pool.", Example: "customers",
	}
	JobEnabled = setting.Key[bool]{
		Path: "enabled", PVE: "enabled", Type: setting.Boolean(), Default: new(true), Absent: new(true), Fixed: true,
		Doc: "Whether it runs.", Example: "false",
	}
	JobComment = setting.Key[string]{
		Path: "comment", PVE: "comment", Type: setting.Text("text of one line", atMostLine(512-66)),
		Doc: "Comment. The owner's mark, as [tend], is put after it.", Example: "every sunday",
	}
	JobMode = setting.Key[string]{
		Path: "mode", PVE: "mode", Type: setting.Enum("snapshot", "suspend", "stop"), Absent: new("snapshot"), Example: "stop",
		Doc: "What happens to a running container: snapshot reads it while it runs, suspend halts it for a moment, stop shuts it down.",
	}
	JobNode = setting.Key[string]{
		Path: "node", PVE: "node", Type: Node.Type, Example: "pve1", Doc: "Back up the guests of this node only.",
	}
	JobCompress = setting.Key[string]{
		Path: "compress", PVE: "compress", Type: compression(), Absent: new("none"), Example: "zstd",
		Doc: "Compression of archives. A Proxmox Backup Server has its own.",
	}
	JobZstd = setting.Key[int64]{
		Path: "zstdThreads", PVE: "zstd", Type: setting.Integer(0, 1024), Absent: new(int64(1)), Label: "zstd threads", Example: "4",
		Doc: "Threads of zstd; 0 is half of the node's.",
	}
	JobPigz = setting.Key[int64]{
		Path: "gzipThreads", PVE: "pigz", Type: setting.Integer(0, 1024), Absent: new(int64(0)), Label: "gzip threads", Example: "4",
		Doc: "Threads of gzip, by pigz in its place; 0 is gzip, 1 half of the node's.",
	}
	JobBandwidth = setting.Key[setting.Bytes]{
		Path: "bandwidthLimit", PVE: "bwlimit", Type: setting.Amount(0, setting.KiB, inKiB{}), Absent: new(setting.Bytes(0)),
		Doc: "Bytes a second that it reads at most; 0KiB is no limit.", Example: "100MiB",
	}
	JobIOPriority = setting.Key[int64]{
		Path: "ioPriority", PVE: "ionice", Type: setting.Integer(0, 8), Absent: new(int64(7)), Label: "I/O priority", Example: "8",
		Doc: "I/O priority, 0 (high) to 7 (low), with the BFQ scheduler; 8 is idle.",
	}
	JobLockWait = setting.Key[time.Duration]{
		Path: "lockWait", PVE: "lockwait", Type: minutes(), Absent: new(180 * time.Minute), Example: "1h",
		Doc: "How long to wait for another backup of the node to end.",
	}
	JobStopWait = setting.Key[time.Duration]{
		Path: "stopWait", PVE: "stopwait", Type: minutes(), Absent: new(10 * time.Minute), Example: "5m",
		Doc: "How long a container may take to shut down, with mode stop.",
	}
	JobStandardExcludes = setting.Key[bool]{
		Path: "standardExcludes", PVE: "stdexcludes", Type: setting.Boolean(), Absent: new(true), Example: "false",
		Doc: "Leave temporary files and logs of processes out.",
	}
	JobExcludePaths = setting.Key[[]string]{
		Path: "excludePaths", PVE: "exclude-path", Type: setting.Unordered(setting.List("path or pattern", setting.Lines, "\n", checkLine)),
		Doc: "Files to leave out, as patterns; those that begin with / are relative to the container's root.", Example: `["/var/cache/?*"]`,
	}
	JobChangeDetection = setting.Key[string]{
		Path: "pbs.changeDetection", PVE: "pbs-change-detection-mode", Type: setting.Enum("legacy", "data", "metadata"), Label: "change detection",
		Doc: "How unchanged files are found, with a Proxmox Backup Server.", Example: "metadata",
	}
	JobEntriesMax = setting.Key[int64]{
		Path: "pbs.entriesMax", PVE: "performance", Type: entriesMax(), Absent: new(int64(1048576)), Label: "entries max", Example: "2097152",
		Doc: "Files that may be held in memory at once, with a Proxmox Backup Server.",
	}
	JobKeep = setting.Key[setting.Record]{
		Path: "keep", PVE: "prune-backups", Type: keepFields.Type(), Example: "{weekly: 4, monthly: 12}",
		Doc: "Which backups of each guest are kept; all others on the storage are removed after a run. Absent: as the storage says.",
	}
	JobRemove = setting.Key[bool]{
		Path: "removeOld", PVE: "remove", Type: setting.Boolean(), Absent: new(true), Example: "false",
		Doc: "Remove the backups that keep does not keep. With false, a run fails once there are as many.",
	}
	JobProtected = setting.Key[bool]{
		Path: "protected", PVE: "protected", Type: setting.Boolean(), Absent: new(false), Example: "true",
		Doc: "Mark each backup as protected, so that it is never removed.",
	}
	JobNotes = setting.Key[string]{
		Path: "notes", PVE: "notes-template", Type: setting.Text("text of one line", atMostLine(1024)), Example: `"{{guestname}} {{node}}"`,
		Doc: "Notes of each backup, with {{cluster}}, {{guestname}}, {{node}} and {{vmid}} filled in.",
	}
	JobMaxAge = setting.Key[time.Duration]{
		Path: "maxAge", Type: PolicyMaxAge.Type, Virtual: true, Example: "192h",
		Doc: "How old the newest backup of a container may be before it is shown as overdue. Absent: when the next one " +
			"was due, and up to half a day for the job to get to the container.",
	}
	JobRepeatMissed = setting.Key[bool]{
		Path: "repeatMissed", PVE: "repeat-missed", Type: setting.Boolean(), Absent: new(false), Example: "true",
		Doc: "Run it as soon as possible where the node was off at its time.",
	}
	JobNotify = setting.Key[string]{
		Path: "notify.mode", PVE: "notification-mode", Type: setting.Enum("auto", "legacy-sendmail", "notification-system"), Absent: new("auto"),
		Doc: "Who is told of runs: the notification system's receivers, or mailTo.", Example: "notification-system", Label: "notification mode",
	}
	JobMailTo = setting.Key[[]string]{
		Path: "notify.mailTo", PVE: "mailto", Type: setting.Unordered(setting.List("mail address or user", setting.Words, ",", checkWord)),
		Doc: "Receivers of mails, with mode legacy-sendmail. Deprecated by Proxmox.", Example: "[root@pam]", Label: "mail to",
	}
	JobMailWhen = setting.Key[string]{
		Path: "notify.mailWhen", PVE: "mailnotification", Type: setting.Enum("always", "failure"), Absent: new("always"), Label: "mail when",
		Doc: "Whether mails are sent for every run or for failed ones only. Deprecated by Proxmox.", Example: "failure",
	}
)

// keepFields are the parts of a retention (pve-storage Plugin.pm, prune-backups).
var keepFields = setting.Object{
	Name: "retention",
	Rows: []setting.Row{
		setting.Key[bool]{
			Path: "all", PVE: "keep-all", Type: setting.Boolean(), Absent: new(false), Doc: "Keep all backups.", Example: "true",
		},
		keepCount("last", "Keep this many of the latest.", "3"), keepCount("hourly", "Keep the latest of each of so many hours.", "24"),
		keepCount("daily", "Keep the latest of each of so many days.", "7"), keepCount("weekly", "Keep the latest of each of so many weeks.", "4"),
		keepCount("monthly", "Keep the latest of each of so many months.", "12"), keepCount("yearly", "Keep the latest of each of so many years.", "2"),
	},
	// What keeps nothing keeps all (pve-storage Plugin.pm, validate_prune_backups).
	Settle: func(spec, merged setting.Record) setting.Record {
		if len(merged) == 0 && len(spec) > 0 {
			return setting.Record{"all": true}
		}
		return merged
	},
}

func keepCount(name, doc, example string) setting.Row {
	return setting.Key[int64]{
		Path: name, PVE: "keep-" + name, Type: setting.Integer(0, 1e6), Absent: new(int64(0)), Doc: doc, Example: example,
	}
}

// JobFields is everything that may be written for one backup job.
var JobFields = setting.Object{
	Name: "backup job",
	Groups: map[string]setting.Group{
		"select": {Doc: "Which guests are backed up: those of tags, ids or pool, or all.", Example: "{tags: [media]}"},
		"pbs":    {Doc: "What is for storages of a Proxmox Backup Server only.", Example: "{changeDetection: metadata}"},
		"notify": {Doc: "Who is told how runs went.", Example: "{mode: notification-system}"},
	},
	Rows: append([]setting.Row{JobID, JobAdopt, JobTags, JobMaxAge}, JobSettings...),
}

// JobSettings are the rows that are told to Proxmox, each with its own option.
var JobSettings = []setting.Row{
	JobSchedule, JobStorage, JobGuests, JobAll, JobExclude, JobPool, JobNode, JobEnabled, JobComment, JobMode, JobKeep, JobRemove,
	JobProtected, JobNotes, JobCompress, JobZstd, JobPigz, JobBandwidth, JobIOPriority, JobLockWait, JobStopWait,
	JobStandardExcludes, JobExcludePaths, JobChangeDetection, JobEntriesMax, JobRepeatMissed, JobNotify, JobMailTo, JobMailWhen,
}

// BackupJobs is where they are written.
var BackupJobs = setting.Key[setting.Members]{
	Path: "backupJobs", Type: setting.Mapping(setting.Pattern("name of a backup job (letters, digits, _ and -)", jobExpr), JobFields),
	Doc:     "Backup jobs of the cluster. Where this is written, tend's own jobs that are not in it are deleted, and no others.",
	Example: `{weekly: {schedule: "sun 03:00", storage: pbs, select: {tags: [media]}, keep: {weekly: 4, monthly: 12}}}`,
}

const (
	jobExpr  = `[A-Za-z0-9][A-Za-z0-9_-]*`
	poolExpr = `[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,2}`
)

// A BackupJob is a scheduled backup.
type BackupJob struct {
	Name     string
	ID       string // in Proxmox, where the spec says one; see State.JobID
	Adopt    bool
	Tags     []string       // select containers by their tags; nil: Settings says which guests
	MaxAge   time.Duration  // of the newest backup; 0: as the schedule says
	Settings setting.Record // values of the rows of JobSettings, as written
	Place    Place
}

// NewBackupJob makes a BackupJob from the values of [JobFields].
func NewBackupJob(name string, r setting.Record, at Place) *BackupJob {
	j := &BackupJob{
		Name: name, Place: at, ID: JobID.Or(r, ""), Adopt: JobAdopt.Or(r, false), Tags: JobTags.Or(r, nil), Settings: setting.Record{},
		MaxAge: JobMaxAge.Or(r, 0),
	}
	for _, row := range JobSettings {
		if v, ok := r[row.SpecPath()]; ok {
			j.Settings[row.SpecPath()] = v
		}
	}
	return j
}

// Record is the inverse of [NewBackupJob].
func (j *BackupJob) Record() setting.Record {
	r := setting.Record{}
	for path, v := range j.Settings {
		r[path] = v
	}
	if j.ID != "" {
		JobID.Set(r, j.ID)
	}
	if j.Adopt {
		JobAdopt.Set(r, true)
	}
	if j.Tags != nil {
		JobTags.Set(r, j.Tags)
	}
	if j.MaxAge > 0 {
		JobMaxAge.Set(r, j.MaxAge)
	}
	return r
}

// JobID is the id of a job in Proxmox: the one that it says, or the owner and its name, in the characters that
// Proxmox takes (pve-common JSONSchema.pm, pve-configid).
func (s *State) JobID(j *BackupJob) string {
	if j.ID != "" {
		return j.ID
	}
	owner := strings.NewReplacer("+", "_", ".", "_").Replace(s.Cluster.Owner)
	if l := strings.ToLower(owner); l == "" || l[0] < 'a' || l[0] > 'z' {
		owner = "tend-" + owner
	}
	return owner + "-" + j.Name
}

// Mark is what ends the comment of each job of an owner.
func Mark(owner string) string { return "[" + owner + "]" }

// jobs checks the backup jobs.
func (v *validation) jobs() {
	ids := map[string]string{}
	for _, j := range v.state.Jobs {
		at := setting.Path{BackupJobs.Path, j.Name}
		id := v.state.JobID(j)
		if other, ok := ids[id]; ok {
			v.fault(at.Join(JobID.Path), []setting.Path{{BackupJobs.Path, other, JobID.Path}}, "%s is the id of job %s too: write another one", id, other)
		}
		ids[id] = j.Name
		if len(id) > 50 {
			v.fault(at, nil, "gets the id %s, which is longer than the 50 characters that Proxmox takes: give it a shorter name, or an id", id)
		}
		for _, row := range []setting.Key[string]{JobSchedule, JobStorage} {
			if _, ok := row.Get(j.Settings); !ok {
				v.fault(at.Join(row.Path), nil, "is missing: write %s: %s", row.Path, row.Example)
			}
		}
		v.selection(j, at)
		keep := JobKeep.Or(j.Settings, nil)
		if len(keep) > 1 && keep["all"] == true {
			v.fault(at.Join(JobKeep.Path, "all"), nil, "does not go with other counts: keep all, or the counts")
		}
	}
}

// selection checks that a job says once which guests it is for.
func (v *validation) selection(j *BackupJob, at setting.Path) {
	with := below(at, JobTags, JobGuests, JobAll, JobPool, JobExclude)
	at = at.Join("select")
	n := 0
	for _, given := range []bool{
		j.Tags != nil, JobGuests.Or(j.Settings, nil) != nil, JobAll.Or(j.Settings, false), JobPool.Or(j.Settings, "") != "",
	} {
		if given {
			n++
		}
	}
	_, all := JobAll.Get(j.Settings)
	switch {
	case n == 0 && all:
		v.fault(at.Join("all"), with, "selects nothing: write true, or tags, ids or pool")
	case n == 0:
		v.fault(at, with, "is missing: write which guests are backed up, with tags, ids, all or pool")
	case n > 1:
		v.fault(at, with, "selects in more than one way: keep one of tags, ids, all and pool")
	case j.Tags != nil && len(j.Tags) == 0:
		v.fault(at.Join("tags"), with, "names no tag: write one or more")
	case JobGuests.Or(j.Settings, []int64{1}) == nil || len(JobGuests.Or(j.Settings, []int64{1})) == 0:
		v.fault(at.Join("ids"), with, "names no guest: write one or more")
	case JobExclude.Or(j.Settings, nil) != nil && !JobAll.Or(j.Settings, false):
		v.fault(at.Join("exclude"), with, "goes with all: true alone: remove it")
	}
}

func checkSchedule(s string) error {
	if len(s) > 128 {
		return errors.New("is longer than the 128 characters that Proxmox takes")
	}
	if _, err := calendar.Parse(s); err != nil {
		return fmt.Errorf("is not a calendar event: %w", err)
	}
	return nil
}

func checkWord(s string) error {
	if s == "" || strings.ContainsAny(s, " \t\r\n,;") {
		return errors.New("is not one word")
	}
	return nil
}

func checkLine(s string) error {
	if s == "" || strings.ContainsAny(s, "\r\n") {
		return errors.New("is not a text of one line")
	}
	return nil
}

func atMostLine(limit int) func(string) error {
	return func(s string) error {
		if len(s) > limit {
			return fmt.Errorf("is longer than %d bytes", limit)
		}
		return checkLine(s)
	}
}

// vmids is a list of VMIDs, compared as a set.
func vmids() setting.Type[[]int64] {
	one := setting.Integer(int64(proxmox.MinVMID), int64(proxmox.MaxVMID))
	format := func(v []int64, sep string) string {
		v = slices.Compact(slices.Sorted(slices.Values(v)))
		var out []string
		for _, id := range v {
			out = append(out, strconv.FormatInt(id, 10))
		}
		return strings.Join(out, sep)
	}
	return setting.Type[[]int64]{
		Name: "list of VMIDs",
		Decode: func(in any, at setting.Path, report setting.Report) ([]int64, bool) {
			if n, ok := in.(json.Number); ok {
				in = []any{n}
			}
			items, ok := in.([]any)
			if !ok {
				report(at, errors.New("is not a list of VMIDs: write [120, 121]"))
				return nil, false
			}
			out, good := []int64{}, true
			for i, item := range items {
				id, ok := one.Decode(item, at.Join(strconv.Itoa(i)), report)
				good = good && ok
				out = append(out, id)
			}
			return out, good
		},
		Encode: func(v []int64) any {
			out := []any{}
			for _, id := range v {
				out = append(out, one.Encode(id))
			}
			return out
		},
		Parse: func(s string) ([]int64, error) {
			out := []int64{}
			for _, e := range property.SplitList(s) {
				id, err := strconv.ParseInt(e, 10, 64)
				if err != nil {
					return nil, fmt.Errorf("%q is no VMID", e)
				}
				out = append(out, id)
			}
			return out, nil
		},
		Format: func(v []int64) string { return format(v, ",") },
		Text:   func(v []int64) string { return format(v, ", ") },
		Equal:  func(a, b []int64) bool { return format(a, ",") == format(b, ",") },
		Schema: setting.Schema{"anyOf": []any{one.Schema, setting.Schema{"type": "array", "items": one.Schema}}},
	}
}

// compression is the compression of archives. Proxmox writes none as 0, and takes 1 for lzo
// (pve-manager VZDump.pm, compressor_info).
func compression() setting.Type[string] {
	t := setting.Enum("none", "gzip", "lzo", "zstd")
	t.Parse = func(s string) (string, error) {
		if word, ok := map[string]string{"0": "none", "": "none", "1": "lzo"}[s]; ok {
			return word, nil
		}
		return s, nil
	}
	t.Format = func(v string) string {
		if v == "none" {
			return "0"
		}
		return v
	}
	return t
}

// inKiB is the codec of amounts that Proxmox counts in KiB.
type inKiB struct{}

func (inKiB) Parse(s string) (setting.Bytes, error) {
	n, err := property.Int{}.Parse(s)
	return setting.Bytes(n) * setting.KiB, err
}
func (inKiB) Format(v setting.Bytes) string { return property.Int{}.Format(int64(v / setting.KiB)) }

// minutes is a duration that Proxmox counts in minutes.
func minutes() setting.Type[time.Duration] {
	t := setting.Duration()
	decode := t.Decode
	t.Name = "duration in whole minutes (5m, 1h)"
	t.Decode = func(in any, at setting.Path, report setting.Report) (time.Duration, bool) {
		d, ok := decode(in, at, report)
		if ok && d%time.Minute != 0 {
			report(at, fmt.Errorf("%s is not a duration in whole minutes: write for example 5m or 1h", d))
			return d, false
		}
		return d, ok
	}
	t.Parse = func(s string) (time.Duration, error) {
		n, err := property.Int{}.Parse(s)
		return time.Duration(n) * time.Minute, err
	}
	t.Format = func(d time.Duration) string { return property.Int{}.Format(int64(d / time.Minute)) }
	return t
}

// entriesMax is the part of the performance options that is about containers; the other is about virtual
// machines.
func entriesMax() setting.Type[int64] {
	t := setting.Integer(1, 1<<40)
	t.Parse = func(s string) (int64, error) {
		pairs, err := property.ParsePairs(s, "")
		if err != nil {
			return 0, err
		}
		for _, p := range pairs {
			if p.Key == "pbs-entries-max" {
				return property.Int{}.Parse(p.Value)
			}
		}
		return 1048576, nil
	}
	t.Format = func(n int64) string { return "pbs-entries-max=" + strconv.FormatInt(n, 10) }
	return t
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }
