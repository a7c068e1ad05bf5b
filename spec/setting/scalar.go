package setting

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/felhom/tend/proxmox/property"
)

// scalar builds the type of a single value from its decoder and Proxmox's codec.
func scalar[T comparable](name string, decode func(any) (T, error), c property.Codec[T], s Schema) Type[T] {
	return Type[T]{
		Name: name,
		Decode: func(in any, at Path, report Report) (T, bool) {
			v, err := decode(in)
			if err != nil {
				report(at, err)
				return v, false
			}
			return v, true
		},
		Encode: func(v T) any { return v },
		Parse:  c.Parse,
		Format: c.Format,
		Text:   func(v T) string { return fmt.Sprint(v) },
		Equal:  func(a, b T) bool { return a == b },
		Schema: s,
	}
}

// kindOf names what a decoded value is, for error messages.
func kindOf(in any) string {
	switch v := in.(type) {
	case nil:
		return "nothing"
	case bool:
		return fmt.Sprintf("the boolean %t", v)
	case json.Number:
		return "the number " + v.String()
	case string:
		return fmt.Sprintf("the text %q", shorten(v))
	case []any:
		return "a list"
	case map[string]any:
		return "a mapping"
	}
	return fmt.Sprintf("a %T", in)
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// Boolean is true or false; 1 or 0 to Proxmox.
func Boolean() Type[bool] {
	t := scalar("true or false", func(in any) (bool, error) {
		if b, ok := in.(bool); ok {
			return b, nil
		}
		return false, fmt.Errorf("%s is not a boolean: write true or false", kindOf(in))
	}, property.Codec[bool](property.Bool{}), Schema{"type": "boolean"})
	t.Text = func(v bool) string {
		if v {
			return "yes"
		}
		return "no"
	}
	return t
}

// wholeNumber decodes a JSON number without a fraction.
func wholeNumber(in any) (int64, error) {
	n, ok := in.(json.Number)
	if !ok {
		return 0, fmt.Errorf("%s is not a whole number", kindOf(in))
	}
	v, err := n.Int64()
	if err != nil {
		return 0, fmt.Errorf("%s is not a whole number", n)
	}
	return v, nil
}

// Integer is a whole number within limits, both included.
func Integer(lowest, highest int64) Type[int64] {
	name := fmt.Sprintf("whole number, %d to %d", lowest, highest)
	t := scalar(name, func(in any) (int64, error) {
		v, err := wholeNumber(in)
		if err != nil {
			return 0, fmt.Errorf("%w: write one from %d to %d", err, lowest, highest)
		}
		if v < lowest || v > highest {
			return 0, fmt.Errorf("%d is outside %d to %d", v, lowest, highest)
		}
		return v, nil
	}, property.Codec[int64](property.Int{}), Schema{"type": "integer", "minimum": lowest, "maximum": highest})
	t.Encode = func(v int64) any { return json.Number(strconv.FormatInt(v, 10)) }
	return t
}

// Number is a decimal fraction within limits; unit is appended in plans.
func Number(lowest, highest float64, unit string) Type[float64] {
	limits := property.Number{}.Format(lowest) + " to " + property.Number{}.Format(highest) + unit
	t := scalar("number, "+limits, func(in any) (float64, error) {
		n, ok := in.(json.Number)
		if !ok {
			return 0, fmt.Errorf("%s is not a number: write one from %s", kindOf(in), limits)
		}
		v, err := n.Float64()
		if err != nil || math.IsNaN(v) || v < lowest || v > highest {
			return 0, fmt.Errorf("%s is outside %s", n, limits)
		}
		return v, nil
	}, property.Codec[float64](property.Number{}), Schema{"type": "number", "minimum": lowest, "maximum": highest})
	t.Encode = func(v float64) any { return json.Number(property.Number{}.Format(v)) }
	t.Text = func(v float64) string { return property.Number{}.Format(v) + unit }
	return t
}

// verbatim is the codec of texts that Proxmox stores as they are.
type verbatim struct{}

func (verbatim) Parse(s string) (string, error) { return s, nil }
func (verbatim) Format(v string) string         { return v }

// Text is a string that check accepts; check's error completes `"value" …`.
func Text(name string, check func(string) error) Type[string] {
	return scalar(name, func(in any) (string, error) {
		s, ok := in.(string)
		if !ok {
			return "", fmt.Errorf("%s is not a text: put it in quotes", kindOf(in))
		}
		if check != nil {
			if err := check(s); err != nil {
				return "", fmt.Errorf("%q %w", shorten(s), err)
			}
		}
		return s, nil
	}, property.Codec[string](verbatim{}), Schema{"type": "string"})
}

// Pattern is a string that matches a regular expression as a whole.
func Pattern(name, expr string) Type[string] {
	re := regexp.MustCompile(`^(?:` + expr + `)$`)
	t := Text(name, func(s string) error {
		if !re.MatchString(s) {
			return errors.New("is not a valid value: write " + article(name) + " " + name)
		}
		return nil
	})
	t.Schema = Schema{"type": "string", "pattern": re.String()}
	return t
}

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeio") {
		return "an"
	}
	return "a"
}

// Enum is one of some words.
func Enum(values ...string) Type[string] {
	name := "one of " + strings.Join(values, ", ")
	t := Text(name, func(s string) error {
		for _, v := range values {
			if s == v {
				return nil
			}
		}
		return errors.New("is not " + name)
	})
	t.Schema = Schema{"type": "string", "enum": values}
	return t
}
