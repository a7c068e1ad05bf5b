package config

import "testing"

// FuzzFile holds that no file makes the parser panic, and that what it takes is known and has a place.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{"", "endpoint: pve1\ninsecure: true\n", "token: x", "endpoint: [", "- a", "? {a: b}\n: c\n", "a: &x [*x]", "endpoint: !!binary aGk=\n"} {
		f.Add([]byte(seed))
	}
	known := map[Name]bool{}
	for _, s := range Settings() {
		known[s.Name] = s.Name != Token
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		values, err := parseFile("tend.yaml", raw)
		if err != nil {
			return
		}
		for name, v := range values {
			if !known[name] || v.Source == "" {
				t.Errorf("%q is taken from %q", name, v.Source)
			}
		}
	})
}
