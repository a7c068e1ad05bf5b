package config

import "testing"

// FuzzFile holds that no file makes the parser panic, and that what it takes is known and has a place.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		"", "endpoint: pve1\ninsecure: true\n", "token: x", "endpoint: [", "- a", "? {a: b}\n: c\n", "a: &x [*x]", "endpoint: !!binary aGk=\n",
		"source: {git: https://git.example.com/a.git, auth: {user: a}}\nwindows: [{schedule: sun 03:00, duration: 2h}]\nmodes: {101: off}\nbudget: {restartsPerDay: 2}\n", "windows: [[]]", "modes: {a: b}", "source: [git]",
	} {
		f.Add([]byte(seed))
	}
	known := map[Name]bool{}
	for _, s := range Settings() {
		known[s.Name] = s.Name != Token
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		values, _, err := parseFile("tend.yaml", raw)
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
