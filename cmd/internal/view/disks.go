package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox/health"
)

// diskTables writes the disks and sensors of nodes. now is when it is shown.
func diskTables(out *printer, s Style, nodes []*health.Node, now time.Time) {
	for _, n := range nodes {
		if len(n.Disks)+len(n.Sensors)+len(n.Gaps) == 0 {
			continue
		}
		out.line("")
		out.line("%s", s.paint(bold, cut("disks of "+Clean(n.Name)+readAgo(n, now)+failing(n), s.width())))
		diskTable(out, s, n)
		sensorLines(out, s, n)
		l := layout{Style: s}
		for _, g := range n.Gaps {
			if g.Minor {
				continue
			}
			l.hanging(out, "! "+Clean(g.What)+" are not known: "+Clean(g.Why), gap)
			for _, w := range g.Ways {
				l.hanging(out, "→ "+Clean(w), gap+2)
			}
		}
	}
}

// readAgo tells how old the oldest reading is.
func readAgo(n *health.Node, now time.Time) string {
	age := time.Duration(0)
	for _, d := range n.Disks {
		age = max(age, d.Age(now))
	}
	switch {
	case len(n.Disks) == 0:
		return ""
	case age < 2*time.Second:
		return ", read just now"
	}
	return ", read " + uptime(age) + " ago"
}

// failing counts the disks that are.
func failing(n *health.Node) string {
	count := 0
	for _, d := range n.Disks {
		if d.Level == health.Failing {
			count++
		}
	}
	if count == 0 {
		return ""
	}
	return fmt.Sprintf(" · %d failing", count)
}

func diskTable(out *printer, s Style, n *health.Node) {
	rows := make([][]string, len(n.Disks))
	widths := make([]int, 6)
	for i, d := range n.Disks {
		rows[i] = []string{Clean(d.Name()), Clean(d.Model), size(d.Size), string(d.Level), wearOf(d), celsiusOf(d)}
		for c, cell := range rows[i] {
			widths[c] = max(widths[c], cells(cell))
		}
	}
	widths[1] = min(widths[1], s.width()/4)
	for i, d := range n.Disks {
		line, at := "  ", gap
		for c, cell := range rows[i] {
			if widths[c] == 0 {
				continue
			}
			cell = pad(cut(cell, widths[c]), widths[c])
			if c == 3 {
				cell = s.paint(levelTone(d.Level), cell)
			}
			line, at = line+cell+"  ", at+widths[c]+gap
		}
		if below := strings.Join(n.StoragesOf(d.Device), ", "); below != "" && at+8 <= s.width() {
			line += s.paint(dim, cut(Clean(below), s.width()-at))
		}
		out.line("%s", strings.TrimRight(line, " "))
		reasons := d.Reasons
		if d.Level == health.NotKnown && d.Said != "" {
			reasons = []string{"its own health check says: " + d.Said}
		}
		for _, r := range reasons {
			for _, l := range wrap(Clean(r), s.width()-6) {
				out.line("      %s", s.paint(dim, l))
			}
		}
	}
}

func wearOf(d health.Disk) string {
	if d.Wear == nil {
		return ""
	}
	return fmt.Sprintf("%d %% used", *d.Wear)
}

func celsiusOf(d health.Disk) string {
	if d.Celsius == nil {
		return ""
	}
	return fmt.Sprintf("%d °C", *d.Celsius)
}

func levelTone(l health.Level) Tone {
	switch l {
	case health.OK:
		return green
	case health.Failing:
		return red
	case health.Warning:
		return yellow
	}
	return plain
}

// sensorLines writes all sensors in few lines, those that are not well each in its own.
func sensorLines(out *printer, s Style, n *health.Node) {
	var parts []string
	for _, x := range n.Sensors {
		parts = append(parts, fmt.Sprintf("%s %.4g %s", Clean(x.Name), x.Value, x.Unit))
	}
	for i, l := range wrap(strings.Join(parts, ", "), s.width()-gap-9) {
		head := "sensors"
		if i > 0 {
			head = ""
		}
		if l != "" {
			out.line("  %-7s  %s", head, l)
		}
	}
	for _, x := range n.Sensors {
		for _, r := range x.Reasons {
			for _, l := range wrap("! "+Clean(x.Name)+" ("+Clean(x.Chip)+"): "+r, s.width()-gap) {
				out.line("  %s", s.paint(levelTone(x.Level), l))
			}
		}
	}
}

// size is an amount of a disk, in the units in which disks are sold.
func size(n int64) string {
	v, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	for v >= 999.5 && unit < len(units)-1 {
		v, unit = v/1000, unit+1
	}
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("%.3g %s", v, units[unit])
}
