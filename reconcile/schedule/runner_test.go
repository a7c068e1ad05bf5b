package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/reconcile/schedule"
)

// TestRunner runs a day with calls from several goroutines.
func TestRunner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := schedule.NewRunner(sure(schedule.Options{Interval: 6 * time.Hour}, 0.5))
		ctx, cancel := context.WithCancel(t.Context())
		start, ended := time.Now(), make(chan error)
		var mu sync.Mutex
		var got []string
		note := func(text string) int {
			mu.Lock()
			defer mu.Unlock()
			if text != "" {
				got = append(got, text)
			}
			return len(got)
		}
		go func() {
			ended <- r.Run(ctx, func(_ context.Context, causes []schedule.Cause) schedule.Result {
				n := note(fmt.Sprintf("%s %s", time.Since(start), causes[0].Trigger))
				time.Sleep(10 * time.Second)
				return schedule.Result{Failed: n == 2}
			})
		}()
		time.Sleep(time.Second)
		if at, ok := r.Next(); ok {
			t.Errorf("while it runs, the next is at %s", at)
		}
		for range 100 {
			go r.Call(schedule.Changed) // in the middle of a run
		}
		time.Sleep(time.Minute)
		if r.Failures() != 0 {
			t.Errorf("%d failures after a success", r.Failures())
		}
		r.Call(schedule.Webhook)
		time.Sleep(199 * time.Millisecond)
		if n := note(""); n != 3 {
			t.Errorf("%d runs before the burst is over", n)
		}
		time.Sleep(8 * time.Hour)
		if at, ok := r.Next(); !ok || at.Before(time.Now()) || at.After(time.Now().Add(6*time.Hour)) {
			t.Errorf("the next is at %s", at)
		}
		r.Call(schedule.Manual)
		synctest.Wait()
		cancel() // in the middle of a run, which is waited for
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		want := []string{"0s start", "11s changed", "23.5s retry", "1m1.2s webhook", "6h1m11.2s interval", "8h1m1.199s manual"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestRunnerStops does not begin anything once the context has ended.
func TestRunnerStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := schedule.NewRunner(schedule.Options{}).Run(ctx, func(context.Context, []schedule.Cause) schedule.Result {
		t.Error("it ran")
		return schedule.Result{}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestRunnerEvery takes another interval from the end of the last run on, and never in place of a retry.
func TestRunnerEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := schedule.NewRunner(sure(schedule.Options{Interval: 6 * time.Hour}, 0.5))
		ctx, cancel := context.WithCancel(t.Context())
		start, ended := time.Now(), make(chan error)
		var fails atomic.Bool
		var got []string
		go func() {
			ended <- r.Run(ctx, func(_ context.Context, causes []schedule.Cause) schedule.Result {
				got = append(got, fmt.Sprintf("%s %s", time.Since(start), causes[0].Trigger))
				return schedule.Result{Failed: fails.Load()}
			})
		}()
		time.Sleep(time.Hour)
		r.Every(2 * time.Hour) // sooner
		time.Sleep(90 * time.Minute)
		r.Every(time.Minute) // which has passed
		synctest.Wait()
		r.Every(10 * time.Hour) // later
		time.Sleep(3 * time.Hour)
		fails.Store(true)
		r.Call(schedule.Manual)
		synctest.Wait()
		r.Every(time.Second)
		time.Sleep(2 * time.Second)
		fails.Store(false)
		time.Sleep(time.Second)
		r.Every(0) // never by itself
		time.Sleep(24 * time.Hour)
		cancel()
		<-ended
		want := []string{"0s start", "2h0m0s interval", "2h30m0s interval", "5h30m0s manual", "5h30m2.5s retry"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
