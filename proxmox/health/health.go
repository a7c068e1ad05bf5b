// Package health judges disks and sensors of nodes: from what Proxmox, smartctl or sensors say of them, whether they are
// well, and on which disks a storage lies.
//
// It is pure: it asks no disk, reads no clock, and never guesses. What is not told stays unknown, and what is unknown is
// never a reason to stop anything.
package health

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Check is what a disk's own check of its health says (SMART).
type Check string

// The values of Check.
const (
	Passed  Check = "passed"
	Failed  Check = "failed"
	Unknown Check = "unknown" // it could not be asked, or did not answer clearly
)

// A Level says how a disk or sensor is.
type Level string

// The levels. A disk whose check is unknown and of which nothing bad is known is NotKnown.
const (
	OK       Level = "ok"
	Warning  Level = "warning"
	Failing  Level = "failing"
	NotKnown Level = "unknown"
)

// A Disk is a disk as it was read. What is nil was not told.
type Disk struct {
	Device string `json:"device"` // "/dev/sda"
	Model  string `json:"model,omitempty"`
	Serial string `json:"serial,omitempty"`
	Kind   string `json:"kind"` // "hdd", "ssd", "nvme", "usb", "scsi" or "unknown"
	Size   int64  `json:"size"` // bytes

	Check Check  `json:"check"`
	Said  string `json:"said,omitempty"` // its check in its own words: "FAILED!"

	Wear        *int64 `json:"wearPercent,omitempty"`       // of its endurance that is used; may pass 100
	Spare       *int64 `json:"sparePercent,omitempty"`      // of its spare blocks that are left
	SpareLimit  *int64 `json:"spareLimitPercent,omitempty"` // below which it calls for its replacement
	Celsius     *int64 `json:"celsius,omitempty"`
	MaxCelsius  *int64 `json:"maxCelsius,omitempty"`  // what it says it stands itself
	Reallocated *int64 `json:"reallocated,omitempty"` // sectors that it has replaced, or its grown defects
	Pending     *int64 `json:"pending,omitempty"`     // sectors that it could not read and has not replaced
	Errors      *int64 `json:"errors,omitempty"`      // reads and writes that were lost: uncorrectable, or of media and data integrity
	Hours       *int64 `json:"poweredOnHours,omitempty"`

	Read time.Time `json:"read"` // when it was asked
	From string    `json:"from"` // who asked: "the API" or "smartctl"

	Level   Level    `json:"level"`
	Reasons []string `json:"reasons"` // why it is not ok, in words
}

// Name is "sda".
func (d Disk) Name() string { return strings.TrimPrefix(d.Device, "/dev/") }

// Is reports whether a person's text names the disk: "sda", "/dev/sda", its serial number, or any of these after its
// node, as in "pve1:sda".
func (d Disk) Is(node, text string) bool {
	if before, after, ok := strings.Cut(text, ":"); ok {
		if before != node {
			return false
		}
		text = after
	}
	return text != "" && (text == d.Device || text == d.Name() || text == d.Serial && text != "unknown")
}

// Limits say from when a disk is not well. The zero value means the defaults.
type Limits struct {
	// WearWarning is the percentage of used endurance from which is warned: 80 where 0. WearFailing is that from which
	// a disk counts as failing: never where 0, since disks outlive what their makers promise.
	WearWarning, WearFailing int64
	// Celsius is the temperature from which is warned. Where 0, it is what the disk says that it stands, or 60 for
	// disks that turn and 70 for others.
	Celsius int64
	// ErrorsWarning is from how many lost or pending sectors is warned, and ErrorsFailing from how many a disk counts
	// as failing: 1 and never where 0. ReallocatedWarning is the same for replaced sectors: 10 where 0.
	ErrorsWarning, ErrorsFailing, ReallocatedWarning int64
}

// The defaults of [Limits].
const (
	DefaultWear        = 80
	DefaultHot         = 60 // °C, of what turns
	DefaultHotFlash    = 70 // °C, of what does not
	DefaultErrors      = 1
	DefaultReallocated = 10
)

// Judge returns the disk with its level and the reasons.
func (l Limits) Judge(d Disk) Disk {
	d.Level, d.Reasons = OK, []string{}
	if d.Check != Passed {
		d.Level = NotKnown
	}
	find := func(level Level, format string, args ...any) {
		d.Reasons = append(d.Reasons, fmt.Sprintf(format, args...))
		if d.Level != Failing {
			d.Level = level
		}
	}
	if d.Check == Failed {
		find(Failing, "its own health check failed%s", quoted(d.Said))
	}
	if strings.HasPrefix(d.Said, "WARNING") {
		find(Warning, "its own health check warns%s", quoted(d.Said))
	}
	if level := over(d.Wear, or(l.WearWarning, DefaultWear), l.WearFailing); level != OK {
		find(level, "%d %% of its endurance is used", *d.Wear)
	}
	if d.Spare != nil && d.SpareLimit != nil && *d.Spare < *d.SpareLimit {
		find(Warning, "%d %% of its spare blocks are left, fewer than the %d %% that it calls for", *d.Spare, *d.SpareLimit)
	}
	warn, fail := or(l.ErrorsWarning, DefaultErrors), l.ErrorsFailing
	if level := over(d.Pending, warn, fail); level != OK {
		find(level, "it could not read %s and waits to replace %s", countOf(*d.Pending, "sector"), themOf(*d.Pending))
	}
	if level := over(d.Errors, warn, fail); level != OK {
		find(level, "it lost data: %s", countOf(*d.Errors, "uncorrected error"))
	}
	if level := over(d.Reallocated, or(l.ReallocatedWarning, DefaultReallocated), 0); level != OK {
		find(level, "it has replaced %s", countOf(*d.Reallocated, "bad sector"))
	}
	if limit := l.hot(d); d.Celsius != nil && *d.Celsius >= limit {
		find(Warning, "it is %d °C hot, and %d °C is too much", *d.Celsius, limit)
	}
	return d
}

// hot is the temperature from which a disk is too hot.
func (l Limits) hot(d Disk) int64 {
	switch {
	case l.Celsius > 0:
		return l.Celsius
	case d.MaxCelsius != nil && *d.MaxCelsius > 0:
		return *d.MaxCelsius
	case d.Kind == "ssd" || d.Kind == "nvme":
		return DefaultHotFlash
	}
	return DefaultHot
}

// over says how bad a value is against two limits, of which 0 is none.
func over(v *int64, warn, fail int64) Level {
	switch {
	case v == nil:
		return OK
	case fail > 0 && *v >= fail:
		return Failing
	case *v >= warn:
		return Warning
	}
	return OK
}

func or(v, other int64) int64 {
	if v > 0 {
		return v
	}
	return other
}

func countOf(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func themOf(n int64) string {
	if n == 1 {
		return "it"
	}
	return "them"
}

func quoted(said string) string {
	if said == "" {
		return ""
	}
	return " (" + said + ")"
}

// CheckOf reads what a disk's check said in the words of smartctl: "PASSED" and "FAILED!" of ATA and NVMe, "OK" of SCSI,
// or one of the texts for what SCSI tells of a disk that will fail (smartmontools scsicmds.cpp, scsiGetIEString).
func CheckOf(said string) Check {
	text := strings.ToUpper(strings.TrimSpace(said))
	switch {
	case text == "PASSED" || text == "OK":
		return Passed
	case strings.Contains(text, "(FALSE)"): // a drill
		return Unknown
	case strings.HasPrefix(text, "FAILED"), strings.Contains(text, "IMPENDING FAILURE"), strings.Contains(text, "FAILURE PREDICTION"):
		return Failed
	}
	return Unknown
}

// Age is how old the reading is at a time; never negative.
func (d Disk) Age(now time.Time) time.Duration { return max(0, now.Sub(d.Read)) }

// A Gap is something that could not be read.
type Gap struct {
	What string   `json:"what"` // "health of disks", "sensors"
	Why  string   `json:"why"`
	Ways []string `json:"ways"` // what a person can do
	// Minor says that nothing need be done: it is so on every node where nobody acts as root, or without lm-sensors.
	Minor bool `json:"minor,omitempty"`
}

// A Node is what is known of the disks and sensors of a node.
type Node struct {
	Name    string   `json:"node"`
	Disks   []Disk   `json:"disks"`
	Sensors []Sensor `json:"sensors"`
	// Storages says on which disks those of the node lie. nil: it was not looked for, as where no disk is failing.
	Storages []Backing `json:"storages,omitempty"`
	Gaps     []Gap     `json:"gaps"` // what could not be read
}

// FailingOn are the failing disks that a storage of the node lies on, as far as that is known, and the storage's backing.
func (n *Node) FailingOn(storage string) (disks []Disk, on Backing) {
	if n == nil {
		return nil, Backing{}
	}
	i := slices.IndexFunc(n.Storages, func(b Backing) bool { return b.Storage == storage })
	if i < 0 {
		return nil, Backing{}
	}
	for _, d := range n.Disks {
		if d.Level == Failing && slices.Contains(n.Storages[i].Disks, d.Device) {
			disks = append(disks, d)
		}
	}
	return disks, n.Storages[i]
}

// Fails reports whether one of the disks is failing.
func (n *Node) Fails() bool {
	return n != nil && slices.ContainsFunc(n.Disks, func(d Disk) bool { return d.Level == Failing })
}

// StoragesOf are the storages that are known to lie on a disk.
func (n *Node) StoragesOf(device string) (out []string) {
	for _, b := range n.Storages {
		if slices.Contains(b.Disks, device) {
			out = append(out, b.Storage)
		}
	}
	return out
}

// An Obstacle is a failing disk below a storage.
type Obstacle struct {
	Disks []Disk // failing, of those that the storage lies on
	// Why is a sentence that names the storage, the disks and what is wrong with them; empty where nothing is in the way.
	Why string
	// Allowed says that a person agreed to each of the disks.
	Allowed bool
}

// On says what stands in the way of new data on a storage of the node. allowed are disks that a person agreed to, as
// [Disk.Is] takes them. Where it is not known on which disks the storage lies, nothing stands in the way.
func (n *Node) On(storage string, allowed []string) Obstacle {
	failing, on := n.FailingOn(storage)
	if len(failing) == 0 {
		return Obstacle{}
	}
	o := Obstacle{Disks: failing, Allowed: true}
	var texts []string
	for _, d := range failing {
		texts = append(texts, fmt.Sprintf("%s of node %s is failing: %s", d.title(), n.Name, strings.Join(d.Reasons, ", ")))
		o.Allowed = o.Allowed && slices.ContainsFunc(allowed, func(text string) bool { return d.Is(n.Name, text) })
	}
	among := ""
	if len(on.Disks) > 1 {
		among = fmt.Sprintf(", one of its %d disks", len(on.Disks))
		if len(failing) > 1 {
			among = fmt.Sprintf(", %d of its %d disks", len(failing), len(on.Disks))
		}
	}
	o.Why = fmt.Sprintf("storage %s lies on a failing disk%s: %s", storage, among, strings.Join(texts, "; "))
	return o
}

// title is "/dev/sda (WDC WD40EFRX, serial WD-1234)".
func (d Disk) title() string {
	var parts []string
	if d.Model != "" && d.Model != "unknown" {
		parts = append(parts, d.Model)
	}
	if d.Serial != "" {
		parts = append(parts, "serial "+d.Serial)
	}
	if len(parts) == 0 {
		return d.Device
	}
	return d.Device + " (" + strings.Join(parts, ", ") + ")"
}
