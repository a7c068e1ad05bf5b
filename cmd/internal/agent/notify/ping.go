package notify

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox/secret"
)

// A pinger tells a dead man's switch how passes end.
type pinger struct {
	client    *http.Client
	good, bad secret.Text // addresses; bad is zero where nothing is sent
	every     time.Duration

	pass time.Time // the end of the last pass that was looked at
	at   time.Time // of the last ping
	was  bool      // that one said that all is well
}

func newPinger(p config.DeadMan, secrets Secrets) (*pinger, error) {
	address, err := secrets.either(p.URL, p.URLFile)
	if err == nil {
		err = outward.CheckURL(address.Reveal())
	}
	if err != nil {
		return nil, err
	}
	out := &pinger{client: outward.NewClient(), good: address, every: cmp.Or(time.Duration(p.Every), time.Minute)}
	if !p.OnlyGood {
		u, _ := url.Parse(address.Reveal()) // CheckURL has read it
		out.bad = secret.New(u.JoinPath("fail").String())
	}
	return out, nil
}

// A beat is one ping.
type beat struct {
	good    bool
	summary string
}

// due says what to send after a report, if anything: once for a pass that ended since the agent started, and no
// sooner after the last one than is wanted, unless the tide has turned.
func (p *pinger) due(r *report.Report, now time.Time) (beat, bool) {
	last := r.Loop.Last
	if last == nil || !last.Ended.After(p.pass) || last.Ended.Before(r.Agent.Started) {
		return beat{}, false
	}
	p.pass = last.Ended
	b := beat{!last.Result.Bad(), cmp.Or(last.Error, last.Summary)}
	if !b.good && p.bad.IsZero() || b.good == p.was && now.Sub(p.at) < p.every && !p.at.IsZero() {
		return beat{}, false
	}
	p.at, p.was = now, b.good
	return b, true
}

// pingTitle is what failing pings are called.
const pingTitle = "dead man's pings"

// pings is how often a ping is tried: another follows after the next pass.
const pings = 3

// send sends a ping: GET for a good pass, and POST with the reason to URL/fail for a bad one.
func (p *pinger) send(ctx context.Context, b beat) error {
	r := outward.Request{Method: http.MethodGet, URL: p.good}
	if !b.good {
		r = outward.Request{Method: http.MethodPost, URL: p.bad, Body: []byte(brief(b.summary))}
	}
	var err error
	for try := range pings {
		if err = outward.Send(ctx, p.client, r); err == nil {
			return nil
		}
		if try+1 < pings && !outward.Pause(ctx, try, 2*time.Second, 10*time.Second) {
			return ctx.Err()
		}
	}
	return err
}
