package app

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/backup"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

type backupOptions struct {
	output string
	path   string // of the spec
}

func newBackups(s *Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backups",
		Short: "Look after backups: list, verify, restore, drill",
		Long: `The backups of containers on all storages: whether they are as new as the declared jobs
promise, what can be proven of them, and how to get a container back from one. A backup is
never removed, and nothing is ever restored over a container.` + exits("0  shown", "1  error"),
		Example: `  tend backups list
  tend backups verify 120`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBackupsList(s), newBackupsVerify(s), newBackupsRestore(s), newBackupsDrill(s))
	return cmd
}

func backupFlags(cmd *cobra.Command, o *backupOptions) {
	connectionFlags(cmd)
	sandboxFlag(cmd)
	outputFlag(cmd, &o.output, "text", "json")
	cmd.Flags().StringVar(&o.path, "spec", ".", "`folder` or file of the spec")
}

func newBackupsList(s *Streams) *cobra.Command {
	o := backupOptions{}
	cmd := &cobra.Command{
		Use:   "list [ID…]",
		Short: "List the backups, and whether they are as new as promised",
		Long: `List the backups of the containers of the spec, and of others that have some: time, size,
notes, protection, and what a backup server's verification found. A container is overdue or
absent by the jobs of the spec that are for it, on the storage of each: by maxAge, or else
by the schedule. Nothing is changed.` + exits(
			"0  every promise is kept", "1  error", "2  a backup is overdue, absent or not known"),
		Example: "  tend backups list\n  tend backups list --spec specs 120 121 -o json",
		RunE:    func(cmd *cobra.Command, args []string) error { return listBackups(cmd, s, o, args) },
	}
	backupFlags(cmd, &o)
	return cmd
}

// backups is what verbs on backups begin with.
type backups struct {
	want   *spec.State
	have   *plan.Live
	found  backup.Found
	drills *backup.Drills
}

func (ses *session) backups(ctx context.Context, want *spec.State) (b backups, err error) {
	b.want = want
	if _, b.have, err = ses.reconciler(plan.Policy{}).Plan(ctx, want); err != nil {
		return b, err
	}
	b.drills = ses.drills()
	b.found, err = backup.Find(ctx, ses.client, b.have.Nodes)
	return b, err
}

// openBackups connects and looks at the backups; whoever gets the session closes it.
func (s *Streams) openBackups(cmd *cobra.Command, o backupOptions) (*session, backups, error) {
	want, err := specOf(cmd, s, o.path)
	if err != nil {
		return nil, backups{}, err
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return nil, backups{}, err
	}
	b, err := ses.backups(cmd.Context(), want)
	if err != nil {
		ses.close()
	}
	return ses, b, err
}

// drills are those that are remembered on this machine.
func (ses *session) drills() *backup.Drills {
	d, err := backup.OpenDrills(strings.TrimSuffix(ses.journal, filepath.Ext(ses.journal)) + ".drills")
	if err != nil {
		ses.log.Warn("drills are remembered anew", "err", err)
	}
	return d
}

// report is all of it, of some containers or, where none are named, of all.
func (b backups) report(only []proxmox.VMID) backup.Report {
	r := backup.Judge(b.want, b.have, b.found, time.Now())
	r.Containers = slices.DeleteFunc(r.Containers, func(c backup.Container) bool { return only != nil && !slices.Contains(only, c.ID) })
	for i := range r.Containers {
		r.Containers[i].Drill = b.drills.Of(r.Containers[i].ID)
	}
	return r
}

func listBackups(cmd *cobra.Command, s *Streams, o backupOptions, args []string) error {
	write, err := s.output(o.output, "text", "json")
	if err != nil {
		return err
	}
	only, err := vmids(args)
	if err != nil {
		return err
	}
	ses, b, err := s.openBackups(cmd, o)
	if err != nil {
		return err
	}
	defer ses.close()
	shown := view.Backups{Report: b.report(only), Cluster: b.want.Cluster.Name, Spec: revisionOf(o.path), Zone: time.Local}
	if err := write(shown); err != nil {
		return err
	}
	return exitFor(shown.Status())
}

func newBackupsVerify(s *Streams) *cobra.Command {
	o, volume := backupOptions{}, ""
	cmd := &cobra.Command{
		Use:   "verify [ID…]",
		Short: "Say what can be proven of a backup, and what cannot",
		Long: `Look at the newest backup of each container that has one, or of those named, or at --archive:
whether it opens, whether the configuration in it is that of the container, what it holds,
whether its size is odd, and what a backup server's verification found. It says what it
cannot prove: only a restore reads all of a file (tend backups drill). Nothing is changed.` + exits(
			"0  nothing speaks against them", "1  error", "2  something speaks against one"),
		Example: "  tend backups verify\n  tend backups verify 120",
		RunE: func(cmd *cobra.Command, args []string) error {
			return verifyBackups(cmd, s, o, args, volume)
		},
	}
	backupFlags(cmd, &o)
	cmd.Flags().StringVar(&volume, "archive", "", "the backup, as a `volume` that tend backups list shows")
	return cmd
}

func verifyBackups(cmd *cobra.Command, s *Streams, o backupOptions, args []string, volume string) error {
	write, err := s.output(o.output, "text", "json")
	if err != nil {
		return err
	}
	only, err := vmids(args)
	if err != nil {
		return err
	}
	ses, b, err := s.openBackups(cmd, o)
	if err != nil {
		return err
	}
	defer ses.close()
	list, err := b.chosen(only, volume)
	if err != nil {
		return err
	}
	shown := view.Verdicts{Zone: time.Local}
	for _, a := range list {
		shown.List = append(shown.List, backup.Verify(cmd.Context(), ses.client, a, b.before(a), b.have.Containers[a.Guest], time.Now()))
	}
	if err := write(shown); err != nil {
		return err
	}
	return exitFor(shown.Status())
}

// chosen are the archive that is named, or the newest one of each container.
func (b backups) chosen(only []proxmox.VMID, volume string) ([]backup.Archive, error) {
	if volume != "" {
		a := b.found.Archive(volume)
		if a == nil {
			return nil, fmt.Errorf("there is no backup %s, or the token is not shown it (tend backups list)", volume)
		}
		return []backup.Archive{*a}, nil
	}
	var out []backup.Archive
	for _, c := range b.report(only).Containers {
		if len(c.Archives) > 0 {
			out = append(out, c.Archives[0])
		}
	}
	for _, id := range only {
		if !slices.ContainsFunc(out, func(a backup.Archive) bool { return a.Guest == id }) {
			return nil, fmt.Errorf("there is no backup of container %d, or the token is not shown it (tend backups list)", id)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("there is no backup, or the token is not shown any (tend backups list)")
	}
	return out, nil
}

// before is the archive of the same container and storage before one, or nil.
func (b backups) before(a backup.Archive) *backup.Archive {
	for _, x := range b.found.Of(a.Guest) {
		if x.Storage == a.Storage && x.Created.Before(a.Created) {
			return &x
		}
	}
	return nil
}
