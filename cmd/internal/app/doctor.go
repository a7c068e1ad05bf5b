package app

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/doctor"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
)

type doctorOptions struct {
	task      bool
	role      bool
	disks     bool
	backups   bool
	container int
	output    string
}

func newDoctor(s *Streams) *cobra.Command {
	o := doctorOptions{}
	cmd := &cobra.Command{
		Use:     "doctor [--role PATH]",
		Aliases: []string{"selftest"},
		Short:   "Examine the connection, the privileges and the cluster",
		Long: `Show which settings were found where, and examine the cluster: connection and version,
quorum, privileges (which are missing and what they block), clocks, nodes, storages, who
does what only root@pam may, and how disks and sensors are. Nothing is changed.

With --task it also proves that tasks are handled rightly: on a scratch container, which
is destroyed afterwards, or on the one of --container, it takes a snapshot, rolls back and
deletes the snapshot. A running container is not rolled back, since that would stop it.

With --role it asks no cluster, and prints the smallest roles with which the spec in a folder
or file (default: this folder) can be applied, changed and pruned, and the pveum lines that
make them with a user and a token. What only root@pam may do is not among them. With
--backups too, they are large enough for tend backups, which makes containers of its own.` + exits(
			"0  all is well, but for warnings", "1  no connection, or something failed",
			"3  something is missing that blocks a part of the work"),
		Example: `  tend doctor --endpoint pve1 --token-file token
  tend doctor --task --container 105
  tend selftest --sandbox --task
  tend doctor --role examples/homelab`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.role {
				return atMostOne("path")(cmd, args)
			}
			return noArgs(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.role {
				return showRole(s, o.output, pathOf(args), o.disks, o.backups)
			}
			if o.backups {
				return errors.New("--backups goes with --role: it adds what tend backups needs")
			}
			return examine(cmd, s, o)
		},
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	outputFlag(cmd, &o.output, "text", "json")
	f := cmd.Flags()
	f.BoolVar(&o.task, "task", false, "prove the handling of tasks with a snapshot, a rollback and a delete")
	f.BoolVar(&o.role, "role", false, "print the smallest roles for a spec, and the pveum lines that make them")
	f.BoolVar(&o.disks, "disks", false, "with --role: add what it takes to read the health of disks, Sys.Audit on /")
	f.BoolVar(&o.backups, "backups", false, "with --role: and what tend backups list, verify, restore and drill need")
	f.IntVar(&o.container, "container", 0, "VMID of the container for --task; 0 makes a scratch one")
	return cmd
}

func examine(cmd *cobra.Command, s *Streams, o doctorOptions) error {
	write, err := s.output(o.output, "text", "json")
	if err != nil {
		return err
	}
	if o.disks {
		return errors.New("--disks goes with --role: it adds to the role what it takes to read the health of disks")
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
		r.Findings = append(exposed(c), d.Examine(ctx)...)
		r.Findings = append(r.Findings, ses.lane.Findings()...)
		r.Nodes = ses.lookAtDisks(ctx, d.Online())()
		r.Findings = append(r.Findings, doctor.Disks(r.Nodes, time.Now())...)
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

// exposed is a finding where everyone can read the token.
func exposed(c *config.Config) []doctor.Finding {
	if c.Exposed == "" {
		return nil
	}
	return []doctor.Finding{{
		Level: doctor.Warning, Area: "token", Text: "everyone on this machine can use " + c.Exposed,
		Hint: "chmod 600 " + c.Exposed + ", and make a new token where others had a chance to read it",
	}}
}
