package backup

import (
	"context"
	"fmt"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec/setting"
)

// A Content is the configuration that an archive holds.
type Content struct {
	Values   proxmox.Values
	Raw      []proxmox.RawLine
	Settings setting.Live
}

// Open reads the configuration in an archive.
func Open(ctx context.Context, c *proxmox.Client, a Archive) (Content, error) {
	text, err := c.BackupConfig(ctx, a.Nodes[0], a.ID)
	if err != nil {
		return Content{}, fmt.Errorf("read the configuration in %s: %w", a.ID, err)
	}
	now := conffile.Parse([]byte(text)).Current()
	out := Content{Values: now.Values(), Raw: now.Raw()}
	if out.Settings, err = setting.Container.ParseValues(out.Values); err != nil {
		return out, fmt.Errorf("understand the configuration in %s: %w", a.ID, err)
	}
	return out, nil
}

// Covers says what the archive holds, by the configuration that it was made with.
func (c Content) Covers() plan.Coverage { return plan.CoverageOf(c.Settings.Record) }
