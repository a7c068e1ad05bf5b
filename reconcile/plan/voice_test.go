package plan_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
)

// flag is a flag of tend that no command stands before.
var flag = regexp.MustCompile(`(^|[^-\w])--\w`)

// TestVoices gives the same ways out in the words of a command line, with its flags, and in those of an agent, which takes
// none: it names its configuration, or a command to run beside it.
func TestVoices(t *testing.T) {
	opens := time.Date(2026, 11, 29, 3, 0, 0, 0, time.UTC)
	values := with(webValues(), "cores", "2")
	foreign := with(webValues(), "tags", "mine")
	unmanaged := func(l *plan.Live) *plan.Live { l.Containers[101].Tags = []string{"mine"}; return l }
	locked := func(t *testing.T) *plan.Live {
		l := observe(t, true, proxmox.Config{Current: webValues()})
		l.Containers[101].Lock, l.Containers[101].Holder = "fstrim", &plan.Holder{}
		return l
	}
	for _, tt := range []struct {
		name           string
		want           *spec.State
		have           func(t *testing.T) *plan.Live
		policy         plan.Policy
		command, agent []string // texts that stand in the plan
	}{
		{
			name: "window", want: declare(t, `"features": {"nesting": true}`, func(c *spec.Container) { c.Restart = spec.RestartWindow }), policy: plan.Policy{WindowOpens: opens},
			have:    func(t *testing.T) *plan.Live { return observe(t, true, proxmox.Config{Current: values}) },
			command: []string{"waits for a maintenance window", "apply in a window: --window", "restart it now: --restart"},
			agent:   []string{"waits for a maintenance window, which opens Sun 2026-11-29 03:00", "by hand: tend apply --restart"},
		},
		{
			name: "no window", want: declare(t, `"features": {"nesting": true}`, func(c *spec.Container) { c.Restart = spec.RestartWindow }),
			have:    func(t *testing.T) *plan.Live { return observe(t, true, proxmox.Config{Current: values}) },
			command: []string{"apply in a window: --window"},
			agent:   []string{"and none is to open", `write one in the agent's configuration: windows: [{schedule: "sun 03:00", duration: 2h}]`},
		},
		{
			name: "never", want: declare(t, `"features": {"nesting": true}`),
			have:    func(t *testing.T) *plan.Live { return observe(t, true, proxmox.Config{Current: values}) },
			command: []string{"restart it now: --restart", "write restart: now or restart: window"},
			agent:   []string{"by hand: tend apply --restart", "write restart: now or restart: window"},
		},
		{
			name: "adopt", want: declare(t, ""),
			have:    func(t *testing.T) *plan.Live { return unmanaged(observe(t, true, proxmox.Config{Current: foreign})) },
			command: []string{"write adopt: true, or apply with --adopt"},
			agent:   []string{"write adopt: true for it, or in the agent's configuration"},
		},
		{
			name: "lock", want: declare(t, ""), have: locked,
			command: []string{"if none runs any more: --unlock 101"},
			agent:   []string{"if none runs any more: tend apply --unlock 101"},
		},
		{
			name: "failing disk", want: read(t, "cluster: {owner: tend}\ncontainers: {web: {id: 101, node: pve1, state: stopped, rootfs: {storage: zfs, size: 8GiB}}}"),
			have: func(*testing.T) *plan.Live {
				return besides(func(l *plan.Live) { container101(l); l.Disks["pve1"] = failing("zfs") })
			},
			command: []string{"do it all the same: --allow-failing-disk pve1:sda"},
			agent:   []string{`do it all the same: allowFailingDisks: "pve1:sda" in the agent's configuration`},
		},
		{
			name: "prune", want: read(t, "cluster: {owner: tend}\ncontainers: {db: {id: 102, node: pve1, rootfs: {storage: zfs, size: 8GiB}}}"), policy: plan.Policy{Prune: true},
			have: func(*testing.T) *plan.Live {
				return besides(func(l *plan.Live) {
					container101(l)
					second := *l.Containers[101]
					second.Ref.ID, second.Name = 103, "old"
					l.Containers[103] = &second
				})
			},
			command: []string{"allow more: --prune-max"},
			agent:   []string{"allow more: prune: {max: N} in the agent's configuration"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for voice, texts := range map[plan.Voice][]string{plan.ToCommand: tt.command, plan.ToAgent: tt.agent} {
				tt.policy.Voice = voice
				got := said(plan.Compute(tt.want, tt.have(t), tt.policy))
				all := strings.Join(got, "\n")
				for _, want := range texts {
					if !strings.Contains(all, want) {
						t.Errorf("to %q without %q:\n%s", voice, want, all)
					}
				}
				if i := slices.IndexFunc(got, func(s string) bool { return flag.MatchString(commands.ReplaceAllString(s, "")) }); i >= 0 && voice == plan.ToAgent {
					t.Errorf("an agent is told of a flag: %s", got[i])
				}
			}
		})
	}
}

// commands are those that ways out may name as a whole.
var commands = regexp.MustCompile(`(tend (apply|plan|doctor|import)|pct|pvesh|pveum|ha-manager) .*`)

// said are all texts that a plan has for a person who must do something.
func said(p *plan.Plan) []string {
	out := slices.Clone(p.Warnings)
	for _, b := range p.Blocked {
		out = append(append(out, b.Reason), b.Ways...)
	}
	return out
}
