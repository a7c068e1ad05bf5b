package proxmox_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
)

func TestParseUPID(t *testing.T) {
	start := time.Date(2026, 11, 23, 8, 13, 54, 0, time.UTC)
	tests := []struct {
		name, text string
		want       proxmox.UPID
		bad        bool
	}{
		{
			name: "of a token", text: "UPID:pve1:00003FCA:0008A814:6B03F5C2:vzcreate:9827:root@pam!lab:",
			want: proxmox.UPID{Node: "pve1", PID: 0x3fca, PStart: 0x8a814, Start: start, Type: "vzcreate", ID: "9827", User: "root@pam!lab"},
		},
		{
			name: "nine digits after 49 days up", text: "UPID:pve1:00003FCA:1FFFFFFFF:6B03F5C2:vzdump::root@pam:",
			want: proxmox.UPID{Node: "pve1", PID: 0x3fca, PStart: 0x1ffffffff, Start: start, Type: "vzdump", User: "root@pam"},
		},
		{
			name: "a move between guests", text: "UPID:a-1:00000001:00000001:6B03F5C2:move_volume:100-mp0>101-mp0:root@pam:",
			want: proxmox.UPID{Node: "a-1", PID: 1, PStart: 1, Start: start, Type: "move_volume", ID: "100-mp0>101-mp0", User: "root@pam"},
		},
		{name: "empty", text: "", bad: true},
		{name: "vzdump had nothing to do", text: "OK", bad: true},
		{name: "no colon at the end", text: "UPID:pve1:00003FCA:0008A814:6B03F5C2:vzcreate:9827:root@pam", bad: true},
		{name: "more after the end", text: "UPID:pve1:00003FCA:0008A814:6B03F5C2:vzcreate:9827:root@pam:\n", bad: true},
		{name: "short pid", text: "UPID:pve1:3FCA:0008A814:6B03F5C2:vzcreate:9827:root@pam:", bad: true},
		{name: "ten digits", text: "UPID:pve1:00003FCA:0123456789:6B03F5C2:vzcreate:9827:root@pam:", bad: true},
		{name: "no user", text: "UPID:pve1:00003FCA:0008A814:6B03F5C2:vzcreate:9827::", bad: true},
		{name: "a slash in the type", text: "UPID:pve1:00003FCA:0008A814:6B03F5C2:vz/create:9827:root@pam:", bad: true},
		{name: "a node that ends in a hyphen", text: "UPID:pve1-:00003FCA:0008A814:6B03F5C2:vzcreate:9827:root@pam:", bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := proxmox.ParseUPID(tt.text)
			if (err != nil) != tt.bad {
				t.Fatalf("error is %v", err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
			if !tt.bad && got.String() != tt.text {
				t.Errorf("String is %q", got)
			}
		})
	}
}

func TestUPIDText(t *testing.T) {
	var none, back struct{ Task proxmox.UPID }
	b, err := json.Marshal(none)
	if err != nil || string(b) != `{"Task":""}` {
		t.Errorf("zero value is %s, %v", b, err)
	}
	if err := json.Unmarshal(b, &back); err != nil || !back.Task.IsZero() {
		t.Errorf("zero value comes back as %v, %v", back.Task, err)
	}
	if err := json.Unmarshal([]byte(`{"Task":"UPID:x"}`), &back); err == nil {
		t.Error("a broken text is taken")
	}
}

func FuzzUPID(f *testing.F) {
	f.Add("UPID:pve1:00003FCA:0008A814:6B03F5C2:vzcreate:9827:root@pam!lab:")
	f.Add("UPID:pve1:00003fca:1FFFFFFFF:6B03F5C2:vzdump::root@pam:")
	f.Add("UPID:a:FFFFFFFF:FFFFFFFFF:FFFFFFFF:t::u:")
	f.Add("OK")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := proxmox.ParseUPID(s)
		if err != nil {
			return
		}
		again, err := proxmox.ParseUPID(u.String())
		if err != nil || again != u {
			t.Errorf("%q is %q, which parses as %v, %v", s, u, again, err)
		}
	})
}
