package property

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bool is the codec of booleans. It reads what Proxmox reads inside property strings and writes 1 and 0,
// the only forms that request parameters take (pve-common JSONSchema.pm, parse_boolean).
type Bool struct{}

// Parse reads 1, 0, on, off, yes, no, true and false in any case.
func (Bool) Parse(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "1", "on", "yes", "true":
		return true, nil
	case "0", "off", "no", "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is not a boolean (1 or 0)", s)
}

// Format writes 1 or 0.
func (Bool) Format(v bool) string {
	if v {
		return "1"
	}
	return "0"
}

// Int is the codec of whole numbers.
type Int struct{}

// Parse reads a decimal whole number.
func (Int) Parse(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", s)
	}
	return n, nil
}

// Format writes the number in decimal.
func (Int) Format(v int64) string { return strconv.FormatInt(v, 10) }

// Number is the codec of decimal fractions such as cpulimit and rate.
type Number struct{}

// Parse reads digits with at most one decimal point: the form that survives the config file
// (pve-container LXC/Config.pm, parse_pct_config).
func (Number) Parse(s string) (float64, error) {
	s = strings.TrimSpace(s)
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, fmt.Errorf("%q is not a number", s)
	}
	return f, nil
}

// Format writes the shortest decimal text without an exponent.
func (Number) Format(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// Size is the codec of disk sizes in bytes, as they stand in volumes ("8G", "512M").
type Size struct{}

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}

// Parse reads a whole or decimal number with an optional suffix K, M, G or T (powers of 1024)
// (pve-common JSONSchema.pm, parse_size).
func (Size) Parse(s string) (int64, error) {
	num, unit := strings.TrimSpace(s), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(num, u.suffix); ok {
			num, unit = rest, u.bytes
			break
		}
	}
	if n, err := strconv.ParseUint(num, 10, 63); err == nil && int64(n) <= math.MaxInt64/unit {
		return int64(n) * unit, nil // exact, where a fraction is not beyond 2^53
	}
	f, err := Number{}.Parse(num)
	if err != nil || f*float64(unit) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size (a number with K, M, G or T)", s)
	}
	return int64(f * float64(unit)), nil
}

// Format writes the size with the largest suffix that divides it exactly, else in bytes; zero is "0T"
// (pve-common JSONSchema.pm, format_size).
func (Size) Format(v int64) string {
	for _, u := range sizeUnits {
		if v%u.bytes == 0 {
			return strconv.FormatInt(v/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(v, 10)
}
