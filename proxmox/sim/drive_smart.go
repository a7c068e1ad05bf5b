package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func (s *Sim) drive(node, device string) *Drive {
	list := s.st.Nodes[node].Drives
	if i := slices.IndexFunc(list, func(d *Drive) bool { return d.Device == device }); i >= 0 {
		return list[i]
	}
	return nil
}

// An attribute is a row of the table of ATA disks.
type attribute struct {
	id                 int
	name, flags        string
	value, worst, fail int
	raw                int
}

// attributes are those that a disk of SATA has.
func (d *Drive) attributes() []attribute {
	out := []attribute{
		{5, "Reallocated_Sector_Ct", "PO--CK", 100, 100, 10, d.Reallocated},
		{9, "Power_On_Hours", "-O--CK", 99, 99, 0, d.Hours},
	}
	if d.flash() {
		out = append(out, attribute{177, "Wear_Leveling_Count", "PO--C-", 100 - d.Used, 100 - d.Used, 0, d.Used * 15})
	}
	if d.Celsius > 0 {
		out = append(out, attribute{194, "Temperature_Celsius", "-O---K", 100 - d.Celsius, 50, 0, d.Celsius})
	}
	return append(out,
		attribute{197, "Current_Pending_Sector", "-O--CK", 100, 100, 0, d.Pending},
		attribute{198, "Offline_Uncorrectable", "----CK", 100, 100, 0, d.Errors})
}

// diskSmart is API2/Disks.pm, smart: what cannot be asked is UNKNOWN, and no error.
func diskSmart(c *call) (any, error) {
	device := c.str("disk")
	d := c.sim.drive(c.node, device)
	if d == nil { // verify_blockdev_path
		return nil, dief("failed to get absolute path to %s", device)
	}
	switch {
	case c.on("healthonly"):
		return map[string]any{"health": d.said()}, nil
	case !d.asked():
		return map[string]any{"health": "UNKNOWN"}, nil
	case d.Type == "nvme":
		return map[string]any{"health": d.said(), "type": "text", "text": d.text(), "wearout": 100 - d.Used}, nil
	}
	rows := []map[string]any{}
	for _, a := range d.attributes() {
		rows = append(rows, map[string]any{
			"id": fmt.Sprintf("%3d", a.id), "name": a.name, "flags": a.flags, "value": a.value, "normalized": a.value, "worst": a.worst,
			"threshold": a.fail, "fail": "-", "raw": strconv.Itoa(a.raw),
		})
	}
	return map[string]any{"health": d.said(), "type": "ata", "attributes": rows}, nil
}

// text is what smartctl says of an NVMe disk.
func (d *Drive) text() string {
	var b strings.Builder
	b.WriteString("\nSMART/Health Information (NVMe Log 0x02, NSID 0xffffffff)\n")
	for _, l := range []struct{ name, value string }{
		{"Critical Warning", fmt.Sprintf("0x%02x", d.critical())},
		{"Temperature", strconv.Itoa(d.Celsius) + " Celsius"},
		{"Available Spare", "100%"},
		{"Available Spare Threshold", "10%"},
		{"Percentage Used", strconv.Itoa(d.Used) + "%"},
		{"Power On Hours", strconv.Itoa(d.Hours)},
		{"Media and Data Integrity Errors", strconv.Itoa(d.Errors)},
	} {
		fmt.Fprintf(&b, "%-36s%s\n", l.name+":", l.value)
	}
	return b.String()
}

func (d *Drive) critical() int {
	if d.said() == "PASSED" {
		return 0
	}
	return 4 // its reliability is degraded
}

// smartctl is smartmontools' program, asked for everything as JSON.
func (r *Root) smartctl(_ context.Context, words []string, _ []byte) (shellReply, error) {
	if len(words) != 3 || words[0] != "--json" || words[1] != "--all" {
		return shellReply{}, unknownCommand(words)
	}
	r.sim.mu.RLock()
	defer r.sim.mu.RUnlock()
	d := r.sim.drive(r.node, words[2])
	doc := map[string]any{
		"json_format_version": []int{1, 0}, "local_time": map[string]any{"time_t": r.sim.opts.Now().Unix()},
		"device": map[string]any{"name": words[2], "info_name": words[2]},
	}
	if d == nil || !d.asked() {
		text := "Smartctl open device: " + words[2] + " failed: No such device"
		doc["smartctl"] = map[string]any{"exit_status": 2, "messages": []any{map[string]any{"string": text, "severity": "error"}}}
		return jsonReply(doc, 2), nil
	}
	exit := 0
	if d.said() != "PASSED" {
		exit = 8 // the disk is failing
	}
	doc["smartctl"] = map[string]any{"exit_status": exit}
	d.smartJSON(doc)
	return jsonReply(doc, exit), nil
}

func (d *Drive) smartJSON(doc map[string]any) {
	device := doc["device"].(map[string]any)
	device["protocol"], device["type"] = "ATA", "sat"
	doc["model_name"], doc["serial_number"] = strings.ReplaceAll(d.Model, "_", " "), d.Serial
	doc["user_capacity"] = map[string]any{"bytes": int64(d.Size)}
	doc["smart_status"] = map[string]any{"passed": d.said() == "PASSED"}
	doc["power_on_time"] = map[string]any{"hours": d.Hours}
	if d.Celsius > 0 {
		doc["temperature"] = map[string]any{"current": d.Celsius}
	}
	if d.Type == "nvme" {
		device["protocol"], device["type"] = "NVMe", "nvme"
		doc["nvme_smart_health_information_log"] = map[string]any{
			"critical_warning": d.critical(), "temperature": d.Celsius, "available_spare": 100, "available_spare_threshold": 10,
			"percentage_used": d.Used, "power_on_hours": d.Hours, "media_errors": d.Errors,
		}
		return
	}
	doc["rotation_rate"] = map[bool]int{true: 0, false: 7200}[d.flash()]
	table := []any{}
	for _, a := range d.attributes() {
		table = append(table, map[string]any{
			"id": a.id, "name": a.name, "value": a.value, "worst": a.worst, "thresh": a.fail, "when_failed": "",
			"raw": map[string]any{"value": a.raw, "string": strconv.Itoa(a.raw)},
		})
	}
	doc["ata_smart_attributes"] = map[string]any{"revision": 16, "table": table}
}

// sensors is lm-sensors' program, asked for JSON.
func (r *Root) sensors(_ context.Context, words []string, _ []byte) (shellReply, error) {
	if !slices.Equal(words, []string{"-j"}) {
		return shellReply{}, unknownCommand(words)
	}
	r.sim.mu.RLock()
	defer r.sim.mu.RUnlock()
	chips := r.sim.st.Nodes[r.node].Sensors
	if len(chips) == 0 {
		return shellReply{stderr: "No sensors found!\n", exit: 1}, nil
	}
	doc := map[string]map[string]any{}
	for chip, list := range chips {
		doc[chip] = map[string]any{"Adapter": "ISA adapter"}
		for name, values := range list {
			doc[chip][name] = values
		}
	}
	return jsonReply(doc, 0), nil
}

// jsonReply is a command that prints a document of texts and numbers, which can always be written.
func jsonReply(doc any, exit int) shellReply {
	text, _ := json.MarshalIndent(doc, "", "  ")
	return shellReply{stdout: string(text) + "\n", exit: exit}
}
