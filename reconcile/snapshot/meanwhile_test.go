package snapshot_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile/snapshot"
)

// TestMeanwhile: between two attempts at a container that is locked, somebody holds the snapshot that is to go, puts
// another in its place, or lets whoever holds the lock die. What is not the same any more is left alone.
func TestMeanwhile(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, b *box, name string)
		lock string
		gone bool
		sent int // deletes
	}{
		{"nothing", func(*testing.T, *box, string) {}, "backup", true, 2},
		{"it is held", func(t *testing.T, b *box, name string) { b.describe(t, name, "[tend/p]\nhold it") }, "backup", false, 1},
		{"it is another's", func(t *testing.T, b *box, name string) { b.describe(t, name, "mine") }, "backup", false, 1},
		{"whoever held the lock is dead", nil, "snapshot-delete", false, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBox(t, "")
				k, w := b.keeper(memory(t)), want(t, atOnce)
				first := run(t, k, w, snapshot.Options{Take: snapshot.TakeNow, Keep: true}).Taken
				time.Sleep(time.Second)
				locked := false
				b.reset(func(c sim.Call) sim.Fault {
					if c.Method == "DELETE" && !locked {
						locked = true
						_ = b.EditConfig(101, func(raw string) string { return "lock: " + tc.lock + "\n" + raw })
						if tc.do != nil {
							time.AfterFunc(time.Second, func() { _ = b.Unlock(101); tc.do(t, b, first) })
						}
					}
					return sim.Fault{}
				}, nil)
				c := run(t, k, w, snapshot.Options{Take: snapshot.TakeNow, Consent: true})
				deletes := slices.DeleteFunc(b.changes(), func(s string) bool { return !strings.HasPrefix(s, "DELETE") })
				if gone := !slices.Contains(b.names(t), first); gone != tc.gone || len(deletes) != tc.sent {
					t.Errorf("gone %t after %v: %v", gone, deletes, c.Err)
				}
				if stuck := tc.do == nil; (c.Stuck != nil) != stuck || (c.Err != nil) != stuck {
					t.Errorf("stuck: %v: %v", c.Stuck, c.Err)
				}
			})
		})
	}
}

func (b *box) describe(t *testing.T, name, text string) {
	if err := b.root.DescribeSnapshot(t.Context(), web, name, text); err != nil {
		t.Error(err)
	}
}
