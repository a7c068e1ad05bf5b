package health

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Sensor is something that a node measures, as lm-sensors tells of it.
type Sensor struct {
	Chip    string   `json:"chip"` // "coretemp-isa-0000"
	Name    string   `json:"name"` // "Package id 0"
	Kind    string   `json:"kind"` // "temperature" or "fan"
	Value   float64  `json:"value"`
	Unit    string   `json:"unit"`           // "°C" or "rpm"
	High    *float64 `json:"high,omitempty"` // of a temperature: from here it is too hot
	Crit    *float64 `json:"crit,omitempty"` // of a temperature: from here the machine is in danger
	Low     *float64 `json:"low,omitempty"`  // of a fan: below it is too slow
	Level   Level    `json:"level"`
	Reasons []string `json:"reasons"`
}

// feature are the ends of names under which lm-sensors tells of one sensor ("temp1_input", "temp1_max").
type feature struct {
	prefix, kind, unit string
	high, crit, low    string
}

var features = []feature{
	{"temp", "temperature", "°C", "_max", "_crit", ""},
	{"fan", "fan", "rpm", "", "", "_min"},
}

// ParseSensors reads what "sensors -j" prints: temperatures and fans, by chip and name. What is no measurement, or
// cannot be one, is left out; limits that no machine could reach are none.
func ParseSensors(raw []byte) ([]Sensor, error) {
	var chips map[string]json.RawMessage
	if err := json.Unmarshal(raw, &chips); err != nil {
		return nil, fmt.Errorf("read the output of sensors: %w", err)
	}
	var out []Sensor
	for _, chip := range slices.Sorted(maps.Keys(chips)) {
		var parts map[string]json.RawMessage // "Adapter" is a text, all others are objects
		if json.Unmarshal(chips[chip], &parts) != nil {
			continue
		}
		for _, name := range slices.SortedFunc(maps.Keys(parts), natural) {
			if s, ok := sensorOf(chip, name, parts[name]); ok {
				out = append(out, s)
			}
		}
	}
	return out, nil
}

// natural orders "Core 2" before "Core 10".
func natural(a, b string) int {
	digits := func(s string) (string, int) {
		text := strings.TrimRight(s, "0123456789")
		return text, len(s) - len(text)
	}
	ta, na := digits(a)
	tb, nb := digits(b)
	if ta == tb && na != nb {
		return na - nb
	}
	return strings.Compare(a, b)
}

func sensorOf(chip, name string, raw json.RawMessage) (Sensor, bool) {
	var values map[string]any
	if json.Unmarshal(raw, &values) != nil {
		return Sensor{}, false
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		base, isInput := strings.CutSuffix(key, "_input")
		v, isNumber := values[key].(float64)
		if !isInput || !isNumber {
			continue
		}
		for _, f := range features {
			if strings.TrimRight(base, "0123456789") != f.prefix {
				continue
			}
			s := Sensor{Chip: chip, Name: name, Kind: f.kind, Value: v, Unit: f.unit, High: limit(values, base, f.high), Crit: limit(values, base, f.crit), Low: limit(values, base, f.low)}
			return s.judge(), s.measures()
		}
	}
	return Sensor{}, false
}

// limit is a limit that a sensor tells; nil where there is none, or none that could be reached: chips that have no
// limit say 0, 127 or thousands.
func limit(values map[string]any, base, end string) *float64 {
	v, ok := values[base+end].(float64)
	if end == "" || !ok || v <= 0 || base[0] == 't' && v >= 127 {
		return nil
	}
	return &v
}

// measures reports whether the value may be one: a socket with nothing in it says 0, -128 or the like.
func (s Sensor) measures() bool {
	if s.Kind == "fan" {
		return s.Value > 0 || s.Low != nil
	}
	return s.Value > -40 && s.Value < 150 && s.Value != 0
}

func (s Sensor) judge() Sensor {
	s.Level, s.Reasons = OK, []string{}
	switch {
	case s.Crit != nil && s.Value >= *s.Crit:
		s.Level, s.Reasons = Failing, []string{fmt.Sprintf("%g °C is in danger of harm, from %g °C on", s.Value, *s.Crit)}
	case s.High != nil && s.Value >= *s.High:
		s.Level, s.Reasons = Warning, []string{fmt.Sprintf("%g °C is too hot, from %g °C on", s.Value, *s.High)}
	case s.Low != nil && s.Value < *s.Low:
		s.Level, s.Reasons = Warning, []string{fmt.Sprintf("%g rpm is too slow, below %g rpm", s.Value, *s.Low)}
	}
	return s
}
