package sim

import (
	"fmt"
	"maps"
	"slices"

	"github.com/felhom/tend/proxmox"
)

// What follows is what a person at a node's shell, or the inside of a container, can do past the API: for tests.

// host runs fn with the container, and writes the state.
func (s *Sim) host(id proxmox.VMID, what string, fn func(*guest) error) error {
	s.mu.Lock()
	g := s.guests[id]
	var err error
	if g == nil || g.vm != nil {
		err = fmt.Errorf("there is no container %d", id)
	} else {
		err = fn(g)
	}
	s.mu.Unlock()
	if err == nil {
		err = s.store.sync()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Unlock removes the lock of a container's config, as "pct unlock" does.
func (s *Sim) Unlock(id proxmox.VMID) error {
	return s.host(id, "unlock", func(g *guest) error {
		c := g.conf.clone()
		delete(c.values, "lock")
		return s.write(g, c)
	})
}

// EditConfig replaces the config file of a container, as an editor in /etc/pve does: verbatim.
func (s *Sim) EditConfig(id proxmox.VMID, edit func(raw string) string) error {
	return s.host(id, "edit config", func(g *guest) error {
		g.raw = edit(g.raw)
		g.conf = parseConf(g.raw, func(text string) { s.warn("vm %d - %s", id, text) })
		s.changed(g)
		return nil
	})
}

// Volumes names the volumes on all storages, in order, as looking at the storages themselves does.
func (s *Sim) Volumes() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.st.Volumes))
}

// Running tells of each container whether it runs.
func (s *Sim) Running() map[proxmox.VMID]bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := map[proxmox.VMID]bool{}
	for id, g := range s.guests {
		if g.vm == nil {
			out[id] = g.running
		}
	}
	return out
}

// RemoveConfig removes the config file of a container, and nothing else.
func (s *Sim) RemoveConfig(id proxmox.VMID) error {
	return s.host(id, "remove config", func(*guest) error {
		s.remove(id)
		return nil
	})
}

// PowerOff stops a container from inside: what is pending is applied, without regard to locks.
func (s *Sim) PowerOff(id proxmox.VMID) error {
	return s.host(id, "power off", func(g *guest) error {
		if !g.running {
			return fmt.Errorf("container %d is not running", id)
		}
		s.stopped(g)
		return nil
	})
}

// KillTask kills the worker of a task that runs, as the kernel does when it is out of memory: nothing is cleaned up,
// and the task ends with "unexpected status".
func (s *Sim) KillTask(upid string) error {
	s.mu.Lock()
	t := s.tasks.byUPID[upid]
	if t == nil || t.Status != "" {
		s.mu.Unlock()
		return fmt.Errorf("kill task: %q does not run", upid)
	}
	t.kill()
	s.mu.Unlock()
	<-t.done
	return nil
}
