package helper_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/privileged"
	"github.com/felhom/tend/proxmox/privileged/helper"
)

// TestStranger refuses another user with a code, holds no connection for it, and writes it down: not as often as it
// likes, but with the number of those that were left out.
func TestStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		allow := func() (uint32, error) { return 1001, nil }
		s := run(t, &doer{}, func(o *helper.Options) { o.Allow = func() (uint32, error) { return allow() } })
		knock := func() {
			t.Helper()
			c := &talk{stand: s, conn: s.pipes.dial()}
			defer c.conn.Close()
			if body := string(c.read()); !strings.Contains(body, `"code":"wrong-user"`) || strings.Contains(body, "pve1") {
				t.Errorf("told: %s", body)
			}
			c.closed()
		}
		for range helper.MaxConnections + helper.RefusalsAtOnce {
			knock()
		}
		if n := len(lines(t, s.audit)); n != helper.RefusalsAtOnce {
			t.Errorf("%d lines, want %d", n, helper.RefusalsAtOnce)
		}
		time.Sleep(time.Second)
		allow = func() (uint32, error) { return 0, errors.New(`there is no user "tend"`) }
		knock()
		log := lines(t, s.audit)
		last := log[len(log)-1]
		if last.Code != helper.WrongUser || last.Dropped != helper.MaxConnections || !strings.Contains(last.Error, "no user") || last.UID != 1000 {
			t.Errorf("written: %+v", last)
		}
		if s.doer.count() > 0 {
			t.Error("something was done")
		}
	})
}

// TestRoot lets root in, whatever user may call.
func TestRoot(t *testing.T) {
	l := newPipes()
	o := helper.Options{
		Doer: &doer{}, Node: "pve1", Audit: openLog(t, filepath.Join(t.TempDir(), "audit.log"), helper.LogOptions{}),
		Allow: func() (uint32, error) { return 0, errors.New("nobody") },
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- helper.NewServer(o).As(helper.Peer{}).Serve(ctx, l) }()
	c := &talk{stand: &stand{t: t}, conn: l.dial()}
	if body := string(c.read()); strings.Contains(body, "refusal") {
		t.Error(body)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestTurns works on one container at a time, and on two at once.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, end := make(chan proxmox.VMID, 10), make(chan struct{})
		s := run(t, &doer{do: func(_ context.Context, r privileged.Request) (privileged.Result, error) {
			begun <- r.Target().ID
			<-end
			return privileged.Result{}, nil
		}})
		a, b, c, leaver := s.talk(), s.talk(), s.talk(), s.talk()
		id := map[string]any{"id": strings.Repeat("a", 32)}
		a.write(message(1, unlock(101), id))
		id["id"] = strings.Repeat("b", 32)
		c.write(message(1, unlock(102), id))
		synctest.Wait()
		id["id"] = strings.Repeat("c", 32)
		b.write(message(1, unlock(101), id))
		id["id"] = strings.Repeat("d", 32)
		leaver.write(message(1, unlock(101), id))
		synctest.Wait()
		if len(begun) != 2 || <-begun+<-begun != 203 {
			t.Fatal("101 and 102 are not worked on, or 101 twice")
		}
		_ = leaver.conn.Close()
		synctest.Wait()
		close(end)
		for _, x := range []*talk{a, b, c} {
			if r := x.reply(); r.Result == nil {
				t.Errorf("got %+v", r)
			}
		}
		synctest.Wait()
		if s.doer.count() != 3 {
			t.Errorf("%d were done: the one that nobody waited for, too", s.doer.count())
		}
		refused := 0
		for _, r := range lines(t, s.audit) {
			if r.Outcome == helper.Refused && r.ID == strings.Repeat("d", 32) {
				refused++
			}
		}
		if refused != 1 {
			t.Error("the one that was not done stands in no line")
		}
	})
}

// TestQuiet lets what comes all the time past a request that takes long, and records of it what fails.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keep := privileged.KeepLead{Node: "pve1", Owner: "tend"}
		trouble := errors.New("no quorum")
		var fails bool
		s := run(t, &doer{do: func(_ context.Context, r privileged.Request) (privileged.Result, error) {
			if r != keep {
				time.Sleep(time.Hour)
			} else if fails {
				return privileged.Result{}, trouble
			}
			return privileged.Result{}, nil
		}})
		slow, quick := s.talk(), s.talk()
		slow.write(message(1, privileged.ReadHealth{Node: "pve1", Disk: "/dev/sda"}, nil))
		synctest.Wait()
		for seq := range uint64(3) {
			begin := time.Now()
			fails = seq == 2
			quick.write(message(seq+1, keep, map[string]any{"id": fmt.Sprintf("%032x", 100+seq)}))
			if r := quick.reply(); r.Result == nil || (r.Failure != nil) != fails || time.Since(begin) > time.Minute {
				t.Errorf("%d, after %v: %+v", seq, time.Since(begin), r)
			}
		}
		if log := lines(t, s.audit); len(log) != 1 || log[0].Outcome != helper.Failed || log[0].Row != privileged.RowLeader || !strings.Contains(log[0].Error, "no quorum") {
			t.Errorf("written: %+v", log)
		}
		if r := slow.reply(); r.Result == nil {
			t.Errorf("got %+v", r)
		}
	})
}

// TestLeave brings to its end what was begun, though the caller has left.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		s := run(t, &doer{do: func(ctx context.Context, _ privileged.Request) (privileged.Result, error) {
			time.Sleep(time.Hour)
			err = ctx.Err()
			return privileged.Result{Changed: true}, err
		}})
		c := s.talk()
		c.write(message(1, unlock(101), map[string]any{"claim": map[string]string{"plan": "p1", "commit": "c1"}}))
		synctest.Wait()
		_ = c.conn.Close()
		time.Sleep(2 * time.Hour)
		log := lines(t, s.audit)
		if err != nil || len(log) != 1 || log[0].Outcome != helper.Done || log[0].Millis != time.Hour.Milliseconds() {
			t.Errorf("%v: %+v", err, log)
		}
		if log[0].Claim != (helper.Claim{Plan: "p1", Commit: "c1"}) || log[0].What != unlock(101).String() || log[0].Row != privileged.RowUnlock {
			t.Errorf("written: %+v", log[0])
		}
	})
}

// TestTimes closes connections that do not go on: silent ones, and those that end in the midst of a message.
func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, &doer{})
		begin := time.Now()
		s.talk().closed()
		if d := time.Since(begin); d != helper.IdleTime {
			t.Errorf("a silent one was closed after %v", d)
		}
		c := s.talk()
		c.write(message(1, unlock(101), nil)[:40])
		begin = time.Now()
		if r := c.reply(); r.Refusal == nil || r.Refusal.Code != helper.Malformed || time.Since(begin) != helper.BodyTime {
			t.Errorf("after %v: %+v", time.Since(begin), r)
		}
		c.closed()
	})
}

// TestRate holds back who is too fast, over how many connections it may be.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, &doer{})
		begin := time.Now()
		unknown := map[string]any{"request": map[string]any{"version": 1, "kind": "shell"}}
		const each = 10
		var all sync.WaitGroup
		for i := range helper.MaxConnections {
			c := s.talk()
			all.Go(func() {
				for seq := uint64(1); seq <= each; seq++ {
					unknown := maps.Clone(unknown)
					unknown["id"] = fmt.Sprintf("%032x", i*each+int(seq))
					c.write(message(seq, unlock(101), unknown))
					if r := c.reply(); r.Refusal == nil || r.Refusal.Code != helper.Unknown {
						t.Errorf("%d: %+v", seq, r)
						return
					}
				}
			})
		}
		all.Wait()
		want := time.Duration(helper.MaxConnections*each-helper.Burst) * time.Second / helper.PerSecond
		if d := time.Since(begin); d.Round(time.Second) != want.Round(time.Second) {
			t.Errorf("they took %v, want %v", d, want)
		}
	})
}

// TestMany takes no more connections than it has room for, and takes others once there is room.
func TestMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, &doer{})
		var all []*talk
		for range helper.MaxConnections {
			all = append(all, s.talk())
		}
		c := &talk{stand: s, conn: s.pipes.dial()}
		if body := string(c.read()); !strings.Contains(body, `"code":"too-many"`) {
			t.Errorf("told: %s", body)
		}
		c.closed()
		_ = all[0].conn.Close()
		synctest.Wait()
		s.talk()
	})
}

// TestIdle ends when nobody is connected any more, and not before.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, &doer{}, func(o *helper.Options) { o.Idle = 30 * time.Second })
		begin, c := time.Now(), s.talk()
		time.Sleep(50 * time.Second)
		c.write(message(1, unlock(101), nil))
		c.reply()
		_ = c.conn.Close()
		err := <-s.ended
		if d := time.Since(begin); err != nil || d != 80*time.Second {
			t.Errorf("ended after %v: %v", d, err)
		}
		s.ended <- nil
	})
}

// TestStop lets what is under way end, begins nothing more, and tells what does not end within the grace to.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := run(t, &doer{do: func(ctx context.Context, r privileged.Request) (privileged.Result, error) {
			if r.Target().ID == 101 {
				time.Sleep(time.Minute)
				return privileged.Result{Changed: true}, ctx.Err()
			}
			<-ctx.Done()
			return privileged.Result{}, ctx.Err()
		}}, func(o *helper.Options) { o.Grace = 5 * time.Minute })
		a, b, waiting, silent := s.talk(), s.talk(), s.talk(), s.talk()
		a.write(message(1, unlock(101), nil))
		b.write(message(1, unlock(102), map[string]any{"id": strings.Repeat("b", 32)}))
		synctest.Wait()
		waiting.write(message(1, unlock(101), map[string]any{"id": strings.Repeat("c", 32)}))
		synctest.Wait()
		begin := time.Now()
		s.stop()
		silent.closed()
		if r := waiting.reply(); r.Refusal == nil || r.Refusal.Code != helper.Closing {
			t.Errorf("the one that waited: %+v", r)
		}
		if r := a.reply(); r.Result == nil || !r.Result.Changed || time.Since(begin) != time.Minute {
			t.Errorf("the one that ends in time, after %v: %+v", time.Since(begin), r)
		}
		if r := b.reply(); fmt.Sprint(r.Failure["classes"]) != "[canceled]" || time.Since(begin) != 5*time.Minute {
			t.Errorf("the one that does not, after %v: %+v", time.Since(begin), r)
		}
		s.ended <- <-s.ended
	})
}

// TestPeer asks the kernel, on a real socket.
func TestPeer(t *testing.T) {
	d := &doer{}
	socket, audit := serve(t, d, nil)
	if _, err := (&helper.Client{Path: socket}).Do(t.Context(), unlock(101)); err != nil {
		t.Fatal(err)
	}
	if log := lines(t, audit); len(log) != 1 || log[0].UID != uint32(os.Getuid()) || log[0].PID != int32(os.Getpid()) {
		t.Errorf("written: %+v", log)
	}
	if os.Getuid() == 0 {
		return // root may always: the other user is tested with the program
	}
	socket, _ = serve(t, d, func() (uint32, error) { return uint32(os.Getuid()) + 1, nil })
	_, err := (&helper.Client{Path: socket}).Do(t.Context(), unlock(101))
	if r, ok := errors.AsType[*helper.Refusal](err); !ok || r.Code != helper.WrongUser || !errors.Is(err, proxmox.ErrForbidden) {
		t.Errorf("want wrong-user, got %v", err)
	}
}

func TestLookup(t *testing.T) {
	for _, name := range []string{"0", "root"} {
		if uid, err := helper.Lookup(name); err != nil || uid != 0 {
			t.Errorf("%s: %d, %v", name, uid, err)
		}
	}
	if uid, err := helper.Lookup("64555"); err != nil || uid != 64555 {
		t.Errorf("%d, %v", uid, err)
	}
	for _, name := range []string{"", "no such user", "-1", "4294967296"} {
		if uid, err := helper.Lookup(name); err == nil {
			t.Errorf("%q is %d", name, uid)
		}
	}
}
