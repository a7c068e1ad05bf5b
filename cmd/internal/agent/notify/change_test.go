package notify

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox/secret"
)

// A phase is one notifier of several that follow each other: its channels, and what they have got at its end.
type phase struct {
	*Notifier
	ended chan error
}

// begin has a notifier with channels take over from another, and run.
func begin(t *testing.T, before *phase, channels map[string]*fake) *phase {
	t.Helper()
	n, err := New(config.Notify{}, nil, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range channels {
		l := &line{channel: config.Channel{Name: name}, sender: f, wake: make(chan struct{}, 1)}
		if err := l.read(); err != nil {
			t.Fatal(err)
		}
		n.lines = append(n.lines, l)
	}
	if before != nil {
		before.Leave()
		before.Leave() // may be asked for twice
		if err := <-before.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ends with %v", err)
		}
		before.ended <- nil
		n.Take(before.Notifier)
	}
	p := &phase{n, make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { p.ended <- n.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-p.ended })
	return p
}

// TestTake: settings that change lose nothing. What is being sent is finished and not sent again, what waits for a channel
// is sent by the one of the same name, what waits for one that is gone is tried once, and nothing is told twice.
func TestTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, broken, old := &fake{takes: 10 * time.Second}, &fake{fails: true}, &fake{fails: true}
		first := begin(t, nil, map[string]*fake{"slow": slow, "phone": broken, "old": old, "older": broken})
		first.Tell(refused("aa"))
		synctest.Wait()
		began := time.Now()
		old.set(false)
		mended, other := &fake{}, &fake{}
		second := begin(t, first, map[string]*fake{"slow": slow, "phone": mended, "other": other})
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("what was under way was waited for %s", d)
		}
		synctest.Wait()
		for name, f := range map[string]*fake{"slow": slow, "phone": mended, "old": old} {
			if got, _ := f.told(); strings.Join(got, "\n") != refusedTitle {
				t.Errorf("%s got %q", name, got)
			}
		}
		_, before := broken.told()
		time.Sleep(time.Hour)
		if _, after := broken.told(); after != before {
			t.Errorf("a channel that is gone is tried %d times more", after-before)
		}
		if got := second.Failing(); len(got) > 0 {
			t.Errorf("failing: %v", got)
		}
		second.Tell(refused("bb"))
		time.Sleep(time.Minute)
		for name, want := range map[*fake]int{slow: 2, mended: 2, other: 1, old: 1} {
			if got, _ := name.told(); len(got) != want {
				t.Errorf("of the next: %q, want %d", got, want)
			}
		}
	})
}

// TestTakePings: the same dead man's switch is told no sooner than it wants to be, another at once.
func TestTakePings(t *testing.T) {
	old := &Notifier{pinger: &pinger{good: secret.New("https://a"), at: start}, failing: nil, beats: make(chan beat, 1)}
	old.memory = newMemory()
	old.beats <- beat{good: true}
	for address, same := range map[string]bool{"https://a": true, "https://b": false} {
		n := &Notifier{pinger: &pinger{good: secret.New(address)}, beats: make(chan beat, 1)}
		n.Take(old)
		if n.pinger.at.Equal(start) != same || len(n.beats) == 1 != same {
			t.Errorf("%s: %+v", address, n.pinger)
		}
	}
}
