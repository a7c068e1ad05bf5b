package pct_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/pct"
)

func TestParse(t *testing.T) {
	type options = map[string]string
	tests := []struct {
		name, text string
		want       []pct.Container
		bad        string
	}{
		{
			name: "all forms of options",
			text: "pct create 120 local:vztmpl/debian-13.tar.zst --hostname media --cores=2 -memory 1024 \\\n  --net0 name=eth0,bridge=vmbr0,ip=dhcp --unprivileged --start 1 --tags 'a;b'\n",
			want: []pct.Container{{
				ID: 120, Template: "local:vztmpl/debian-13.tar.zst",
				Values: proxmox.Values{
					"hostname": "media", "cores": "2", "memory": "1024", "net0": "name=eth0,bridge=vmbr0,ip=dhcp", "unprivileged": "1", "tags": "a;b",
				},
				Options: options{"start": "1"},
			}},
		},
		{
			name: "quotes",
			text: `sudo /usr/sbin/pct create 101 x.tar --description "It's \"here\" \n" --hookscript lo'cal:snip'pets/a\ b.sh --password ''`,
			want: []pct.Container{{
				ID: 101, Template: "x.tar", Values: proxmox.Values{"description": `It's "here" \n`, "hookscript": "local:snippets/a b.sh"},
				Options: options{"password": ""},
			}},
		},
		{
			name: "a script",
			text: "# makes it\n\npct create 101 x.tar --cores 1 --swap 0; pct set 101 --cores 2 --delete swap && pct start 101\npct create 102 y.tar # another\n",
			want: []pct.Container{
				{ID: 101, Template: "x.tar", Values: proxmox.Values{"cores": "2"}, Options: options{"start": "1"}},
				{ID: 102, Template: "y.tar", Values: proxmox.Values{}, Options: options{}},
			},
		},
		{name: "negative numbers are values", text: "pct create 101 x.tar --bwlimit -1", want: []pct.Container{{ID: 101, Template: "x.tar", Values: proxmox.Values{}, Options: options{"bwlimit": "-1"}}}},
		{name: "set without create", text: "pct set 101 --cores 2", bad: "line 1: container 101 is meant, but no pct create stands before it"},
		{name: "nothing", text: "# none\n", bad: "there is no pct create command"},
		{name: "variables", text: "pct create 101 \"$TEMPLATE\"", bad: `line 1: "$" needs a shell`},
		{name: "substitution", text: "pct create `next` x", bad: "needs a shell"},
		{name: "another tool", text: "\nqm create 101", bad: `line 2: "qm" is not a pct command`},
		{name: "another verb", text: "pct destroy 101", bad: "pct destroy says nothing about settings"},
		{name: "no VMID", text: "pct create web x.tar", bad: `"web" is not a VMID`},
		{name: "no template", text: "pct create 101 --cores 1", bad: "the template is missing"},
		{name: "twice", text: "pct create 101 a\npct create 101 b", bad: "line 2: container 101 is created twice"},
		{name: "stray word", text: "pct create 101 a b", bad: `"b" is not an option`},
		{name: "open quote", text: "pct create 101 'a", bad: "line 1: a single quote is not closed"},
		{name: "open double quote", text: "pct create 101 \"a", bad: "a double quote is not closed"},
		{name: "only hyphens", text: "pct create 101 a --", bad: `"--" is not an option`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := pct.Parse(tt.text)
			if tt.bad != "" {
				if err == nil || !strings.Contains(err.Error(), tt.bad) {
					t.Fatalf("error is %v, want %q", err, tt.bad)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("pct create 120 local:vztmpl/a --net0 'name=eth0' \\\n --cores=2 # x\npct set 120 --delete net0 && pct start 120")
	f.Add("pct create 101 \"a\\\"b\" ; ")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := pct.Parse(text)
		if err != nil {
			return
		}
		seen := map[proxmox.VMID]bool{}
		for _, c := range all {
			if seen[c.ID] || c.Template == "" || c.ID < proxmox.MinVMID {
				t.Errorf("%q: %v", text, c)
			}
			seen[c.ID] = true
		}
		// A word in single quotes is that word.
		if quoted, err := pct.Parse("pct create 999 '" + strings.ReplaceAll(text, "'", `'\''`) + "'"); err == nil && text != "" {
			if !strings.HasPrefix(text, "-") && quoted[0].Template != strings.ReplaceAll(text, "\r\n", "\n") {
				t.Errorf("%q is read as %q", text, quoted[0].Template)
			}
		}
	})
}
