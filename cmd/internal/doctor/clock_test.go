package doctor_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/cmd/internal/doctor"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
)

// A slow way to a node takes its time there, and back.
type slow struct {
	proxmox.Transport
	there, back time.Duration
}

func (s slow) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	time.Sleep(s.there)
	defer time.Sleep(s.back)
	return s.Transport.Do(ctx, r)
}

// TestClock compares clocks over ways that are fast and slow, at every part of a second. How slow the way is must
// neither make a difference of clocks nor change how one reads.
func TestClock(t *testing.T) {
	const ms = time.Millisecond
	const agrees = "ok clock of pve1: agrees with this machine's"
	tests := []struct {
		name              string
		skew, there, back time.Duration
		want              string
	}{
		{"none", 0, 0, 0, agrees},
		{"none, slow there", 0, 8 * time.Second, 0, agrees},
		{"none, slow back", 0, 0, 8 * time.Second, agrees},
		{"little", 4 * time.Second, 10 * ms, 10 * ms, agrees},
		{"little, slow there", 4 * time.Second, 8 * time.Second, 0, agrees},
		{"ahead", 20 * time.Second, 10 * ms, 20 * ms, "is about 20s ahead of"},
		{"behind", -20 * time.Second, 10 * ms, 20 * ms, "is about 20s behind"},
		{"an hour behind, slow there", -time.Hour, 2900 * ms, 0, "is about 1h0m0s behind"},
		{"an hour behind, slow back", -time.Hour, 0, 2900 * ms, "is about 1h0m0s behind"},
		{"an hour ahead, very slow there", time.Hour, 25 * time.Second, 0, "is about 1h0m0s ahead of"},
		{"an hour ahead, very slow back", time.Hour, 0, 50 * time.Second, "is about 1h0m0s ahead of"},
		{"half a minute, slow there", -30 * time.Second, 20 * time.Second, 0, "is about 30s behind"},
		{"a minute, very slow back", time.Minute, 0, 40 * time.Second, "is about 1m0s ahead of"},
		{"cannot be told", 0, 10 * time.Second, 2 * time.Second, "note clock of pve1: cannot be compared: the answer took 12s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := node(t, sim.Options{Now: func() time.Time { return time.Now().Add(tt.skew) }})
				d := doctor.Doctor{Transport: slow{s.As("root@pam!sandbox"), tt.there, tt.back}, Now: time.Now}
				for range 20 {
					if found := report(d.Examine(t.Context())); !strings.Contains(found, tt.want) {
						t.Fatalf("at %s: %q is missing in:\n%s", time.Now().Format("05.000"), tt.want, found)
					}
					time.Sleep(50 * ms)
				}
			})
		})
	}
}
