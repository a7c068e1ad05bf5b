package sim

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A dump is a run of vzdump (pve-manager VZDump.pm).
type dump struct {
	call    *call
	set     map[string]string
	ids     []proxmox.VMID
	storage string
}

func (d *dump) work(t *task) error {
	s := t.sim
	t.term = "interrupted by signal"
	if d.set["dumpdir"] == "" {
		cfg, err := s.enabledStorage(d.storage, d.call.node)
		if err == nil && !cfg.holds("backup") {
			err = dief("can't use storage '%s' for backups - wrong content type", d.storage)
		}
		if err != nil {
			return prefixed(fmt.Sprintf("could not get storage information for '%s':", d.storage), err)
		}
	}
	if !truthy(d.set["all"]) {
		for _, id := range d.ids {
			if err := d.call.need(vmPath(id), "VM.Backup"); err != nil {
				return err
			}
		}
	}
	t.print("INFO: starting new backup job: " + d.commandLine())
	failed := false
	for _, id := range d.ids {
		if truthy(d.set["all"]) && !s.access.has(d.call.user, vmPath(id), "VM.Backup") {
			continue
		}
		if err := d.guest(t, id); err != nil {
			failed = true
			text := strings.TrimSpace(perlString(err))
			t.print(fmt.Sprintf("ERROR: Backup of VM %d failed - %s", id, text), "INFO: Failed at "+stamp(s))
			if t.ctx.Err() != nil {
				return err
			}
		}
	}
	if failed {
		t.print("INFO: Backup job finished with errors")
		return dief("job errors")
	}
	t.print("INFO: Backup job finished successfully")
	return nil
}

func (d *dump) guest(t *task, id proxmox.VMID) error {
	s := t.sim
	g := s.guests[id]
	if g == nil {
		return dief("unable to find VM '%d'", id)
	}
	if g.vm != nil {
		return dief("unable to backup VM %d: virtual machines are not simulated", id)
	}
	if err := t.lockGuest(id); err != nil {
		return err
	}
	err := s.setLock(g, "backup")
	t.unlockGuest(id)
	if err != nil {
		return err
	}
	start := s.opts.Now()
	t.print(fmt.Sprintf("INFO: Starting Backup of VM %d (lxc)", id), "INFO: Backup started at "+stamp(s))
	err = d.archive(t, g)
	if lerr := s.removeLock(g, "backup"); lerr != nil {
		t.warnErr(lerr)
	}
	if err != nil {
		return err
	}
	t.print(fmt.Sprintf("INFO: Finished Backup of VM %d (%s)", id, clock(int64(s.opts.Now().Sub(start).Seconds()))),
		"INFO: Backup finished at "+stamp(s))
	return nil
}

func clock(sec int64) string { return fmt.Sprintf("%02d:%02d:%02d", sec/3600, sec/60%60, sec%60) }

// mode is how the backup is taken: a snapshot needs storages that can, else the container is suspended.
func (d *dump) mode(t *task, g *guest) string {
	mode := cmp.Or(d.set["mode"], "snapshot")
	if !g.running {
		return "stop"
	}
	if mode == "snapshot" && !t.sim.sectionHasFeature("snapshot", g.conf.section, "", true) {
		t.print("INFO: mode failure - some volumes do not support snapshots", "INFO: trying 'suspend' mode instead")
		return "suspend"
	}
	return mode
}

func (d *dump) archive(t *task, g *guest) error {
	s := t.sim
	state := "stopped"
	if g.running {
		state = "running"
	}
	t.print("INFO: status = " + state)
	if err := d.limit(g); err != nil {
		return err
	}
	mode := d.mode(t, g)
	t.print("INFO: backup mode: "+mode, "INFO: ionice priority: "+cmp.Or(d.set["ionice"], "7"), "INFO: CT Name: "+g.name())
	data, err := d.volumes(t, g)
	if err != nil {
		return err
	}
	size := max(data/cmp.Or(s.opts.Packed, packRatio), 512)
	restart := mode == "stop" && g.running
	if restart {
		t.print("INFO: stopping virtual guest")
		s.stopped(g)
	}
	volid := d.volid(g)
	if d.onServer() {
		t.print(fmt.Sprintf("INFO: creating Proxmox Backup Server archive '%s'", volid[strings.Index(volid, "/")+1:]))
	} else {
		t.print(fmt.Sprintf("INFO: creating vzdump archive '%s'", s.volumePath(volid)))
	}
	if err := t.work(); err != nil {
		return err
	}
	if restart {
		t.print("INFO: restarting vm")
		if err := s.start(t, g); err != nil {
			return err
		}
	}
	if s.freeBytes(d.storage) < size {
		t.print("INFO: zstd: error 70 : Write error : cannot write block : No space left on device")
		return dief("command 'set -o pipefail && tar cpf - ...' failed: exit code 2")
	}
	d.keep(t, g, volid, &Backup{Size: Bytes(size), Data: Bytes(data)})
	return nil
}

// volumes says what goes into the archive, and how much that is.
func (d *dump) volumes(t *task, g *guest) (int64, error) {
	data := int64(0)
	for m := range g.conf.mounts() {
		reason := "disabled"
		switch {
		case m.backedUp():
			t.print(fmt.Sprintf("INFO: including mount point %s ('%s') in backup", m.key, m.parts["mp"]))
			v := t.sim.st.Volumes[m.volume]
			if v == nil {
				return 0, dief("volume '%s' does not exist", m.volume)
			}
			data += t.sim.written(m.volume)
			continue
		case m.kind != volumeMount:
			reason = "not a volume"
		}
		t.print(fmt.Sprintf("INFO: excluding %s mount point %s ('%s') from backup (%s)", m.kind, m.key, m.parts["mp"], reason))
	}
	return data, nil
}

var compressions = map[string]string{"": ".tar", "0": ".tar", "1": ".tar.lzo", "lzo": ".tar.lzo", "gzip": ".tar.gz", "zstd": ".tar.zst"}

func (d *dump) volid(g *guest) string {
	if d.onServer() {
		return fmt.Sprintf("%s:backup/ct/%d/%s", d.storage, g.id, d.call.sim.opts.Now().UTC().Format("2006-01-02T15:04:05Z"))
	}
	return fmt.Sprintf("%s:backup/vzdump-lxc-%d-%s%s", d.storage, g.id, d.call.sim.opts.Now().Format(archiveStamp),
		compressions[d.set["compress"]])
}

// onServer reports whether the backup goes to a Proxmox Backup Server.
func (d *dump) onServer() bool { return d.call.sim.st.Storages[d.storage].Type == "pbs" }

// keep notes the archive, and removes older ones by the retention of the call or the storage.
func (d *dump) keep(t *task, g *guest, volid string, b *Backup) {
	s := t.sim
	t.print(fmt.Sprintf("INFO: archive file size: %dMB", b.Size/mebibyte))
	cf := g.conf.clone()
	cf.snaps, cf.pending = map[string]section{}, newSection()
	for _, k := range []string{"lock", "parent"} {
		delete(cf.values, k)
	}
	raw, err := cf.render()
	if err != nil {
		t.warnErr(err)
	}
	b.CTime, b.Notes, b.Protected, b.Node, b.Config = s.opts.Now().Unix(), d.notes(g), truthy(d.set["protected"]), d.call.node, raw
	s.st.Backups[volid] = b
	s.store.touch()
	if d.set["notes-template"] != "" {
		t.print("INFO: adding notes to backup")
	}
	d.prune(t, g)
}

// limit refuses one more backup than retention keeps, where none is to be removed (VZDump.pm, exec_backup_task).
func (d *dump) limit(g *guest) error {
	s, most, have := d.call.sim, 0, 0
	keep, err := parseKeep(cmp.Or(d.set["prune-backups"], s.st.Storages[d.storage].Prune, "keep-all=1"))
	if err != nil || d.set["remove"] != "0" || truthy(keep["keep-all"]) {
		return nil
	}
	for _, n := range keep {
		most += int(mustFloat(n))
	}
	for volid, b := range s.st.Backups {
		if n, err := s.parseVolume(volid); err == nil && n.storage == d.storage && n.owner == g.id && !b.Protected {
			have++
		}
	}
	if have >= most {
		return dief("There is a max backup limit of %d enforced by the target storage or the vzdump parameters. Either increase the limit or delete old backups.", most)
	}
	return nil
}

func (d *dump) prune(t *task, g *guest) {
	text := cmp.Or(d.set["prune-backups"], t.sim.st.Storages[d.storage].Prune)
	if d.set["remove"] == "0" || text == "" {
		return
	}
	keep, err := parseKeep(text)
	if err != nil || truthy(keep["keep-all"]) {
		return
	}
	t.print("INFO: prune older backups with retention: " + text)
	n := 0
	for _, b := range t.sim.markBackups(d.storage, keep, g.id.String(), "lxc") {
		if b.Mark == "remove" {
			n++
			t.print("INFO: removing backup '" + b.VolID + "'")
			delete(t.sim.st.Backups, b.VolID)
		}
	}
	t.sim.store.touch()
	t.print(fmt.Sprintf("INFO: pruned %d backup(s) not covered by keep-retention policy", n))
}
