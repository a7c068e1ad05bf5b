package doctor

import (
	"fmt"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox/health"
)

// Disks tells how the disks and sensors of nodes are, and what could not be read. now is when it is told.
func Disks(nodes []*health.Node, now time.Time) (out []Finding) {
	for _, n := range nodes {
		area := "disks of " + n.Name
		for _, d := range n.Disks {
			out = append(out, diskFinding(n, area, d, now))
		}
		for _, b := range n.Storages {
			if b.Unknown != "" {
				out = append(out, Finding{Level: Note, Area: "storage " + b.Storage, Text: "on which disks of " + n.Name + " it lies is not wholly known, so that a failing one blocks nothing: " + b.Unknown})
			}
		}
		if len(n.Sensors) > 0 {
			out = append(out, sensorFinding(n))
		}
		for _, g := range n.Gaps {
			out = append(out, Finding{Note, area, g.What + " are not known: " + g.Why, strings.Join(g.Ways, "; ")})
		}
	}
	return out
}

func diskFinding(n *health.Node, area string, d health.Disk, now time.Time) Finding {
	parts := []string{strings.TrimSpace(d.Device + " " + d.Model)}
	if d.Level == health.NotKnown {
		parts = append(parts, "its health check says nothing"+said(d.Said))
	}
	parts = append(parts, d.Reasons...)
	if d.Wear != nil && len(d.Reasons) == 0 {
		parts = append(parts, fmt.Sprintf("%d %% of its endurance is used", *d.Wear))
	}
	if d.Celsius != nil && len(d.Reasons) == 0 {
		parts = append(parts, fmt.Sprintf("%d °C", *d.Celsius))
	}
	if below := n.StoragesOf(d.Device); len(below) > 0 {
		parts = append(parts, "below "+strings.Join(below, ", "))
	}
	if age := d.Age(now); age >= 2*time.Second {
		parts = append(parts, fmt.Sprintf("read %s ago", age.Round(time.Second)))
	}
	f := Finding{Area: area, Text: strings.Join(parts, ", ")}
	switch d.Level {
	case health.OK:
	case health.Warning:
		f.Level, f.Hint = Warning, "see that there are backups of what is on it"
	case health.Failing:
		f.Level, f.Hint = Blocking, "replace it; until then nothing new is put on its storages, unless --allow-failing-disk "+n.Name+":"+d.Name()+" is given"
	case health.NotKnown:
		f.Level = Note
	}
	return f
}

func said(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

func sensorFinding(n *health.Node) Finding {
	f := Finding{Area: "sensors of " + n.Name}
	var texts, bad []string
	for _, s := range n.Sensors {
		texts = append(texts, fmt.Sprintf("%s %.4g %s", s.Name, s.Value, s.Unit))
		for _, r := range s.Reasons {
			bad = append(bad, s.Name+": "+r)
		}
	}
	if len(bad) > 0 {
		f.Level, f.Text = Warning, strings.Join(bad, "; ")
		return f
	}
	f.Text = strings.Join(texts, ", ")
	return f
}
