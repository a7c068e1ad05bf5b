package notify

import "slices"

// Leave ends Run, for another notifier to take over: unlike the end of its context, it lets what is being sent come to
// its end, which takes a minute at most.
func (n *Notifier) Leave() { n.once.Do(func() { close(n.leaving) }) }

// Take takes over from a notifier whose Run has ended, before that of this one begins: what it told, and what it did not
// deliver. Channels are the same where they have the same name. What waits for one that is not there any more is still
// tried, once.
func (n *Notifier) Take(old *Notifier) {
	old.mu.Lock()
	defer old.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.memory, n.saved = old.memory, old.saved
	n.latest.CompareAndSwap(nil, old.latest.Load())
	for _, from := range old.lines {
		i := slices.IndexFunc(n.lines, func(l *line) bool { return l.channel.Name == from.channel.Name })
		switch {
		case i >= 0:
			l := n.lines[i]
			l.queue, l.dropped = from.queue, from.dropped
			if c, failed := old.failing[from.title()]; failed {
				n.failing[l.title()] = c
			}
		case len(from.queue) > 0:
			from.gone = true
			n.lines = append(n.lines, from)
		}
	}
	n.takePings(old)
}

// takePings takes over when the dead man's switch was last told, if it is the same.
func (n *Notifier) takePings(old *Notifier) {
	if n.pinger == nil || old.pinger == nil || !n.pinger.good.Equal(old.pinger.good) {
		return
	}
	n.pinger.pass, n.pinger.at, n.pinger.was = old.pinger.pass, old.pinger.at, old.pinger.was
	if c, failed := old.failing[pingTitle]; failed {
		n.failing[pingTitle] = c
	}
	select {
	case b := <-old.beats:
		n.beats <- b
	default:
	}
}
