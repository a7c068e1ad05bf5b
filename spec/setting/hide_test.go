package setting_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/spec/setting"
)

// TestHidden shows that what plans tell of an environment are names, in every form that a change is shown in.
func TestHidden(t *testing.T) {
	type vars = map[string]string
	tests := []struct {
		name     string
		row      setting.Row
		old, new any
		want     string // the lines
		shown    string // both values, as JSON
	}{
		{"new", setting.Env, nil, vars{"B": "hush", "A": "hush"}, "+ A, B", `[null,{"A":"•••","B":"•••"}]`},
		{"gone", setting.Env, vars{"B": "hush", "A": "hush"}, nil, "- A, B", `[{"A":"•••","B":"•••"},null]`},
		{
			"changed", setting.Env,
			vars{"A": "hush", "B": "hush", "C": "hush"},
			vars{"A": "hush", "B": "hush2", "D": "hush"},
			"~ B changed, C removed, D added", `[{"A":"•••","B":"••• (changed)","C":"•••"},{"A":"•••","B":"••• (changed)","D":"•••"}]`,
		},
		{
			"raw lines", setting.Raw,
			[]string{"lxc.environment: A=hush", "lxc.devtty.dir: x"},
			[]string{"lxc.environment: A=hush", "lxc.devtty.dir: y"},
			"- lxc.devtty.dir: x\n+ lxc.devtty.dir: y",
			`[[{"lxc.environment":"A=•••"},{"lxc.devtty.dir":"x"}],[{"lxc.environment":"A=•••"},{"lxc.devtty.dir":"y"}]]`,
		},
		{
			"raw lines that differ where it is hidden", setting.Raw,
			[]string{"lxc.environment: A=hush"},
			[]string{"lxc.environment: A=hush2"},
			"~ lxc.environment: A=•••, in what is not shown", `[[{"lxc.environment":"A=•••"}],[{"lxc.environment":"A=•••"}]]`,
		},
		{"others are shown", setting.Memory, setting.GiB, 2 * setting.GiB, "~ 1 GiB → 2 GiB", `["1GiB","2GiB"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ch := setting.Change{Row: tt.row, Old: tt.old, New: tt.new}
			var lines []string
			for _, l := range ch.Lines() {
				lines = append(lines, strings.TrimSpace(l.Mark+" "+l.Text))
			}
			if got := strings.Join(lines, "\n"); got != tt.want {
				t.Errorf("the lines are %q, want %q", got, tt.want)
			}
			old, new := ch.Shown()
			raw, err := json.Marshal([]any{old, new})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.shown, string(raw)); diff != "" {
				t.Errorf("the values (-want +got):\n%s", diff)
			}
			if all := fmt.Sprint(ch.Lines(), string(raw), tt.row.Text(tt.old), tt.row.Text(tt.new)); strings.Contains(all, "hush") {
				t.Errorf("a secret is told: %s", all)
			}
		})
	}
	if _, err := setting.Env.ParseWire("A=1\x00hush"); err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("the error is %v", err)
	}
}
