package reconcile_test

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/reconcile"
	"github.com/felhom/tend/reconcile/plan"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// A keyCase is a value that is tried on a container.
type keyCase struct {
	*testing.T
	tr         trial
	key        pveKey
	row        setting.Row
	at         string // Proxmox's key
	running    bool
	node       *node
	witness    *witness
	run        *reconcile.Reconciler
	base, with *spec.State
	lane       []string // nodes of the root lane
}

var keyRef = proxmox.Ref{Node: "pve1", ID: 101}

func newKeyCase(t *testing.T, tr trial, k pveKey, stem string, running bool) *keyCase {
	t.Helper()
	c := &keyCase{T: t, tr: tr, key: k, running: running, at: cmp.Or(tr.At, stem), node: newNode(t, sim.Options{}, labWithMore)}
	for _, row := range setting.Container.Rows {
		if row.PVEKey() == stem {
			c.row = row
		}
	}
	user := agent
	if tr.Strong || tr.Recreate {
		user = strong
	}
	c.witness = &witness{Transport: c.node.As(user)}
	c.run = c.node.reconcilerAs(user, nil)
	c.run.Client = proxmox.NewClient(c.witness)
	c.base, c.with = c.load(tr.Base, nil), c.load(tr.Base, tr.With)
	first := merged(map[string]any{}, tr.Base)
	delete(first, "devices") // a token cannot make it with these
	c.apply(c.load(first, nil), plan.Policy{})
	if d := first["devices"]; d == nil && tr.Base["devices"] != nil {
		c.byHand(proxmox.Values{"dev0": "/dev/net/tun"})
	}
	if running {
		_, err := c.node.root.Start(t.Context(), keyRef)
		if err != nil || !c.isRunning() {
			t.Fatalf("it does not run: %v", err)
		}
	}
	c.inSync(c.base)
	return c
}

// labWithMore is lab.yaml with what values of keys name.
func labWithMore(st *sim.State) {
	n := st.Nodes["pve1"]
	n.Bridges["vmbr1"] = &sim.Bridge{MTU: 1500}
	n.Devices = append(n.Devices, "/dev/dri/renderD128", "/dev/net/tun")
	st.Snippets = append(st.Snippets, "local:snippets/hook.sh")
	st.Volumes["local:101/vm-101-disk-9.raw"] = &sim.Volume{Size: 1 << 30, Node: "pve1"}
}

func (c *keyCase) load(base, with map[string]any) *spec.State {
	c.Helper()
	s, err := c.tr.load(base, with)
	if err != nil {
		c.Fatal(err)
	}
	return s
}

func (c *keyCase) apply(want *spec.State, pol plan.Policy) reconcile.Outcome {
	c.Helper()
	pol.RootNodes = c.lane
	c.run.Policy = pol
	out := once(c.T, c.run, want)
	converged(c.T, out)
	c.witness.check(c.T)
	return out
}

func (c *keyCase) plan(want *spec.State) *plan.Plan {
	c.Helper()
	c.run.Policy = plan.Policy{RootNodes: c.lane}
	p, _, err := c.run.Plan(c.Context(), want)
	if err != nil {
		c.Fatal(err)
	}
	return p
}

func (c *keyCase) inSync(want *spec.State) {
	c.Helper()
	if p := c.plan(want); !p.Synced() {
		c.Errorf("not in sync:\n%s", p)
	}
}

func (c *keyCase) config() proxmox.Config {
	c.Helper()
	cfg, err := c.node.root.Config(c.Context(), keyRef)
	if err != nil {
		c.Fatal(err)
	}
	if raw, err := c.node.root.LiveConfig(c.Context(), keyRef); err == nil && len(raw.Raw) > 0 {
		var lines []string
		for _, l := range raw.Raw {
			lines = append(lines, l.Key+": "+l.Value)
		}
		cfg.Current["lxc"] = strings.Join(lines, "\n")
	}
	return cfg
}

// effect is what the file says of a change of the key.
func (c *keyCase) effect(special string) setting.Effect {
	c.Helper()
	if !c.running {
		return setting.Online
	}
	text := cmp.Or(special, regexp.MustCompile(`^[a-z_]+`).FindString(c.key.Running))
	e, ok := map[string]setting.Effect{
		"immediate": setting.Online, "immediate_config": setting.Online, "hotplug": setting.Online, "online": setting.Online,
		"pending": setting.Restart, "restart": setting.Restart, "link flap": setting.LinkFlap,
	}[text]
	if !ok {
		c.Fatalf("what effect is %q?", text)
	}
	return e
}

// one checks that a plan is one change of the row with an effect.
func (c *keyCase) one(p *plan.Plan, want setting.Effect) {
	c.Helper()
	changes := c.changes(p)
	if len(changes) != 1 || changes[0].Row.SpecPath() != c.row.SpecPath() || changes[0].Effect != want {
		c.Errorf("want one change of %s, %s:\n%s", c.row.SpecPath(), want, p)
	}
}

// changes are the changes of a plan, those that are blocked too.
func (c *keyCase) changes(p *plan.Plan) []setting.Change {
	var out []setting.Change
	for _, l := range p.Lanes {
		out = append(out, l.Changes...)
	}
	for _, b := range p.Blocked {
		if b.Change != nil {
			out = append(out, *b.Change)
		}
	}
	return out
}

// byToken makes the change as a token, and takes it back.
func (c *keyCase) byToken() {
	before := c.config()
	c.change(c.with, c.effect(c.tr.Effect), c.told)
	switch {
	case c.tr.Kept:
		c.inSync(c.base)
		return
	case c.tr.Shrink:
		p := c.plan(c.base)
		if !p.Empty() || len(p.Blocked) != 1 || p.Blocked[0].Change.Effect != setting.Refused {
			c.Errorf("a volume shrinks:\n%s", p)
		}
		return
	}
	c.change(c.base, c.effect(cmp.Or(c.tr.Back, c.tr.Effect)), func(cfg proxmox.Values) bool { return !c.told(cfg) })
	after := c.config()
	for _, key := range slices.Concat(before.Current.Keys(), after.Current.Keys()) {
		a, b := before.Current[key], after.Current[key]
		a, b = sizeText.ReplaceAllString(a, ""), sizeText.ReplaceAllString(b, "")
		if a != b && !strings.HasPrefix(key, "unused") && !c.sameDefault(key, a, b) {
			c.Errorf("%s was %q and is %q after the way back", key, a, b)
		}
	}
}

// told reports whether a configuration holds the value.
func (c *keyCase) told(cfg proxmox.Values) bool {
	if c.tr.Absent {
		return cfg[c.at] == ""
	}
	return strings.Contains(cfg[c.at], c.tr.Wire)
}

// sizeText is what Proxmox reads from the storage anew when a mount is set, and not when it is created.
var sizeText = regexp.MustCompile(`,size=[^,]*`)

// sameDefault reports whether two texts of a key mean the same, one of them by its absence.
func (c *keyCase) sameDefault(key, a, b string) bool {
	for _, row := range setting.Container.Rows {
		if row.PVEKey() != key {
			continue
		}
		var v [2]any
		for i, text := range []string{a, b} {
			if text != "" {
				v[i], _ = row.ParseWire(text)
			}
		}
		return row.Equal(v[0], v[1])
	}
	return false
}

// change plans a change, makes it without a restart, and where it needs one, with it.
func (c *keyCase) change(want *spec.State, effect setting.Effect, good func(proxmox.Values) bool) {
	c.Helper()
	p := c.plan(want)
	c.one(p, effect)
	c.node.reset(nil)
	out := c.apply(want, plan.Policy{})
	if stopped := slices.ContainsFunc(c.node.mutations(), isPower); stopped || c.isRunning() != c.running {
		c.Errorf("the power state was touched: %v", c.node.mutations())
	}
	cfg := c.config()
	waits := len(cfg.Pending)+len(cfg.Deleted) > 0 || c.at == setting.Raw.PVE && c.running // which are pending nowhere
	if waits != (effect == setting.Restart) || (out.Worst() == reconcile.PendingRestart) != waits {
		c.Errorf("pending: %v %v, %s; want the effect %s", cfg.Pending, cfg.Deleted, out.Worst(), effect)
	}
	if waits {
		if good(cfg.Current) {
			c.Errorf("%s=%q is in force without a restart", c.at, cfg.Current[c.at])
		}
		again := c.plan(want)
		if !again.Empty() || len(again.Blocked) == 0 || slices.ContainsFunc(again.Blocked, func(b plan.Blocked) bool { return !b.Waiting }) {
			c.Errorf("before the restart, the plan is\n%s", again)
		}
		if out := c.apply(want, plan.Policy{RestartAll: true}); out.Worst() != reconcile.Restarted {
			c.Errorf("the restart: %s", summary(out))
		}
	}
	if cfg := c.config(); !good(cfg.Current) || len(cfg.Pending)+len(cfg.Deleted) > 0 {
		c.Errorf("%s=%q, pending %v %v; want %q", c.at, cfg.Current[c.at], cfg.Pending, cfg.Deleted, c.tr.Wire)
	}
	c.inSync(want)
}

func isPower(call string) bool { return strings.Contains(call, "/status/") }

func (c *keyCase) isRunning() bool {
	c.Helper()
	s, err := c.node.root.Status(c.Context(), keyRef)
	if err != nil {
		c.Fatal(err)
	}
	return s.Status == proxmox.Running
}

// byRoot shows that the change is blocked, that it is in sync once root@pam has made it by hand, and so the way back.
func (c *keyCase) byRoot() {
	c.blocked(c.with, c.base, c.effect(c.tr.Effect))
	c.byHand(proxmox.Values{c.at: c.text(c.with, c.base)})
	c.restart()
	if cfg := c.config(); !strings.Contains(cfg.Current[c.at], c.tr.Wire) {
		c.Errorf("%s=%q, want %q", c.at, cfg.Current[c.at], c.tr.Wire)
	}
	c.inSync(c.with)
	switch {
	case c.tr.Freely:
		c.change(c.base, c.effect(c.tr.Back), func(cfg proxmox.Values) bool { return cfg[c.at] == "" })
	case c.at == "lxc": // compared only where a spec has any
		c.inSync(c.base)
		c.blocked(c.load(c.tr.Base, map[string]any{"lxc": []any{}}), c.with, c.effect(c.tr.Effect))
	default:
		c.blocked(c.base, c.with, c.effect(cmp.Or(c.tr.Back, c.tr.Effect)))
	}
}

// byLane makes the change in the root lane, and takes it back.
func (c *keyCase) byLane() {
	c.node.openLane(c.run)
	c.lane = c.run.Policy.RootNodes
	back := c.base
	if c.at == setting.Raw.PVE { // compared only where a spec has any
		back = c.load(c.tr.Base, map[string]any{"lxc": []any{}})
	}
	c.change(c.with, c.effect(c.tr.Effect), c.told)
	c.change(back, c.effect(cmp.Or(c.tr.Back, c.tr.Effect)), func(cfg proxmox.Values) bool { return !c.told(cfg) })
}

// text is what a spec means, by the table, where it differs from another; "" where that is nothing.
func (c *keyCase) text(want, other *spec.State) string {
	w, o := want.Containers[0].Settings, other.Containers[0].Settings
	f := setting.Facts{Unprivileged: !c.tr.Strong}
	fam, ok := c.row.(*setting.Family)
	if !ok {
		v, _ := c.row.Want(w[c.row.SpecPath()], nil, f)
		return c.row.FormatWire(v)
	}
	was, _ := o[fam.Path].(setting.Members)
	members, _ := w[fam.Path].(setting.Members)
	for id, r := range members {
		if old, had := was[id]; !had || !fam.Member.Equal(old, r) {
			return fam.FormatMember(id, fam.Member.Merge(r, nil, f))
		}
	}
	return ""
}

// byHand sets something as root@pam; raw lines go into the file.
func (c *keyCase) byHand(v proxmox.Values) {
	c.Helper()
	err := c.node.root.SetConfig(c.Context(), keyRef, proxmox.Update{Set: v})
	if lines := v["lxc"]; lines != "" {
		if err == nil {
			c.Error("a call takes raw lines")
		}
		err = c.node.EditConfig(keyRef.ID, func(raw string) string { return raw + lines + "\n" })
	}
	if err != nil {
		c.Fatal(err)
	}
}

func (c *keyCase) restart() {
	c.Helper()
	if !c.running {
		return
	}
	if _, err := c.node.root.Reboot(c.Context(), keyRef, 0); err != nil {
		c.Fatal(err)
	}
}

// blocked checks that a plan is one change that only root may make, that nothing is sent for it, and that a token
// would be refused with the text that the plan shows.
func (c *keyCase) blocked(want, from *spec.State, effect setting.Effect) {
	c.Helper()
	p := c.plan(want)
	c.one(p, effect)
	if !p.Empty() || len(p.Blocked) != 1 || !p.Blocked[0].Change.Access.Root {
		c.Fatalf("want one change blocked for root@pam:\n%s", p)
	}
	b := p.Blocked[0]
	text := b.Change.Access.Refusal
	if text == "" || !strings.Contains(b.Reason, text) || !strings.Contains(b.Reason, b.Change.Access.Reason) {
		c.Errorf("reason %q lacks %q or %q", b.Reason, b.Change.Access.Reason, text)
	}
	if c.key.Refusal != nil && !strings.Contains(fmt.Sprint(c.key.Refusal), text) {
		c.Errorf("%q is none of %v", text, c.key.Refusal)
	}
	c.node.reset(nil)
	if out := c.apply(want, plan.Policy{RestartAll: true}); out.Worst() != reconcile.Blocked || len(c.node.mutations()) > 0 {
		c.Errorf("%v was sent: %s", c.node.mutations(), summary(out))
	}
	u := proxmox.Update{Set: proxmox.Values{c.at: c.text(want, from)}}
	if u.Set[c.at] == "" {
		u = proxmox.Update{Delete: []string{c.at}}
	}
	err := proxmox.NewClient(c.node.As(agent)).SetConfig(c.Context(), keyRef, u)
	if raw := c.at == "lxc" && len(u.Delete) > 0; err == nil || !raw && !strings.Contains(err.Error(), text) {
		c.Errorf("a token is told %v, want %q", err, text)
	}
}

// recreated shows that the change is blocked, and made with a new container where the spec allows that.
func (c *keyCase) recreated() {
	p := c.plan(c.with)
	c.one(p, setting.Recreate)
	if !p.Empty() || len(p.Blocked) != 1 {
		c.Errorf("an existing container changes %s:\n%s", c.row.SpecPath(), p)
	}
}

// once shows a change that is made of a stopped container and can never be taken back.
func (c *keyCase) once() {
	if p := c.plan(c.load(c.tr.Base, merged(c.tr.With, map[string]any{"state": "any"}))); c.running && (!p.Empty() || c.changes(p)[0].Effect != setting.Refused) {
		c.Errorf("a running container changes %s:\n%s", c.row.SpecPath(), p)
	}
	c.apply(c.with, plan.Policy{})
	if cfg := c.config(); !c.told(cfg.Current) {
		c.Errorf("%s=%q, want %q", c.at, cfg.Current[c.at], c.tr.Wire)
	}
	c.inSync(c.with)
	p := c.plan(c.base)
	c.one(p, setting.Recreate)
	if !p.Empty() || len(p.Blocked) != 1 {
		c.Errorf("it is taken back:\n%s", p)
	}
}
