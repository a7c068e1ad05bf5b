package rehearse

import (
	"context"
	"path"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/spec"
)

// assumedTemplate is the size of templates that are not there yet.
const assumedTemplate = 150 << 20

// downloads copies what nodes can download, for specs that declare templates. What comes from elsewhere is taken to be
// there: a copy reaches no network, and cannot make a file with the right checksum.
func (c *copier) downloads(ctx context.Context) error {
	c.State.Appliances = map[string]*sim.Appliance{}
	listed := false
	for _, t := range c.want.Templates {
		if t.Appliance == "" {
			c.elsewhere(t)
			continue
		}
		if listed || len(c.nodes) == 0 {
			continue
		}
		listed = true
		list, err := c.client.Appliances(ctx, c.nodes[0])
		if err != nil {
			return err
		}
		for _, a := range list {
			guessed := c.template(proxmox.Volume{ID: path.Base(a.File)})
			c.State.Appliances[a.File] = &sim.Appliance{
				Package: a.Package, Version: a.Version, OS: a.OS, Section: a.Section, Headline: a.Headline,
				Size: assumedTemplate, OSType: guessed.OSType,
			}
		}
	}
	return nil
}

func (c *copier) elsewhere(t *spec.Template) {
	volume := t.Storage + ":vztmpl/" + t.FileName()
	if c.State.Templates[volume] != nil || c.State.Storages[t.Storage] == nil {
		return
	}
	c.State.Templates[volume] = c.template(proxmox.Volume{ID: volume, Size: assumedTemplate})
	if t.Image != "" {
		c.State.Templates[volume].OCI = &sim.OCI{}
	}
	c.unsure("the download of template %s is not rehearsed: that it works is assumed", t.Name)
}
