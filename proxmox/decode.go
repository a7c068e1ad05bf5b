package proxmox

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/proxmox/property"
)

// decode reads an answer into a value whose struct fields carry the tag `pve:"name"`.
//
// Perl does not tell numbers from strings, so that Proxmox sends the same field now as 2 and now as "2",
// booleans as 0 and 1, and structured texts now as an object and now as a property string. The Go type alone
// says what is meant: numbers and booleans are taken as such or as their text, texts from any scalar,
// [time.Time] and [time.Duration] from seconds, lists of texts from a list or a text with separators, structs
// from an object or a property string. Absent and null leave the zero value, unknown fields are ignored, and
// a value that does not fit is an error that names its field.
func decode(raw json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	dst := reflect.ValueOf(into).Elem()
	if v == nil && (dst.Kind() == reflect.Struct || dst.Kind() == reflect.Slice) {
		return fmt.Errorf("decode answer: it is empty") // an empty list is [] with Proxmox
	}
	if err := assign(dst, v); err != nil {
		return fmt.Errorf("decode answer: data%w", err)
	}
	return nil
}

// A fieldError says which field of an answer does not fit.
type fieldError struct {
	path string // ".cpus", "[3].vmid"
	err  error
}

func (e *fieldError) Error() string { return e.path + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// within puts an element before the path of an error.
func within(element string, err error) error {
	if f, ok := err.(*fieldError); ok {
		f.path = element + f.path
	}
	return err
}

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
)

func assign(dst reflect.Value, v any) error {
	if v == nil {
		return nil
	}
	switch dst.Type() {
	case timeType:
		return assignTime(dst, v)
	case durationType:
		return assignDuration(dst, v)
	}
	if u, ok := dst.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return assignText(u, v)
	}
	switch dst.Kind() {
	case reflect.Struct:
		return assignStruct(dst, v)
	case reflect.Slice:
		return assignSlice(dst, v)
	case reflect.Map:
		return assignMap(dst, v)
	case reflect.Interface:
		dst.Set(reflect.ValueOf(v))
		return nil
	}
	return assignScalar(dst, v)
}

func assignScalar(dst reflect.Value, v any) error {
	s, ok := scalar(v)
	if !ok {
		return mismatch(v, "a text or number")
	}
	switch dst.Kind() {
	case reflect.String:
		dst.SetString(s)
	case reflect.Bool:
		b, err := property.Bool{}.Parse(s)
		if err != nil && s != "" {
			return mismatch(v, "a boolean")
		}
		dst.SetBool(b)
	case reflect.Float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return mismatch(v, "a number")
		}
		dst.SetFloat(f)
	default:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			f, ferr := strconv.ParseFloat(s, 64) // Perl turns large integers into 1e+20
			if ferr != nil {
				return mismatch(v, "a whole number")
			}
			n = int64(f)
		}
		dst.SetInt(n)
	}
	return nil
}

// scalar is a JSON text, number or boolean as text, booleans as 1 and 0.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return property.Bool{}.Format(v), true
	}
	return "", false
}

// A zero time is Perl's way to say that there is none.
func assignTime(dst reflect.Value, v any) error {
	var sec float64
	if err := assignScalar(reflect.ValueOf(&sec).Elem(), v); err != nil {
		return err
	}
	if sec != 0 {
		dst.Set(reflect.ValueOf(time.Unix(int64(sec), 0).UTC()))
	}
	return nil
}

func assignDuration(dst reflect.Value, v any) error {
	var sec float64
	if err := assignScalar(reflect.ValueOf(&sec).Elem(), v); err != nil {
		return err
	}
	dst.SetInt(int64(sec * float64(time.Second)))
	return nil
}

func assignText(u encoding.TextUnmarshaler, v any) error {
	s, ok := scalar(v)
	if !ok {
		return mismatch(v, "a text")
	}
	if err := u.UnmarshalText([]byte(s)); err != nil {
		return &fieldError{err: err}
	}
	return nil
}

func assignStruct(dst reflect.Value, v any) error {
	if s, ok := v.(string); ok {
		pairs, err := property.ParsePairs(s, "")
		if err != nil {
			return &fieldError{err: err}
		}
		m := map[string]any{}
		for _, p := range pairs {
			m[p.Key] = p.Value
		}
		v = m
	}
	m, ok := v.(map[string]any)
	if !ok {
		return mismatch(v, "an object")
	}
	for i := range dst.NumField() {
		f := dst.Type().Field(i)
		if f.Anonymous {
			if err := assignStruct(dst.Field(i), m); err != nil {
				return err
			}
			continue
		}
		if name := f.Tag.Get("pve"); name != "" {
			if err := assign(dst.Field(i), m[name]); err != nil {
				return within("."+name, err)
			}
		}
	}
	return nil
}

func assignSlice(dst reflect.Value, v any) error {
	if s, ok := v.(string); ok && dst.Type().Elem().Kind() == reflect.String {
		parts := property.SplitList(s)
		out := reflect.MakeSlice(dst.Type(), len(parts), len(parts))
		for i, part := range parts {
			out.Index(i).SetString(part)
		}
		dst.Set(out)
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		return mismatch(v, "a list")
	}
	out := reflect.MakeSlice(dst.Type(), len(list), len(list))
	for i, x := range list {
		if err := assign(out.Index(i), x); err != nil {
			return within("["+strconv.Itoa(i)+"]", err)
		}
	}
	dst.Set(out)
	return nil
}

func assignMap(dst reflect.Value, v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return mismatch(v, "an object")
	}
	out := reflect.MakeMapWithSize(dst.Type(), len(m))
	for k, x := range m {
		elem := reflect.New(dst.Type().Elem()).Elem()
		if err := assign(elem, x); err != nil {
			return within("."+k, err)
		}
		out.SetMapIndex(reflect.ValueOf(k).Convert(dst.Type().Key()), elem)
	}
	dst.Set(out)
	return nil
}

func mismatch(v any, want string) error {
	b, _ := json.Marshal(v)
	return &fieldError{err: fmt.Errorf("%s is not %s", shorten(string(b), 60), want)}
}

// shorten cuts a text to about n bytes, at the start of a character.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
