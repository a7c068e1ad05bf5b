package agent

import (
	"context"
	"log/slog"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// backupsEvery is how often it is looked whether backups are as new as promised: it asks each storage that holds some,
// and a backup server answers slowly.
const backupsEvery = time.Hour

// backups looks whether the backups of containers are as new as the declared jobs promise. It makes none.
func (p *pass) backups(ctx context.Context, want *spec.State, have *plan.Live) {
	if p.stopping() {
		return
	}
	p.mu.Lock()
	recent := !p.pic.backedUp.IsZero() && p.began.Sub(p.pic.backedUp) < backupsEvery
	p.mu.Unlock()
	if recent {
		return
	}
	drills := p.drilled()
	if len(want.Jobs) == 0 && drills.Empty() {
		return
	}
	p.doing("looking at backups")
	found, err := backup.Find(ctx, p.o.Client, have.Nodes)
	if err != nil {
		p.o.Log.Warn("backups are not looked at", slog.Any("err", err))
		return
	}
	out := map[proxmox.VMID]backup.Container{}
	for _, c := range backup.Judge(want, have, found, time.Now()).Containers {
		c.Drill = drills.Of(c.ID)
		out[c.ID] = c
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pic.backups, p.pic.backedUp = out, p.began
}

// drilled are the drills that are remembered; nil: nobody knows of any.
func (p *pass) drilled() *backup.Drills {
	if p.o.Drills == nil {
		return nil
	}
	return p.o.Drills()
}
