package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/reconcile/retention"
)

func newHold(s *Streams) *cobra.Command {
	release := false
	cmd := &cobra.Command{
		Use:   "hold ID SNAPSHOT",
		Short: "Keep a snapshot for good, or release it",
		Long: `Write the word hold into a snapshot's description, so that no policy drops it, or take it
out again with --release. A hold in the spec (snapshotHolds) does the same and is reviewed.` + exits(
			"0  held, or released", "1  error"),
		Example: `  tend snapshots hold 120 tend-nightly-20261121T013000Z
  tend snapshots hold 120 tend-nightly-20261121T013000Z --release`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("name a container and a snapshot: tend snapshots hold 120 NAME")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := vmids(args[:1])
			if err != nil {
				return err
			}
			return hold(cmd, s, ids[0], args[1], release)
		},
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	cmd.Flags().BoolVar(&release, "release", false, "take the hold away")
	return cmd
}

func hold(cmd *cobra.Command, s *Streams, id proxmox.VMID, name string, release bool) error {
	ses, err := s.connect(cmd)
	if err != nil {
		return err
	}
	defer ses.close()
	ctx := cmd.Context()
	found, err := live.Read(ctx, ses.client, []proxmox.VMID{id})
	if err != nil {
		return err
	}
	ref := found[0].Ref
	have, err := ses.client.Snapshots(ctx, ref)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(have.List, func(x proxmox.Snapshot) bool { return x.Name == name })
	if i < 0 {
		return fmt.Errorf("container %d has no snapshot %s (tend snapshots list)", id, name)
	}
	text := strings.TrimRight(have.List[i].Description, "\n")
	held := retention.HeldBy(text)
	switch {
	case held == !release:
		word := map[bool]string{true: "is not held by its description", false: "is held already"}[release]
		return view.Raw(s.Out, []byte(fmt.Sprintf("Snapshot %s of container %d %s.", name, id, word)))
	case release:
		text = released(text)
		if retention.HeldBy(text) {
			return fmt.Errorf("the description of snapshot %s holds it in words of somebody's own: change it by hand", name)
		}
	default:
		text = strings.TrimLeft(text+"\nhold", "\n")
	}
	if err := ses.client.DescribeSnapshot(ctx, ref, name, text); err != nil {
		return err
	}
	word := map[bool]string{true: "is released: policies may drop it.", false: "is held: no policy drops it."}[release]
	return view.Raw(s.Out, []byte(fmt.Sprintf("Snapshot %s of container %d %s", name, id, word)))
}

// released is a description without the lines that say hold and nothing else.
func released(text string) string {
	lines := strings.Split(text, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "hold" }), "\n")
}
