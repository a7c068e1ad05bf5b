package retention_test

import (
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/reconcile/retention"
	"github.com/felhom/tend/spec"
)

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		text, prefix, policy string
		ok                   bool
	}{
		{"tend-nightly-20261121T013000Z", "tend", "nightly", true},
		{"a-b-c-d-20261121T013000Z", "a-b", "c-d", true},
		{"a-b-c-d-20261121T013000Z", "a", "b-c-d", true},
		{"a-b-c-d-20261121T013000Z", "a-b-c", "x", false},
		{"tend-nightly-20261121T013000", "tend", "nightly", false},
		{"tend-nightly-20261131T013000Z", "tend", "nightly", false}, // no such day
		{"tend-nightly-20261121T013060Z", "tend", "nightly", false},
		{"tend-nightly-20260229T000000Z", "tend", "nightly", false},
		{"tend-nightly-20280229T000000Z", "tend", "nightly", true},
		{"tend-nightly-2026112AT013000Z", "tend", "nightly", false},
		{"tend-nightly-20261121t013000Z", "tend", "nightly", false},
		{"Tend-nightly-20261121T013000Z", "tend", "nightly", false},
		{"tend-nightly-20261121T013000Z\n", "tend", "nightly", false},
		{"tend_nightly-20261121T013000Z", "tend", "nightly", false},
		{"tend-nightly_20261121T013000Z", "tend", "nightly", false},
		{"tend-nightly-2-20261121T013000Z", "tend", "nightly", false},
		{"xxxxxxxxxxxxxxxxx-nightly-20261121T013000Z", "xxxxxxxxxxxxxxxxx", "nightly", false}, // too long
		{"vzdump", "tend", "nightly", false},
		{"", "", "", false},
		{"--20261121T013000Z", "", "", false},
	} {
		n, ok := retention.ParseName(tt.text, tt.prefix, tt.policy)
		if ok != tt.ok || ok && n.String() != tt.text {
			t.Errorf("%q: %+v, %t", tt.text, n, ok)
		}
	}
}

func TestMarkers(t *testing.T) {
	for _, tt := range []struct {
		text string
		want retention.Marker
		ok   bool
	}{
		{"[tend/nightly]", retention.Marker{Owner: "tend", Policy: "nightly"}, true},
		{"[tend/nightly]\n", retention.Marker{Owner: "tend", Policy: "nightly"}, true},
		{"before the move\r\n[us.b+c/x_1 before-change] \r\n", retention.Marker{Owner: "us.b+c", Policy: "x_1", Kind: retention.BeforeChange}, true},
		{"[tend/nightly by-hand]", retention.Marker{Owner: "tend", Policy: "nightly", Kind: retention.ByHand}, true},
		{"[tend/nightly ]", retention.Marker{}, false},
		{"[tend/nightly by-chance]", retention.Marker{}, false},
		{"[tend/nightly] taken by tend", retention.Marker{}, false},
		{"see [tend/nightly]", retention.Marker{}, false},
		{"[tend/nightly]\n[tend/nightly]", retention.Marker{}, false},
		{"[tend]", retention.Marker{}, false},
		{"[/nightly]", retention.Marker{}, false},
		{"[tend/]", retention.Marker{}, false},
		{"[a/b/c]", retention.Marker{}, false},
		{"[tend/nächtlich]", retention.Marker{}, false},
		{"", retention.Marker{}, false},
		{"[", retention.Marker{}, false},
		{"[]", retention.Marker{}, false},
	} {
		got, ok := retention.ParseMarker(tt.text)
		if ok != tt.ok || got != tt.want && ok {
			t.Errorf("%q: %+v, %t", tt.text, got, ok)
		}
	}
}

func TestHeldBy(t *testing.T) {
	for text, want := range map[string]bool{
		"hold": true, "Hold: until Monday": true, "on HOLD.": true, "x\nhold\n[tend/nightly]\n": true, "hold-off": true,
		"": false, "threshold": false, "holds": false, "[tend/hold]": false, "household\n[hold/nightly by-hand]\n": false, "[hold]": true,
	} {
		if got := retention.HeldBy(text); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add("tend-nightly-20261121T013000Z", "tend", "nightly", int64(1795224600))
	f.Add("a-b-c-20280229T235959Z", "a", "b-c", int64(-1))
	f.Add("--20261121T013000Z", "", "", int64(1e15))
	f.Fuzz(func(t *testing.T, text, prefix, policy string, at int64) {
		if n, ok := retention.ParseName(text, prefix, policy); ok && (n.String() != text || !spec.ValidSnapshotName(text)) {
			t.Errorf("%q is written %q", text, n)
		}
		n := retention.Name{Prefix: prefix, Policy: policy, At: time.Unix(at, 0)}
		written := n.String()
		again, ok := retention.ParseName(written, prefix, policy)
		if want := spec.ValidSnapshotName(written) && at >= -62167219200 && at < 253402300800; ok != want || ok && (!again.At.Equal(n.At) || again.String() != written) {
			t.Errorf("%q is read as %+v, %t", written, again, ok)
		}
	})
}

func FuzzMarker(f *testing.F) {
	f.Add("[tend/nightly]\n")
	f.Add("hold\n[tend/nightly before-change]\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := retention.ParseMarker(text)
		held := retention.HeldBy(text)
		if !ok {
			return
		}
		if !strings.Contains(text, m.String()) {
			t.Errorf("%q has no %s", text, m)
		}
		again, ok := retention.ParseMarker("text\n" + m.String() + "\n")
		if !ok || again != m || retention.HeldBy(m.String()) {
			t.Errorf("%s is read as %+v", m, again)
		}
		if more := retention.HeldBy(text + "\nhold"); !more || held && !more {
			t.Errorf("%q with hold is not held", text)
		}
	})
}
