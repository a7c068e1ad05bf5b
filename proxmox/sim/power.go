package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var powerMgmt = need("/vms/{vmid}", "VM.PowerMgmt")

var powerRoutes = []route{
	{
		method: "POST", path: "/nodes/{node}/lxc/{vmid}/status/start", onNode: true, protected: true, perm: powerMgmt,
		props: props{"skiplock": boolean(), "debug": boolean()}, handler: startContainer,
	},
	{
		method: "POST", path: "/nodes/{node}/lxc/{vmid}/status/stop", onNode: true, protected: true, perm: powerMgmt,
		props: props{"skiplock": boolean(), "overrule-shutdown": boolean()}, handler: stopContainer,
	},
	{
		method: "POST", path: "/nodes/{node}/lxc/{vmid}/status/shutdown", onNode: true, protected: true, perm: powerMgmt,
		props: props{"timeout": integer().from("0"), "forceStop": boolean()}, handler: shutdownContainer,
	},
	{
		method: "POST", path: "/nodes/{node}/lxc/{vmid}/status/reboot", onNode: true, protected: true, perm: powerMgmt,
		props: props{"timeout": integer().from("0")}, handler: rebootContainer,
	},
	{
		method: "POST", path: "/nodes/{node}/lxc/{vmid}/status/suspend", onNode: true, protected: true, perm: powerMgmt,
		handler: suspendContainer,
	},
	{
		method: "POST", path: "/nodes/{node}/lxc/{vmid}/status/resume", onNode: true, protected: true, perm: powerMgmt,
		handler: resumeContainer,
	},
}

// isRunning is LXC.pm, check_running: of the container on the call's node, which need not exist.
func (c *call) isRunning() bool {
	g, err := c.container()
	return err == nil && g.running
}

func (c *call) checkSkipLock() error {
	if c.on("skiplock") && !c.isRoot() {
		return paramError("skiplock", "Only root may use this option.")
	}
	return nil
}

// checkLockBut is check_lock, with a lock that is tolerated.
func checkLockBut(c *conf, tolerated string) error {
	if c.values["lock"] == tolerated {
		return nil
	}
	return checkLock(c)
}

// startContainer is pve-container API2/LXC/Status.pm, vm_start.
func startContainer(c *call) (any, error) {
	if err := c.checkSkipLock(); err != nil {
		return nil, err
	}
	if c.isRunning() {
		return nil, dief("CT %d already running", c.vmid())
	}
	if !c.sim.st.Cluster.Quorate {
		return nil, dief("cluster not ready - no quorum?")
	}
	if _, managed := c.sim.underHA(c.vmid()); managed {
		return c.startByHA()
	}
	return c.fork("vzstart", c.vmid().String(), func(t *task) error {
		if err := t.lockGuest(c.vmid()); err != nil {
			return err
		}
		g, err := c.container()
		if err != nil {
			return err
		}
		if g.conf.on("template") {
			return dief("you can't start a CT if it's a template")
		}
		if !c.on("skiplock") {
			if err := checkLockBut(g.conf, "mounted"); err != nil {
				return err
			}
		}
		if g.conf.on("unprivileged") {
			for m := range g.conf.mounts() {
				if m.on("quota") {
					return dief("Quotas are not supported by unprivileged containers.")
				}
			}
		}
		return t.sim.start(t, g)
	}), nil
}

// start applies what is pending and starts (LXC.pm, vm_start).
func (s *Sim) start(t *task, g *guest) error {
	if len(g.conf.pending.values) > 0 {
		if err := s.applyAllPending(g, t.print); err != nil {
			return err
		}
	}
	if err := s.checkRuntime(g); err != nil {
		return err
	}
	if err := t.work(); err != nil {
		return err
	}
	if reason := s.startFailure(g); reason != "" {
		t.print(reason)
		return dief("startup for container '%d' failed", g.id)
	}
	g.running, g.frozen, g.started, g.pid = true, false, s.opts.Now(), s.tasks.nextPID()
	s.changed(g)
	return nil
}

// startFailure is why a container would not come up: a volume, directory or bridge that is not there. Of a bridge,
// LXC's network hook says so (pve-container lxcnetaddbr, pve-common Network.pm, veth_create and tap_plug).
func (s *Sim) startFailure(g *guest) string {
	for m := range g.conf.mounts() {
		switch m.kind {
		case bindMount:
			if !s.directoryExists(g.node, m.volume) {
				return fmt.Sprintf("directory '%s' does not exist", m.volume)
			}
		case deviceMount:
			if err := s.deviceExists(g.node, m.volume); err != nil {
				return strings.TrimSpace(err.Error())
			}
		case volumeMount:
			if s.st.Volumes[m.volume] == nil {
				return fmt.Sprintf("volume '%s' does not exist", m.volume)
			}
		}
	}
	for _, k := range sortedKeys(g.conf.values) {
		if !isFamily(k, "net") {
			continue
		}
		net, err := netProps.parse(g.conf.values[k], "")
		if err != nil || net["bridge"] == "" || net["link_down"] == "1" {
			continue
		}
		if _, err := s.bridgeMTU(g.node, net["bridge"]); err != nil {
			return strings.TrimSpace(err.Error())
		}
	}
	return ""
}

// applyAllPending applies what is pending on a container that does not run. What fails stays pending.
func (s *Sim) applyAllPending(g *guest, log func(...string)) error {
	cf := g.conf.clone()
	ch := &change{sim: s, guest: g, conf: cf, errs: map[string]string{}, log: log, warn: func(text string) { log(text) }}
	ch.applyPending()
	for _, k := range sortedKeys(ch.errs) {
		log(ch.errs[k])
	}
	return s.write(g, cf)
}

// stopped is what follows when a container stops for whatever reason: the post-stop hook applies what is pending,
// without asking for locks (lxc-pve-poststop-hook).
func (s *Sim) stopped(g *guest) {
	g.running, g.frozen, g.pid = false, false, 0
	s.changed(g)
	if err := s.applyAllPending(g, func(lines ...string) { s.warn("%s", strings.Join(lines, "\n")) }); err != nil {
		s.warn("post-stop hook of %d: %s", g.id, err)
	}
}

// stopContainer is Status.pm, vm_stop.
func stopContainer(c *call) (any, error) {
	if err := c.checkSkipLock(); err != nil {
		return nil, err
	}
	if !c.isRunning() {
		return nil, dief("CT %d not running", c.vmid())
	}
	if _, managed := c.sim.underHA(c.vmid()); managed {
		if c.on("overrule-shutdown") {
			return nil, paramError("overrule-shutdown", "Not applicable for HA resources.")
		}
		return c.stopByHA()
	}
	return c.fork("vzstop", c.vmid().String(), func(t *task) error {
		if c.on("overrule-shutdown") {
			t.overruleShutdown()
		}
		if err := t.lockGuest(c.vmid()); err != nil {
			return err
		}
		g, err := c.container()
		if err != nil {
			return err
		}
		if !c.on("skiplock") {
			if err := checkLockBut(g.conf, "mounted"); err != nil {
				return err
			}
		}
		if err := t.work(); err != nil {
			return err
		}
		if g.running {
			t.sim.stopped(g)
		}
		return nil
	}), nil
}

// overruleShutdown stops the caller's shutdown tasks of the container (GuestHelpers.pm, abort_guest_tasks).
func (t *task) overruleShutdown() {
	var stopped []string
	for _, o := range t.sim.tasks.running() {
		if o.UPID.Type == "vzshutdown" && o.UPID.ID == t.UPID.ID && o.UPID.User == t.UPID.User {
			o.stop()
			stopped = append(stopped, o.upid)
		}
	}
	if len(stopped) > 0 {
		t.print("overruled vzshutdown tasks: " + strings.Join(stopped, ", "))
	}
}

// defaultShutdown is how long a shutdown waits (Status.pm, vm_shutdown).
const defaultShutdown = 60

// shutdownContainer is Status.pm, vm_shutdown.
func shutdownContainer(c *call) (any, error) {
	if !c.isRunning() {
		return nil, dief("CT %d not running", c.vmid())
	}
	if _, managed := c.sim.underHA(c.vmid()); managed {
		return c.stopByHA()
	}
	return c.fork("vzshutdown", c.vmid().String(), func(t *task) error {
		if err := t.lockGuest(c.vmid()); err != nil {
			return err
		}
		g, err := c.container()
		if err != nil {
			return err
		}
		if err := checkLock(g.conf); err != nil {
			return err
		}
		limit := time.Duration(c.integer("timeout", defaultShutdown)) * time.Second
		if !c.on("forceStop") && t.sim.workTime("vzshutdown") > limit {
			if err := t.work(); err != nil {
				return err
			}
			return dief("container did not stop")
		}
		if err := t.work(); err != nil {
			return err
		}
		if g.running {
			t.sim.stopped(g)
		}
		return nil
	}), nil
}

// rebootContainer is Status.pm, vm_reboot. It asks for no lock in the config.
func rebootContainer(c *call) (any, error) {
	if !c.isRunning() {
		return nil, dief("VM %d not running", c.vmid())
	}
	return c.fork("vzreboot", c.vmid().String(), func(t *task) error {
		if err := t.lockGuest(c.vmid()); err != nil {
			return err
		}
		g, err := c.container()
		if err != nil || !g.running {
			return nil
		}
		t.sim.stopped(g)
		return t.sim.start(t, g)
	}), nil
}

// suspendContainer is Status.pm, vm_suspend, which is experimental: the container's processes are written to disk.
func suspendContainer(c *call) (any, error) {
	if !c.isRunning() {
		return nil, dief("CT %d not running", c.vmid())
	}
	return c.fork("vzsuspend", c.vmid().String(), func(t *task) error {
		if err := t.lockGuest(c.vmid()); err != nil {
			return err
		}
		g, err := c.container()
		if err != nil {
			return err
		}
		if err := checkLock(g.conf); err != nil {
			return err
		}
		if err := t.work(); err != nil {
			return err
		}
		t.sim.stopped(g)
		g.frozen = true
		t.sim.changed(g)
		return nil
	}), nil
}

// resumeContainer is Status.pm, vm_resume.
func resumeContainer(c *call) (any, error) {
	if c.isRunning() {
		return nil, dief("CT %d already running", c.vmid())
	}
	return c.fork("vzresume", c.vmid().String(), func(t *task) error {
		if err := t.work(); err != nil {
			return err
		}
		g, err := c.container()
		if err != nil || !g.frozen {
			return dief("command 'lxc-checkpoint -n %s -r --foreground -D /var/lib/vz/dump' failed: exit code 1",
				strconv.Itoa(int(c.vmid())))
		}
		g.running, g.frozen, g.started, g.pid = true, false, t.sim.opts.Now(), t.sim.tasks.nextPID()
		t.sim.changed(g)
		return nil
	}), nil
}
