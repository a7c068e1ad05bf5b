package sim

import (
	"maps"
	"slices"
	"strings"
)

// An OCI is what an OCI image says of how its process is run.
type OCI struct {
	Entrypoint []string `yaml:"entrypoint,omitempty"`
	Cmd        []string `yaml:"cmd,omitempty"`
	Env        []string `yaml:"env,omitempty"` // NAME=VALUE
	WorkingDir string   `yaml:"working-dir,omitempty"`
	UID        string   `yaml:"uid,omitempty"`
	GID        string   `yaml:"gid,omitempty"`
	StopSignal string   `yaml:"stop-signal,omitempty"`
}

// applyImage takes over what an OCI image says, in place of what the call says (LXC/Create.pm, restore_oci_archive).
func (cr *creation) applyImage(t *task) error {
	tpl := t.sim.st.Templates[cr.archive]
	if tpl == nil || tpl.OCI == nil {
		return nil
	}
	img, v := tpl.OCI, cr.conf.values
	if run := commandLine(slices.Concat(img.Entrypoint, img.Cmd)); run != "" && run != "/sbin/init" {
		v["entrypoint"], v["cmode"] = run, "console"
	}
	for k := range maps.Clone(v) {
		if !isFamily(k, "net") {
			continue
		}
		net, err := netProps.parse(v[k], "")
		if err != nil {
			return err
		}
		if _, said := net["host-managed"]; !said {
			net["host-managed"] = "1"
			v[k] = network(net).print()
		}
	}
	for _, line := range [][2]string{
		{"lxc.init.uid", img.UID}, {"lxc.init.gid", img.GID}, {"lxc.init.cwd", img.WorkingDir},
	} {
		if line[1] != "" {
			cr.conf.lxc = append(cr.conf.lxc, line)
		}
	}
	if len(img.Env) > 0 {
		v["env"] = strings.Join(img.Env, "\x00")
	}
	halt := img.StopSignal
	if halt == "" {
		halt = "SIGTERM"
	}
	cr.conf.lxc = append(cr.conf.lxc, [2]string{"lxc.signal.halt", halt})
	return nil
}

// commandLine joins words; those with blanks in quotes.
func commandLine(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w
		if strings.ContainsAny(w, " \t\"'") || w == "" {
			out[i] = `"` + strings.ReplaceAll(strings.ReplaceAll(w, `\`, `\\`), `"`, `\"`) + `"`
		}
	}
	return strings.Join(out, " ")
}

func (o *OCI) clone() *OCI {
	if o == nil {
		return nil
	}
	out := *o
	out.Entrypoint, out.Cmd, out.Env = slices.Clone(o.Entrypoint), slices.Clone(o.Cmd), slices.Clone(o.Env)
	return &out
}
