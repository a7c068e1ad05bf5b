package app

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/execute"
	"github.com/felhom/tend/reconcile/journal"
)

type restoreOptions struct {
	backupOptions
	id          proxmox.VMID
	archive     string
	to          int
	swap        bool
	allow       []string // failing disks
	storage     string
	yes         bool
	taskTimeout time.Duration
}

func newBackupsRestore(s *Streams) *cobra.Command {
	o := restoreOptions{}
	cmd := &cobra.Command{
		Use:   "restore ID",
		Short: "Restore a container from a backup, beside the one that is there",
		Long: `Restore a container from its newest backup, or from one named with --archive, to a VMID that
is free: never over a container. The copy is left stopped, and no plan touches it. With
--swap it takes the place of the container: that one leaves tend's hands, is stopped, and
stays as it is, protected; then the copy is started. The spec must name the new VMID after
that. Where the container does not exist any more, it is restored to its own VMID.

The steps are shown first. A run that is cut off leaves both; the same command goes on where
it was.` + exits(
			"0  restored", "1  error, or not all was done", "2  the question was answered with no", "3  it cannot be done"),
		Example: `  tend backups restore 120
  tend backups restore 120 --to 9120 --swap
  tend backups restore 120 --archive local:backup/vzdump-lxc-120-2026_11_22-03_00_04.tar.zst`,
		Args: oneID,
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := vmids(args)
			if err = cmp.Or(err, checkVMID("to", o.to)); err != nil {
				return err
			}
			o.id = ids[0]
			return restore(cmd, s, o)
		},
	}
	backupFlags(cmd, &o.backupOptions)
	f := cmd.Flags()
	f.StringVar(&o.archive, "archive", "", "the backup, as a `volume` that tend backups list shows; the newest one where absent")
	f.IntVar(&o.to, "to", 0, "`VMID` of the copy; a free one where absent")
	f.BoolVar(&o.swap, "swap", false, "put the copy in the place of the container, which is stopped and kept")
	f.StringVar(&o.storage, "storage", "", "`storage` of all volumes; where they were, if absent")
	allowDiskFlag(cmd, &o.allow)
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.DurationVar(&o.taskTimeout, "task-timeout", 2*time.Hour, "wait so long for a task; it goes on by itself after that")
	return cmd
}

// oneID is the rule of verbs on one container.
func oneID(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("name one container by its VMID: %s 120", cmd.CommandPath())
	}
	return nil
}

func restore(cmd *cobra.Command, s *Streams, o restoreOptions) error {
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
	wish, err := backup.Prepare(w.in.ctx, &w.executor, b.want, b.have.Nodes, a, backup.Asked{To: proxmox.VMID(o.to), Swap: o.swap, Storage: o.storage, Disks: ses.backupDisks(o.allow)})
	if err != nil {
		return err
	}
	shown := view.Restore{Restoration: backup.PlanRestore(wish), At: time.Now(), Zone: time.Local}
	if o.output == "text" || shown.Blocked != "" || len(shown.Steps) == 0 {
		if err := write(shown); err != nil {
			return err
		}
	}
	if shown.Blocked != "" || len(shown.Steps) == 0 {
		return exitFor(shown.Status())
	}
	if err := s.confirm(w.in, o.yes, "Restore?"); err != nil {
		return err
	}
	shown.Ran = true
	shown.Done, shown.Warnings, shown.Err = backup.Run(w.in.ctx, &w.executor, shown.Steps)
	if shown.Err == nil {
		shown.Err = backup.Confirm(w.in.ctx, ses.client, b.have.Nodes, wish)
	}
	w.progress.Close()
	if err := write(shown); err != nil {
		return err
	}
	return exitFor(shown.Status())
}

// chosenFor is the archive that a verb on one container is about, opened or not.
func (b backups) chosenFor(id proxmox.VMID, volume string) (backup.Archive, error) {
	list, err := b.chosen([]proxmox.VMID{id}, volume)
	if err != nil {
		return backup.Archive{}, err
	}
	if a := list[0]; a.Guest != id {
		return a, fmt.Errorf("%s is a backup of %d, not of %d", a.ID, a.Guest, id)
	}
	return list[0], nil
}

// A worker is what carries out steps that a person asked for.
type worker struct {
	executor execute.Executor
	journal  *journal.Journal
	progress *view.Progress
	in       *interrupts
}

func (ses *session) worker(cmd *cobra.Command, s *Streams, taskTimeout time.Duration) (*worker, error) {
	j, err := journal.Open(ses.journal)
	if err != nil {
		return nil, err
	}
	w := &worker{journal: j, progress: view.NewProgress(cmd.Context(), s.Err, s.errStyle(), (&execute.Executor{Client: ses.client}).LastLine)}
	if s.ErrTerminal {
		w.progress.Live()
	}
	ses.log = s.logger(ses.config, w.progress)
	w.in = s.interrupts(cmd.Context(), w.progress)
	w.executor = execute.Executor{
		Client: ses.client, Journal: j, TaskTimeout: taskTimeout, Progress: w.progress.Event, Stop: w.in.stop, RunID: rand.Text(),
	}
	return w, nil
}

func (w *worker) close() {
	w.in.end()
	w.progress.Close()
	_ = w.journal.Close()
}
