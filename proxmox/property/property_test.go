package property_test

import (
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox/property"
)

func TestParsePairs(t *testing.T) {
	tests := []struct {
		name, text, defaultKey string
		want                   property.Pairs
		bad                    bool
		format                 string // where it differs from text
	}{
		{name: "network", text: "name=eth0,bridge=vmbr0", want: property.Pairs{{"name", "eth0"}, {"bridge", "vmbr0"}}},
		{name: "default key", text: "local:8,mp=/x", defaultKey: "volume", want: property.Pairs{{"volume", "local:8"}, {"mp", "/x"}}},
		{name: "default key by name", text: "mp=/x,volume=a", defaultKey: "volume", want: property.Pairs{{"mp", "/x"}, {"volume", "a"}}, format: "mp=/x,a"},
		{name: "default key by name for its value's sake", text: "volume=/a=b", defaultKey: "volume", want: property.Pairs{{"volume", "/a=b"}}},
		{name: "value with =", text: "options=a=b;c", want: property.Pairs{{"options", "a=b;c"}}},
		{name: "empty", text: ""},
		{name: "empty elements", text: ",a=1, ,b=2,", want: property.Pairs{{"a", "1"}, {"b", "2"}}, format: "a=1,b=2"},
		{name: "blanks are part of it", text: "a= 1", want: property.Pairs{{"a", " 1"}}},

		{name: "no default key", text: "eth0", bad: true},
		{name: "two default values", text: "a,b", defaultKey: "volume", bad: true},
		{name: "default value and its key", text: "a,volume=b", defaultKey: "volume", bad: true},
		{name: "twice", text: "a=1,a=2", bad: true},
		{name: "no key", text: "=1", bad: true},
		{name: "no value", text: "a=", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := property.ParsePairs(tt.text, tt.defaultKey)
			if (err != nil) != tt.bad {
				t.Fatalf("error is %v", err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if tt.format == "" {
				tt.format = tt.text
			}
			if f := got.Format(tt.defaultKey); !tt.bad && f != tt.format {
				t.Errorf("formatted as %q, want %q", f, tt.format)
			}
		})
	}
}

func TestPairs(t *testing.T) {
	p := property.Pairs{{"a", "1"}, {"b", "2"}}
	if v, ok := p.Get("b"); v != "2" || !ok {
		t.Errorf("b is %q, %v", v, ok)
	}
	if v, ok := p.Get("c"); v != "" || ok {
		t.Errorf("c is %q, %v", v, ok)
	}
	if d := cmp.Diff(property.Pairs{{"a", "9"}, {"b", "2"}}, p.Set("a", "9")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(property.Pairs{{"a", "1"}, {"b", "2"}, {"c", "3"}}, p.Set("c", "3")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(property.Pairs{{"b", "2"}}, p.Delete("a")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(property.Pairs{{"a", "1"}, {"b", "2"}}, p); d != "" {
		t.Errorf("changed by its methods: %s", d)
	}
}

func TestSplitList(t *testing.T) {
	want := []string{"a", "b", "c", "d"}
	for _, s := range []string{"a,b,c,d", "a;b;c;d", "a b\tc\nd", "a\x00b\x00c\x00d", ",,a; b ,c\r\nd,"} {
		if d := cmp.Diff(want, property.SplitList(s)); d != "" {
			t.Errorf("%q: %s", s, d)
		}
	}
	if got := property.SplitList(" ,;"); len(got) != 0 {
		t.Errorf("nothing splits into %q", got)
	}
}

// A scalarTest is a text with its value, or none where it is not one; format is the canonical text.
type scalarTest[T any] struct {
	text   string
	want   T
	bad    bool
	format string
}

func testCodec[T comparable](t *testing.T, c property.Codec[T], tests []scalarTest[T]) {
	t.Helper()
	for _, tt := range tests {
		got, err := c.Parse(tt.text)
		if (err != nil) != tt.bad || got != tt.want {
			t.Errorf("%q is %v, %v", tt.text, got, err)
			continue
		}
		if f := c.Format(got); !tt.bad && f != tt.format {
			t.Errorf("%q is formatted as %q, want %q", tt.text, f, tt.format)
		}
	}
}

func TestBool(t *testing.T) {
	testCodec(t, property.Bool{}, []scalarTest[bool]{
		{"1", true, false, "1"},
		{"on", true, false, "1"},
		{"YES", true, false, "1"},
		{"True", true, false, "1"},
		{"0", false, false, "0"},
		{"off", false, false, "0"},
		{"No", false, false, "0"},
		{"false", false, false, "0"},
		{"", false, true, ""},
		{"2", false, true, ""},
		{"y", false, true, ""},
	})
}

func TestInt(t *testing.T) {
	testCodec(t, property.Int{}, []scalarTest[int64]{
		{"512", 512, false, "512"},
		{" 007 ", 7, false, "7"},
		{"-1", -1, false, "-1"},
		{"9223372036854775807", math.MaxInt64, false, "9223372036854775807"},
		{"9223372036854775808", 0, true, ""},
		{"1.5", 0, true, ""},
		{"0x10", 0, true, ""},
		{"", 0, true, ""},
	})
}

func TestNumber(t *testing.T) {
	testCodec(t, property.Number{}, []scalarTest[float64]{
		{"1", 1, false, "1"},
		{"0.50", 0.5, false, "0.5"},
		{"100000000000000000000000", 1e23, false, "100000000000000000000000"},
		{"1e3", 0, true, ""},
		{"-1", 0, true, ""},
		{"1.2.3", 0, true, ""},
		{".", 0, true, ""},
		{"NaN", 0, true, ""},
		{"", 0, true, ""},
	})
}

func TestSize(t *testing.T) {
	testCodec(t, property.Size{}, []scalarTest[int64]{
		{"8G", 8 << 30, false, "8G"},
		{"1024M", 1 << 30, false, "1G"},
		{"1.5G", 3 << 29, false, "1536M"},
		{"4T", 4 << 40, false, "4T"},
		{"1000", 1000, false, "1000"},
		{"2K", 2048, false, "2K"},
		{"0", 0, false, "0T"},
		{"9007199254740993", 9007199254740993, false, "9007199254740993"}, // more than a float64 holds
		{"8388607T", 8388607 << 40, false, "8388607T"},
		{"8388608T", 0, true, ""},
		{"8g", 0, true, ""},
		{"8GiB", 0, true, ""},
		{"-1G", 0, true, ""},
		{"+1G", 0, true, ""},
		{"G", 0, true, ""},
		{"", 0, true, ""},
	})
}

func FuzzPairs(f *testing.F) {
	f.Add("name=eth0,bridge=vmbr0", "")
	f.Add("local:8,mp=/x,ro=1", "volume")
	f.Add("volume=/a=b", "volume")
	f.Add(",, ,a=\x00", "a")
	f.Add("a= ", "a")
	f.Fuzz(func(t *testing.T, s, defaultKey string) {
		if strings.ContainsAny(defaultKey, ",=") || strings.TrimSpace(defaultKey) != defaultKey {
			return // keys of a schema are words
		}
		p, err := property.ParsePairs(s, defaultKey)
		if err != nil {
			return
		}
		text := p.Format(defaultKey)
		again, err := property.ParsePairs(text, defaultKey)
		if err != nil || !cmp.Equal(p, again) {
			t.Errorf("%q is %q, formatted as %q, which is %q, %v", s, p, text, again, err)
		}
		if canonical := again.Format(defaultKey); canonical != text {
			t.Errorf("%q is formatted as %q, that as %q", s, text, canonical)
		}
	})
}

// fuzzCodec holds a codec against its contract: Parse(Format(v)) is v.
func fuzzCodec[T comparable](t *testing.T, c property.Codec[T], s string) {
	t.Helper()
	v, err := c.Parse(s)
	if err != nil {
		return
	}
	text := c.Format(v)
	again, err := c.Parse(text)
	if err != nil || again != v || c.Format(again) != text {
		t.Errorf("%T: %q is %v, formatted as %q, which is %v, %v", c, s, v, text, again, err)
	}
}

func FuzzScalars(f *testing.F) {
	for _, s := range []string{"1", "yes", "0", "-7", "1.5", "0.1", "8G", "1.5T", "9007199254740993", "8388607T", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fuzzCodec(t, property.Bool{}, s)
		fuzzCodec(t, property.Int{}, s)
		fuzzCodec(t, property.Number{}, s)
		fuzzCodec(t, property.Size{}, s)
	})
}

var separators = regexp.MustCompile(`[,;\x00 \t\n\r]`)

func FuzzSplitList(f *testing.F) {
	f.Add("a,b;c d\x00e")
	f.Fuzz(func(t *testing.T, s string) {
		list := property.SplitList(s)
		if got, want := strings.Join(list, ""), separators.ReplaceAllString(s, ""); got != want && strings.ToValidUTF8(s, "") == s {
			t.Errorf("%q loses text: %q", s, list)
		}
		if !cmp.Equal(property.SplitList(strings.Join(list, ",")), list) {
			t.Errorf("%q splits into %q, which does not last", s, list)
		}
	})
}
