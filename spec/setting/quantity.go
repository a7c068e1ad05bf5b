package setting

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox/property"
)

// Bytes is an amount of memory or storage, in bytes.
type Bytes int64

// The units in which authors write amounts.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

var units = []struct {
	name string
	size Bytes
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}

// String is the amount in the largest unit that divides it exactly: "4 GiB".
func (b Bytes) String() string { return b.format(" ") }

// Spec is the amount as authors write it: "4GiB".
func (b Bytes) Spec() string { return b.format("") }

func (b Bytes) format(space string) string {
	if b == 0 {
		return "0" + space + "MiB"
	}
	for _, u := range units {
		if b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + space + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + space + "B"
}

var quantityRE = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)[ ]?([A-Za-z]+)$`)

// ParseBytes reads an amount with its unit, "512MiB" or "1.5GiB". A number without a unit is an error: what
// it means would be a guess.
func ParseBytes(s string) (Bytes, error) {
	m := quantityRE.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, errors.New("is not an amount with a unit: write for example 512MiB or 4GiB")
	}
	for _, u := range units {
		if m[2] == u.name {
			f, err := strconv.ParseFloat(m[1], 64)
			if err != nil || f*float64(u.size) > float64(1<<62) {
				return 0, errors.New("is too large")
			}
			return Bytes(f * float64(u.size)), nil
		}
	}
	return 0, fmt.Errorf("has the unit %q: the units are KiB, MiB, GiB and TiB (powers of 1024)", m[2])
}

// Amount is a Bytes that authors write with a unit. unit is what Proxmox counts in; lowest is in bytes.
func Amount(lowest, unit Bytes, c property.Codec[Bytes]) Type[Bytes] {
	name := "amount with a unit (KiB, MiB, GiB, TiB)"
	t := scalar(name, func(in any) (Bytes, error) {
		if n, ok := in.(json.Number); ok {
			return 0, fmt.Errorf("%s has no unit: write for example %sMiB or %sGiB", n, n, n)
		}
		s, ok := in.(string)
		if !ok {
			return 0, fmt.Errorf("%s is not an %s", kindOf(in), name)
		}
		v, err := ParseBytes(s)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%q %w", shorten(s), err)
		case v < lowest:
			return 0, fmt.Errorf("%q is below the minimum of %s", s, lowest)
		case v%unit != 0:
			return 0, fmt.Errorf("%q is not a whole number of %s", s, strings.TrimPrefix(unit.String(), "1 "))
		}
		return v, nil
	}, c, Schema{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)? ?(KiB|MiB|GiB|TiB)$`})
	t.Encode = func(v Bytes) any { return v.Spec() }
	t.Text = Bytes.String
	return t
}

// inMiB is the codec of amounts that Proxmox counts in MiB, such as memory.
type inMiB struct{}

func (inMiB) Parse(s string) (Bytes, error) {
	n, err := property.Int{}.Parse(s)
	return Bytes(n) * MiB, err
}
func (inMiB) Format(v Bytes) string { return property.Int{}.Format(int64(v / MiB)) }

// diskSize is the codec of the size in a volume's property string.
type diskSize struct{}

func (diskSize) Parse(s string) (Bytes, error) {
	n, err := property.Size{}.Parse(s)
	return Bytes(n), err
}
func (diskSize) Format(v Bytes) string { return property.Size{}.Format(int64(v)) }

// seconds is the codec of durations that Proxmox counts in seconds.
type seconds struct{}

func (seconds) Parse(s string) (time.Duration, error) {
	n, err := property.Int{}.Parse(s)
	return time.Duration(n) * time.Second, err
}

func (seconds) Format(v time.Duration) string { return property.Int{}.Format(int64(v / time.Second)) }

// Duration is a span of time that Proxmox counts in seconds.
func Duration() Type[time.Duration] {
	t := scalar("duration with a unit (30s, 2m, 1h)", func(in any) (time.Duration, error) {
		if n, ok := in.(json.Number); ok {
			return 0, fmt.Errorf("%s has no unit: write for example %ss", n, n)
		}
		s, ok := in.(string)
		if !ok {
			return 0, fmt.Errorf("%s is not a duration: write for example 30s", kindOf(in))
		}
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 || d%time.Second != 0 {
			return 0, fmt.Errorf("%q is not a duration in whole seconds: write for example 30s or 2m", shorten(s))
		}
		return d, nil
	}, property.Codec[time.Duration](seconds{}), Schema{"type": "string", "pattern": `^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`})
	t.Encode = func(v time.Duration) any { return durationText(v) }
	t.Text = durationText
	return t
}

// durationText is a duration without zero parts: "2m", not "2m0s".
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
