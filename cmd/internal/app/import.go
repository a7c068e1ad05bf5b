package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/conffile"
	"github.com/felhom/tend/proxmox/pct"
	"github.com/felhom/tend/reconcile/live"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
	"github.com/felhom/tend/spec/write"
)

type importOptions struct {
	all, noAdopt bool
	out, merge   string
	layout       string
	files        []string
	node         string
	name, owner  string
}

func newImport(s *Streams) *cobra.Command {
	o := importOptions{}
	cmd := &cobra.Command{
		Use:   "import [ID…]",
		Short: "Write the spec of containers that exist",
		Long: `Write the spec that a person would have written for containers that exist: what differs from
defaults, with units, and what several share in defaults and profiles. Comments stand beside
what deserves a decision. The next plan adds the owner's tag and changes nothing else.

Without --out the spec is printed. With --merge what is live is written into the files of an
existing spec, each value where it stands; comments, order and all other lines stay. With
--file a saved configuration file (101.conf) or a text of pct create commands is read in place
of a cluster.` + exits("0  done", "1  error"),
		Example: `  tend import --all --out specs/
  tend import 101 104
  tend import --merge specs/ 101
  tend import --file /etc/pve/lxc/101.conf
  echo "pct create 105 local:vztmpl/debian-13.tar.zst --cores 2 --rootfs local-zfs:8" | tend import --file -`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return importSpec(cmd, s, o, args) },
	}
	connectionFlags(cmd)
	sandboxFlag(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.all, "all", false, "all containers that the token may see")
	f.StringVar(&o.out, "out", "", "write the files into this folder; files that are there are never overwritten")
	f.StringVar(&o.merge, "merge", "", "write what is live into the spec in this folder")
	f.StringVar(&o.layout, "layout", "container", "files of --out: one a container, one a tag, or a single one (container, tag, single)")
	f.BoolVar(&o.noAdopt, "no-adopt", false, "do not write adopt: true; the containers are taken over with apply --adopt only")
	f.StringArrayVar(&o.files, "file", nil, "read a saved file or pct commands in place of a cluster; - is the standard input; may be repeated")
	f.StringVar(&o.node, "node", "pve", "with --file: the node that the containers are on")
	f.StringVar(&o.name, "cluster", "", "name of the cluster, for the spec")
	f.StringVar(&o.owner, "owner", "", "owner's tag, for the spec (default tend)")
	return cmd
}

func importSpec(cmd *cobra.Command, s *Streams, o importOptions, args []string) error {
	w, err := o.options()
	if err != nil {
		return err
	}
	sources, style, err := o.sources(cmd, s, args)
	if err != nil {
		return err
	}
	w.TagStyle = style
	var result write.Result
	folder := o.out
	if o.merge != "" {
		folder = o.merge
		if result, err = write.Merge(os.DirFS(o.merge), sources, w); err != nil {
			return err
		}
	} else {
		result = write.Spec(sources, w)
	}
	for _, p := range result.Problems {
		if err := view.Note(s.Err, s.errStyle(), p.String()); err != nil {
			return err
		}
	}
	if folder == "" {
		return view.Files(s.Out, result.Files)
	}
	if err := writeFiles(folder, result.Files, o.merge != ""); err != nil {
		return err
	}
	return view.Written(s.Err, s.errStyle(), folder, result.Files)
}

func (o importOptions) options() (write.Options, error) {
	w := write.Options{Cluster: o.name, Owner: o.owner, NoAdopt: o.noAdopt}
	layouts := map[string]write.Layout{"container": write.PerContainer, "tag": write.ByTag, "single": write.Single}
	var ok bool
	if w.Layout, ok = layouts[o.layout]; !ok {
		return w, fmt.Errorf("--layout %s: write container, tag or single", o.layout)
	}
	switch {
	case o.out != "" && o.merge != "":
		return w, errors.New("both --out and --merge are given: leave one out")
	case o.out == "" && o.merge == "":
		w.Layout = write.Single // for the terminal
	}
	return w, nil
}

// sources are the containers to write, from files or from a cluster.
func (o importOptions) sources(cmd *cobra.Command, s *Streams, args []string) ([]write.Source, setting.TagStyle, error) {
	none := setting.TagStyle{}
	if len(o.files) > 0 {
		if len(args) > 0 || o.all {
			return nil, none, errors.New("both --file and containers of a cluster are given: leave one out")
		}
		sources, err := o.fromFiles(s)
		return sources, none, err
	}
	ids, err := vmids(args)
	switch {
	case err != nil:
		return nil, none, fmt.Errorf("%w%s", err, bareSandbox(cmd, args...))
	case len(ids) == 0 && !o.all:
		return nil, none, errors.New("no container is named: write VMIDs, or --all (tend import --help)")
	case len(ids) > 0 && o.all:
		return nil, none, errors.New("both VMIDs and --all are given: leave one out")
	}
	ses, err := s.connect(cmd)
	if err != nil {
		return nil, none, err
	}
	defer ses.close()
	return fromCluster(cmd.Context(), ses.client, ids)
}

func vmids(args []string) ([]proxmox.VMID, error) {
	var out []proxmox.VMID
	for _, a := range args {
		n, err := strconv.Atoi(a)
		if id := proxmox.VMID(n); err == nil && id >= proxmox.MinVMID && id <= proxmox.MaxVMID {
			out = append(out, id)
			continue
		}
		return nil, fmt.Errorf("%q is not a VMID: write a number from %d on", a, proxmox.MinVMID)
	}
	return out, nil
}

// checkVMID checks the VMID of a flag, where it is given.
func checkVMID(flag string, n int) error {
	if id := proxmox.VMID(n); n != 0 && (id < proxmox.MinVMID || id > proxmox.MaxVMID) {
		return fmt.Errorf("--%s %d is not a VMID: write a number from %d on", flag, n, proxmox.MinVMID)
	}
	return nil
}

func fromCluster(ctx context.Context, c *proxmox.Client, ids []proxmox.VMID) ([]write.Source, setting.TagStyle, error) {
	options, err := c.ClusterOptions(ctx)
	if err != nil {
		return nil, setting.TagStyle{}, fmt.Errorf("read datacenter options: %w", err)
	}
	style := setting.TagStyle{CaseSensitive: options.TagStyle.CaseSensitive, KeepOrder: options.TagStyle.Ordering == "config"}
	found, err := live.Read(ctx, c, ids)
	if err != nil {
		return nil, style, err
	}
	var out []write.Source
	for _, f := range found {
		power := spec.Stopped
		if f.Running {
			power = spec.Running
		}
		out = append(out, write.Source{Ref: f.Ref, Power: power, Config: f.Config, Raw: f.Raw})
	}
	return out, style, nil
}

// confName is how Proxmox names configuration files; people append what they like.
var confName = regexp.MustCompile(`^([0-9]+)(?:[-_. ].*)?\.conf$`)

func (o importOptions) fromFiles(s *Streams) ([]write.Source, error) {
	var out []write.Source
	for _, name := range o.files {
		data, err := readInput(s, name)
		if err != nil {
			return nil, err
		}
		if bytes.Contains(data, []byte("pct ")) && !confName.MatchString(filepath.Base(name)) {
			containers, err := pct.Parse(string(data))
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", name, err)
			}
			for _, c := range containers {
				out = append(out, write.FromCommand(o.node, c))
			}
			continue
		}
		m := confName.FindStringSubmatch(filepath.Base(name))
		if m == nil {
			return nil, fmt.Errorf("read %s: it holds no pct commands, and its name does not tell the VMID: call a configuration file ID.conf", name)
		}
		id, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", name, err)
		}
		out = append(out, write.FromFile(proxmox.Ref{Node: o.node, ID: proxmox.VMID(id)}, conffile.Parse(data)))
	}
	return out, nil
}

// maxInput is more than pmxcfs lets a configuration file have.
const maxInput = 4 << 20

func readInput(s *Streams, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(s.In, maxInput))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxInput))
}

// writeFiles writes the files of a spec below a folder. New ones never take the place of what is there; changed
// ones replace what they were made from, each as a whole.
func writeFiles(folder string, files map[string][]byte, replace bool) error {
	names := slices.Sorted(maps.Keys(files))
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(folder, name)); err == nil && !replace {
			return fmt.Errorf("%s is there already and is not overwritten: name another folder, or use --merge", filepath.Join(folder, name))
		}
	}
	for _, name := range names {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := replaceFile(path, files[name]); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile writes a file beside the one it replaces and puts it in its place, so that the spec is never half
// written. A link stays a link.
func replaceFile(path string, data []byte) error {
	mode := os.FileMode(0o644)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
		if info, err := os.Stat(path); err == nil {
			mode = info.Mode().Perm()
		}
	}
	return renameio.WriteFile(path, data, mode)
}
