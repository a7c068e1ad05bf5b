package app

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/cmd/internal/sandbox"
	"github.com/felhom/tend/cmd/internal/view"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// A bound is what the value of a flag must be, beyond its type.
type bound struct {
	flag, want string
	ok         func(n int64) bool // of a number, or of nanoseconds
}

func bounds() []bound {
	atLeast := func(least int64) func(int64) bool { return func(n int64) bool { return n >= least } }
	return []bound{
		{"parallel", "write 1 or more", atLeast(1)},
		{"prune-max", "write 1 or more, or leave --prune out", atLeast(1)},
		{"prune-percent", "write 0 to 100", func(n int64) bool { return n >= 0 && n <= 100 }},
		{"prune-grace", "write a time such as 168h", atLeast(0)},
		{"lock-timeout", "write a time such as 5m, or 0 not to wait", atLeast(0)},
		{"task-timeout", "write a time such as 30m", atLeast(1)},
		{"idle-timeout", "write a time such as 5m, or 0 for never", atLeast(0)},
		{"task-time", "write a time such as 2s", atLeast(0)},
		{"for", "write a time such as 30s", atLeast(0)},
		{"count", "write 1 to 1000", func(n int64) bool { return n >= 1 && n <= 1000 }},
		{"container", "write a VMID, 100 or more", func(n int64) bool {
			return n >= int64(proxmox.MinVMID) && n <= int64(proxmox.MaxVMID)
		}},
	}
}

// checkFlags refuses values that mean nothing, before anything is done.
func checkFlags(cmd *cobra.Command) error {
	for _, b := range bounds() {
		f := cmd.Flags().Lookup(b.flag)
		if f == nil || !f.Changed {
			continue
		}
		n, err := strconv.ParseInt(f.Value.String(), 10, 64)
		if d, derr := time.ParseDuration(f.Value.String()); err != nil && derr == nil {
			n = int64(d)
		}
		if !b.ok(n) {
			return fmt.Errorf("--%s %s: %s", b.flag, f.Value, b.want)
		}
	}
	return nil
}

// checkConsent refuses consent to destroy volumes of containers that the spec does not declare: nothing is changed
// in those, so that it would do nothing and say nothing.
func checkConsent(want *spec.State, p plan.Policy) error {
	for _, id := range slices.Sorted(maps.Keys(p.DestroyVolumes)) {
		if !slices.ContainsFunc(want.Containers, func(c *spec.Container) bool { return c.ID == id }) {
			return fmt.Errorf("--destroy-volume %d:%s: the spec declares no container %d", id, p.DestroyVolumes[id][0], id)
		}
	}
	return nil
}

// bareSandbox says what to write where an argument was meant for the file of --sandbox: its value cannot stand by
// itself, since it can be left out. It is empty where that cannot be.
func bareSandbox(cmd *cobra.Command, args ...string) string {
	f := cmd.Flags().Lookup("sandbox")
	if f == nil || !f.Changed || f.Value.String() != sandbox.DefaultFile {
		return ""
	}
	for _, a := range args {
		if ext := filepath.Ext(a); ext == ".yaml" || ext == ".yml" {
			return fmt.Sprintf("; where %s is the simulator's state, write --sandbox=%s", a, a)
		}
	}
	return ""
}

// specOf reads the spec of a verb that can take --sandbox.
func specOf(cmd *cobra.Command, s *Streams, path string) (*spec.State, error) {
	state, err := loadSpec(s, path)
	meant := bareSandbox(cmd, path)
	var shown exit
	switch {
	case err == nil || meant == "":
	case !errors.As(err, &shown):
		err = fmt.Errorf("%w%s", err, meant)
	default:
		err = errors.Join(view.Note(s.Err, s.errStyle(), strings.TrimPrefix(meant, "; ")), err)
	}
	return state, err
}

// connectedBy are the flags that say where a command connects to, to be given to the next one.
func connectedBy(cmd *cobra.Command) []string {
	var out []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		isSetting := slices.ContainsFunc(config.Settings(), func(s config.Setting) bool {
			return s.Flag == f.Name && s.Name != config.LogLevel && s.Name != config.LogFormat
		})
		switch {
		case !isSetting && f.Name != "sandbox" && f.Name != "config":
		case f.Value.String() == f.NoOptDefVal:
			out = append(out, "--"+f.Name)
		default:
			out = append(out, "--"+f.Name+"="+f.Value.String())
		}
	})
	return out
}
