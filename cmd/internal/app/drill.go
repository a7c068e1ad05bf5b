package app

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/backup"
)

type drillOptions struct {
	backupOptions
	id          proxmox.VMID
	archive     string
	scratch     int
	storage     string
	allow       []string // failing disks
	run         time.Duration
	taskTimeout time.Duration
}

func newBackupsDrill(s *Streams) *cobra.Command {
	o := drillOptions{}
	cmd := &cobra.Command{
		Use:   "drill ID",
		Short: "Prove that a backup can be restored",
		Long: `Restore the newest backup of a container, or one named with --archive, into a scratch
container: take its network away, start it, see that it stays up, and destroy it. What came
of it is kept and shown by tend backups list and tend status. Only a container that carries
the drill's own mark is ever destroyed. What runs in the container is not looked at.` + exits(
			"0  it was restored and ran", "1  error: nothing is proven", "2  it could not be restored, or did not stay up"),
		Example: "  tend backups drill 120\n  tend backups drill 120 --for 2m --storage tank",
		Args:    oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := vmids(args)
			if err = cmp.Or(err, checkVMID("scratch", o.scratch)); err != nil {
				return err
			}
			o.id = ids[0]
			return drill(cmd, s, o)
		},
	}
	backupFlags(cmd, &o.backupOptions)
	f := cmd.Flags()
	f.StringVar(&o.archive, "archive", "", "the backup, as a `volume` that tend backups list shows; the newest one where absent")
	f.IntVar(&o.scratch, "scratch", 0, "`VMID` of the scratch container; a free one where absent")
	f.StringVar(&o.storage, "storage", "", "`storage` of all its volumes; where they were, if absent")
	allowDiskFlag(cmd, &o.allow)
	f.DurationVar(&o.run, "for", 30*time.Second, "how long it must stay up")
	f.DurationVar(&o.taskTimeout, "task-timeout", 2*time.Hour, "wait so long for a task; it goes on by itself after that")
	return cmd
}

func drill(cmd *cobra.Command, s *Streams, o drillOptions) error {
	write, err := s.output(o.output, "text", "json")
	if err != nil {
		return err
	}
	want, err := specOf(cmd, s, o.path)
	if err != nil {
		return err
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return err
	}
	defer ses.close()
	w, err := ses.worker(cmd, s, o.taskTimeout)
	if err != nil {
		return err
	}
	defer w.close()
	b, err := ses.backups(cmd.Context(), want)
	if err != nil {
		return err
	}
	a, err := b.chosenFor(o.id, o.archive)
	if err != nil {
		return err
	}
	d, err := backup.RunDrill(w.in.ctx, &w.executor, backup.DrillWish{
		Owner: want.Cluster.Owner, Archive: a, Scratch: proxmox.VMID(o.scratch), Storage: o.storage, For: o.run, Nodes: b.have.Nodes,
		Disks: ses.backupDisks(o.allow),
		Say:   func(text string) { _, _ = fmt.Fprintln(w.progress, "  "+view.Clean(text)) },
	})
	w.progress.Close()
	if err == nil || d.Failed != "" {
		err = errors.Join(err, b.drills.Note(o.id, d))
	}
	if err != nil {
		return err
	}
	shown := view.Drill{Drill: d, ID: o.id}
	if err := write(shown); err != nil {
		return err
	}
	return exitFor(shown.Status())
}
