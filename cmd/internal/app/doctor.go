package app

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/doctor"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
)

type doctorOptions struct {
	task      bool
	container int
	output    string
}

func newDoctor(s *Streams) *cobra.Command {
	o := doctorOptions{}
	cmd := &cobra.Command{
		Use:     "doctor",
		Aliases: []string{"selftest"},
		Short:   "Examine the connection, the privileges and the cluster",
		Long: `Show which settings were found where, and examine the cluster: connection and version,
quorum, privileges (which are missing and what they block), clocks, nodes and storages.
Nothing is changed.

With --task it also proves that tasks are handled rightly: on a scratch container, which
is destroyed afterwards, or on the one of --container, it takes a snapshot, rolls back and
deletes the snapshot. A running container is not rolled back, since that would stop it.` + exits(
			"0  all is well, but for warnings", "1  no connection, or something failed",
			"3  something is missing that blocks a part of the work"),
		Example: `  tend doctor --endpoint pve1 --token-file token
  tend doctor --task --container 105
  tend selftest --sandbox --task`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return examine(cmd, s, o) },
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	outputFlag(cmd, &o.output, "text", "json")
	f := cmd.Flags()
	f.BoolVar(&o.task, "task", false, "prove the handling of tasks with a snapshot, a rollback and a delete")
	f.IntVar(&o.container, "container", 0, "VMID of the container for --task; 0 makes a scratch one")
	return cmd
}

func examine(cmd *cobra.Command, s *Streams, o doctorOptions) error {
	write, err := s.output(o.output, "text", "json")
	if err != nil {
		return err
	}
	if o.container != 0 && !o.task {
		return errors.New("--container goes with --task: it names the container to take a snapshot of")
	}
	c, err := s.settings(cmd)
	if c == nil {
		return err
	}
	r := view.Report{Config: c}
	ses, err := s.connect(cmd)
	if err != nil {
		r.Findings = []doctor.Finding{{Level: doctor.Failed, Area: "settings", Text: err.Error()}}
	} else {
		defer ses.close()
		r.Target = ses.shown
		ctx := cmd.Context()
		d := doctor.Doctor{Transport: ses.transport, Now: time.Now}
		r.Findings = d.Examine(ctx)
		if o.task && doctor.Worst(r.Findings) < doctor.Failed {
			t := doctor.TaskTest{Client: ses.client, Guest: proxmox.VMID(o.container)}
			r.Findings = append(r.Findings, t.Run(ctx)...)
		}
	}
	if err := write(r); err != nil {
		return err
	}
	switch doctor.Worst(r.Findings) {
	case doctor.Failed:
		return exit(exitError)
	case doctor.Blocking:
		return exit(exitBlocked)
	}
	return nil
}
