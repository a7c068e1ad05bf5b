package health

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox"
)

// FromList is a disk as Proxmox's list tells of it: its check, and where it has no moving parts its wear.
func FromList(d proxmox.Disk, at time.Time) Disk {
	out := Disk{
		Device: d.Device, Model: strings.ReplaceAll(d.Model, "_", " "), Serial: known(d.Serial), Size: d.Size,
		Kind: d.Type, Check: CheckOf(d.Health), Said: said(d.Health), Read: at, From: "the API",
	}
	if left, ok := d.Left(); ok {
		out.Wear = number(int64(100 - left))
	}
	return out
}

// said is what is worth repeating of a check.
func said(health string) string {
	if CheckOf(health) == Passed || strings.EqualFold(health, "unknown") {
		return ""
	}
	return strings.TrimSpace(health)
}

func known(text string) string {
	if text == "unknown" {
		return ""
	}
	return text
}

func number(v int64) *int64 { return &v }

// AddSmart adds what Proxmox tells of one disk: attributes of ATA, or the text of NVMe and SCSI.
func (d Disk) AddSmart(s proxmox.Smart, at time.Time) Disk {
	d.Check, d.Said, d.Read = CheckOf(s.Health), said(s.Health), at
	if left, err := strconv.ParseFloat(s.Wearout, 64); err == nil {
		d.Wear = number(int64(100 - left))
	}
	for _, a := range s.Attributes {
		id, err := strconv.Atoi(strings.TrimSpace(a.ID))
		if raw, ok := leading(a.Raw); err == nil && ok {
			d.attribute(id, raw)
		}
	}
	d.addText(s.Text)
	if d.Kind == "ssd" && s.Wearout == "" {
		for _, name := range wearNames { // in their order (pve-storage Diskmanage.pm, get_wear_leveling_info)
			for _, a := range s.Attributes {
				if strings.Contains(a.Name, name) && a.Value >= 0 && a.Value <= 100 {
					d.Wear = number(int64(100 - a.Value))
					return d
				}
			}
		}
	}
	return d
}

// attribute takes one of the attributes of ATA disks whose raw value is the same with all makers that have it.
func (d *Disk) attribute(id int, raw int64) {
	switch id {
	case 5: // Reallocated_Sector_Ct
		d.Reallocated = number(raw)
	case 9: // Power_On_Hours; some count in the upper bytes as well
		d.Hours = number(raw & 0xffffffff)
	case 194, 190: // Temperature_Celsius, Airflow_Temperature_Cel: the lowest byte, others hold extremes
		if c := raw & 0xff; plausible(c) && (id == 194 || d.Celsius == nil) {
			d.Celsius = number(c)
		}
	case 197: // Current_Pending_Sector
		d.Pending = number(raw)
	case 198: // Offline_Uncorrectable
		d.Errors = number(raw)
	}
}

// plausible reports whether a temperature may be one: a disk that does not measure says 0, or 255.
func plausible(celsius int64) bool { return celsius > 0 && celsius < 150 }

var leadingNumber = regexp.MustCompile(`^\s*([0-9][0-9,]{0,24})`)

// leading is the number that a text begins with: "35 (Min/Max 21/48)", "1,250".
func leading(text string) (int64, bool) {
	m := leadingNumber.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseInt(strings.ReplaceAll(m[1], ",", ""), 10, 64)
	return v, err == nil
}

// addText reads the lines of smartctl for NVMe (nvmeprint.cpp) and SCSI (scsiprint.cpp).
func (d *Disk) addText(text string) {
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ":")
		n, isNumber := leading(value)
		if !ok || !isNumber {
			continue
		}
		switch strings.TrimSpace(name) {
		case "Temperature", "Current Drive Temperature":
			if plausible(n) {
				d.Celsius = number(n)
			}
		case "Drive Trip Temperature":
			if plausible(n) {
				d.MaxCelsius = number(n)
			}
		case "Percentage Used", "Percentage used endurance indicator":
			d.Wear = number(n)
		case "Available Spare":
			d.Spare = number(n)
		case "Available Spare Threshold":
			d.SpareLimit = number(n)
		case "Media and Data Integrity Errors":
			d.Errors = number(n)
		case "Elements in grown defect list":
			d.Reallocated = number(n)
		case "Power On Hours":
			d.Hours = number(n)
		}
	}
}
