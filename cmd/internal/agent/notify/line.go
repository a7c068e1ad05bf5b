package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
)

// A line is a channel with what waits to be sent by it.
type line struct {
	channel config.Channel
	level   report.Level  // the least that is told
	events  []report.Kind // that are told; none: all
	layout  layout
	sender  sender
	wake    chan struct{} // holds one: the queue is not empty
	gone    bool          // it is of settings that hold no more: what is in the queue is tried once, and nothing comes to it

	// The queue, oldest first, is guarded by the mutex of the notifier.
	queue   []Message
	dropped int // since the last message that was queued
}

func newLine(c config.Channel, secrets Secrets) (*line, error) {
	l := &line{channel: c, wake: make(chan struct{}, 1)}
	err := l.read()
	if err != nil {
		return nil, err
	}
	switch {
	case c.HasWebhook():
		l.sender, err = newWebhook(c.Webhook, secrets)
	case c.HasMail():
		l.sender, err = newMailbox(c.Mail, secrets)
	default:
		address, err2 := secrets.either(c.URL, c.URLFile)
		if err2 != nil {
			return nil, err2
		}
		l.sender, err = newSender(address)
	}
	return l, err
}

// read reads what a channel says of which events it is told, and how.
func (l *line) read() (err error) {
	c := l.channel
	known := report.Told()
	for _, word := range c.Events {
		k := report.Kind(word)
		if !slices.Contains(known, k) {
			return fmt.Errorf("events: there is no %q, but %s", word, strings.Trim(fmt.Sprint(known), "[]"))
		}
		l.events = append(l.events, k)
	}
	l.level = report.Warn
	switch {
	case c.Level != "":
		err = l.level.UnmarshalText([]byte(c.Level))
	case len(c.Events) > 0:
		l.level = report.Note
	}
	if err == nil {
		l.layout, err = newLayout(c.Title, c.Template)
	}
	return err
}

func (l *line) title() string { return "notifications to " + l.channel.Name }

// of are the events that a channel is told of.
func (l *line) of(events []Event) []Event {
	return slices.DeleteFunc(slices.Clone(events), func(e Event) bool { return !l.wants(e) })
}

// wants reports whether a channel is told of an event.
func (l *line) wants(e Event) bool {
	if e.Change == Test {
		return true
	}
	return e.Level >= l.level && (len(l.events) == 0 || slices.Contains(l.events, e.Kind))
}

// The bounds of a queue. A message that is older than maxAge is news no more.
const (
	maxQueue = 50
	maxAge   = 24 * time.Hour
)

// add puts a message at the end of the queue, and drops the oldest one beyond its bound.
func (l *line) add(m Message) {
	m.Dropped, l.dropped = l.dropped, 0
	l.queue = append(l.queue, m)
	if len(l.queue) > maxQueue {
		l.drop()
	}
}

// drop gives the oldest message up; the next one says so.
func (l *line) drop() {
	n := l.queue[0].Dropped + 1
	l.queue = l.queue[1:]
	if len(l.queue) > 0 {
		l.queue[0].Dropped += n
	} else {
		l.dropped += n
	}
}

// The bounds of an attempt, whatever the channel: as it is, and once the agent ends. What is under way then is better
// finished than sent again by the next start.
const (
	sendTimeout = time.Minute
	sendGrace   = 2 * time.Second
)

func (l *line) try(ctx context.Context, m Message) error {
	ending := ctx
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer stop()
	defer context.AfterFunc(ending, func() { time.AfterFunc(sendGrace, stop) })()
	title, text, err := l.layout.render(m)
	if err != nil {
		return err
	}
	return l.sender.send(ctx, m, title, text)
}

// The time between two attempts.
const (
	firstPause = 5 * time.Second
	maxPause   = 15 * time.Minute
)

// deliver sends what is in the queue of a line, in its order, until a context ends; what is under way then, until the hard
// one does.
func (n *Notifier) deliver(ctx, hard context.Context, l *line) error {
	for failures := 0; ctx.Err() == nil; {
		m, ok := n.head(l)
		if !ok && l.gone {
			return nil
		}
		if !ok {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-l.wake:
				continue
			}
		}
		err := l.try(hard, m)
		if err != nil && l.gone && hard.Err() == nil {
			n.log.Warn("a notification to a channel that is configured no more is given up", "channel", l.channel.Name, "message", m.Title(), "error", err)
			n.dequeue(l, m)
			continue
		}
		n.outcome(hard, l.title(), err)
		if err == nil {
			failures = 0
			n.delivered(l, m)
			continue
		}
		if !outward.Pause(ctx, failures, firstPause, maxPause) {
			return ctx.Err()
		}
		failures++
	}
	return ctx.Err()
}

// head is the message to send next, once those are given up that are too old.
func (n *Notifier) head(l *line) (Message, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(l.queue) > 0 && time.Since(l.queue[0].Time) > maxAge {
		n.log.Warn("a notification is given up", "channel", l.channel.Name, "message", l.queue[0].Title())
		l.drop()
		n.save()
	}
	if len(l.queue) == 0 {
		return Message{}, false
	}
	return l.queue[0], true
}

// delivered notes that a message was taken.
func (n *Notifier) delivered(l *line, m Message) {
	n.log.Info("told", "channel", l.channel.Name, "message", m.Title())
	n.dequeue(l, m)
}

// dequeue takes a message off the queue.
func (n *Notifier) dequeue(l *line, m Message) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(l.queue) > 0 && l.queue[0].ID == m.ID { // else it was dropped meanwhile
		l.queue = l.queue[1:]
	}
	n.save()
}

// load reads what was told. A file that cannot be read is one that says nothing: what stands is then told again.
func (n *Notifier) load() {
	if n.path == "" {
		return
	}
	raw, err := os.ReadFile(n.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var f file
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err == nil && f.Version != Version {
		err = errors.New("it is of another version")
	}
	if err != nil {
		n.log.Warn("what was told is not known, and what stands is told again", "file", n.path, "error", err)
		return
	}
	n.saved, n.memory.until = raw, f.Until
	maps.Copy(n.memory.told, f.Told)
	for _, l := range n.lines {
		l.queue = f.Queues[l.channel.Name]
	}
}

// save writes what was told and what is not delivered, if that is otherwise than what is written. The caller holds the
// mutex.
func (n *Notifier) save() {
	if n.path == "" {
		return
	}
	f := file{Version: Version, Told: n.memory.told, Until: n.memory.until, Queues: map[string][]Message{}}
	for _, l := range n.lines {
		if len(l.queue) > 0 {
			f.Queues[l.channel.Name] = l.queue
		}
	}
	raw, err := json.Marshal(f)
	if bytes.Equal(raw, n.saved) {
		return
	}
	if err == nil {
		err = os.MkdirAll(filepath.Dir(n.path), 0o700)
	}
	if err == nil {
		err = renameio.WriteFile(n.path, raw, 0o600)
	}
	if err != nil {
		n.log.Warn("what was told cannot be written down, and is told again after a restart", "file", n.path, "error", err)
		return
	}
	n.saved = raw
}
