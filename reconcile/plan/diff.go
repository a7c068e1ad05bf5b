package plan

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/spec/setting"
)

// An edit is a change and the way in which it is told to Proxmox.
type edit struct {
	change setting.Change
	kind   editKind
	key    string // Proxmox's key
	value  string // of a set; the storage of a move
	size   setting.Bytes
	frees  string // the volume that is destroyed once it is not mounted any more
	// undo says that a value is pending, which a delete would leave: Proxmox would drop what is in force and
	// then put the pending value in its place (pve-guest-common AbstractConfig.pm, add_to_pending_delete).
	undo bool
	// drop says who may drop what is pending for the key; nobody need where nothing is.
	drop setting.Access
}

type editKind int

const (
	editSet      editKind = iota
	editDelete            // remove the key
	editRevert            // drop what is pending
	editWait              // it is pending as it shall be: nothing to send, a restart is missing
	editGrow              // grow the volume
	editAlloc             // set, and Proxmox makes or attaches a volume
	editNet               // set or delete a network interface
	editMove              // move the volume to another storage
	editFree              // destroy a volume that nothing mounts
	editTemplate          // make the container a template
	editRaw               // write the lines for LXC itself into the configuration file
)

// A differ compares what a container shall be with what it is and will be once it has stopped.
type differ struct {
	want   setting.Record
	have   *Observed
	facts  setting.Facts
	ignore []string
	edits  []edit
	// destroy are the mounts whose volumes go with them, by their path.
	destroy map[string]bool
	// paths are those that mounts shall have, by their key.
	paths map[string]string
}

// diff returns the edits that a container needs, in the order of the table.
func diff(want setting.Record, have *Observed, f setting.Facts, ignore []string) []edit {
	d := &differ{want: want, have: have, facts: f, ignore: ignore, destroy: map[string]bool{}}
	for _, row := range setting.Container.Rows {
		if slices.Contains(ignore, row.SpecPath()) {
			continue
		}
		if fam, ok := row.(*setting.Family); ok {
			d.family(fam)
			continue
		}
		d.row(row)
	}
	return d.edits
}

func (d *differ) add(e edit) {
	_, e.undo = d.have.Config.Pending[e.key]
	if d.have.pending(e.key) {
		e.drop = d.dropAccess(e)
	}
	if e.kind == editRevert {
		e.change.Access = e.drop
	}
	d.edits = append(d.edits, e)
}

// dropAccess says who may drop what is pending for a key: who may delete what is in force, whatever is pending
// (pve-container API2/LXC/Config.pm, update_vm).
func (d *differ) dropAccess(e edit) setting.Access {
	row := e.change.Row
	if fam, ok := row.(*setting.Family); ok {
		id, current := at(d.have.Current, fam, e.key)
		return fam.Change(id, current, nil, 0, d.facts).Access
	}
	return row.Access(d.have.Current.Record[row.SpecPath()], nil, d.facts)
}

// row compares a setting with one key.
func (d *differ) row(row setting.Row) {
	path := row.SpecPath()
	if path == setting.Raw.Path && d.have.Raw == nil {
		return // nobody has asked for them
	}
	current, next := d.have.Current.Record[path], d.have.Next.Record[path]
	v, ok := row.Want(d.want[path], next, d.facts)
	if !ok {
		v = nil
	}
	if path == setting.RootFS.Path {
		d.volume(row, row.PVEKey(), current, next, v)
		return
	}
	ch := scalarChange(row, current, v, d.facts)
	e, differs := d.against(row.Equal, row.PVEKey(), current, next, v, ch)
	if !differs {
		return
	}
	if e.kind == editSet {
		e.value = row.FormatWire(v)
		if v == nil || e.value == "" || row.Equal(v, nil) && !row.Info().Fixed && !explicitOff(current) {
			e.kind = editDelete
		}
		switch {
		case path == setting.Template.Path && v == true && !d.have.flagless():
			e.kind = editTemplate
		case path == setting.Raw.Path:
			e.kind = editRaw
		}
	}
	d.add(e)
}

// explicitOff keeps parts that are written as off: for features Proxmox tells them from absent ones.
func explicitOff(current any) bool {
	r, ok := current.(setting.Record)
	return ok && len(r) > 0
}

// against decides between what is in force and what is pending. differs is false where nothing is to do.
func (d *differ) against(
	equal func(a, b any) bool, key string, current, next, want any, ch setting.Change,
) (e edit, differs bool) {
	e = edit{change: ch, key: key, kind: editSet}
	pending := d.have.pending(key)
	switch {
	case equal(want, current) && !pending:
		return e, false
	case equal(want, current):
		e.kind = editRevert
		e.change.Old, e.change.Effect, e.change.Note = value(next), setting.Online, "drops a change that is pending"
		e.change.Renamed = renamed(next, want)
	case pending && d.facts.Running && equal(want, next):
		e.kind = editWait
		e.change.Effect, e.change.Note = setting.Restart, "pending already"
	}
	return e, true
}

// family compares the members of an indexed key.
func (d *differ) family(fam *setting.Family) {
	want, _ := d.want[fam.Path].(setting.Members)
	if fam == setting.Mounts {
		want = d.kept(want)
	}
	slots, used := d.assign(fam, want)
	hidden := map[string]string{}
	if fam == setting.Mounts {
		hidden = d.hidden(slots)
	}
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if slot, ok := slots[id]; ok && hidden[id] != "" {
			d.refuseHidden(slot, id, want[id], hidden[id])
		} else if ok {
			d.member(fam, slot, id, want[id])
		} else {
			d.newMember(fam, id, want[id], used)
		}
	}
	for _, slot := range d.slots(fam) {
		if !used[slot] {
			d.removeMember(fam, slot)
		}
	}
}

// slots are the Proxmox keys of a family that are in use or will be, in the order of their index.
func (d *differ) slots(fam *setting.Family) []string {
	var indices []int
	for _, v := range []proxmox.Values{d.have.Config.Current, d.have.Config.Pending} {
		for key := range v {
			if i, ok := fam.Index(key); ok && !slices.Contains(indices, i) {
				indices = append(indices, i)
			}
		}
	}
	slices.Sort(indices)
	out := make([]string, len(indices))
	for n, i := range indices {
		out[n] = fam.Key(i)
	}
	return out
}

// assign finds the keys of the wanted members: first where the volume is that the spec names, so that nobody else
// takes it; then by identity, where that is in force and stays; and last where either will be, or goes. Who only has
// a path stays with what is mounted there now: what somebody makes of a mount with the next start is not its volume.
func (d *differ) assign(fam *setting.Family, want setting.Members) (slots map[string]string, used map[string]bool) {
	slots, used = map[string]string{}, map[string]bool{}
	ids := slices.Sorted(maps.Keys(want))
	for _, find := range []func(*setting.Family, string, setting.Record, map[string]bool) string{d.byVolume, d.inForce, d.byVolumeToCome, d.toCome} {
		for _, id := range ids {
			if slots[id] != "" {
				continue
			}
			if slot := find(fam, id, want[id], used); slot != "" {
				slots[id], used[slot] = slot, true
			}
		}
	}
	return slots, used
}

// byVolume finds the key of a mount by the volume that the spec names, where that is mounted and stays.
func (d *differ) byVolume(fam *setting.Family, _ string, want setting.Record, used map[string]bool) string {
	return volumeSlot(d.have.Current, fam, want, func(slot string) bool { return !used[slot] && !d.have.Config.Deleted[slot] })
}

// byVolumeToCome is the like where the volume will be with the next start, or goes with it.
func (d *differ) byVolumeToCome(fam *setting.Family, _ string, want setting.Record, used map[string]bool) string {
	free := func(slot string) bool { return !used[slot] }
	return cmp.Or(volumeSlot(d.have.Next, fam, want, free), volumeSlot(d.have.Current, fam, want, free))
}

func volumeSlot(l setting.Live, fam *setting.Family, want setting.Record, free func(string) bool) string {
	v, ok := setting.Volume.Get(want)
	if !ok || fam != setting.Mounts {
		return ""
	}
	mounts := mountsOf(l.Record)
	for _, id := range slices.Sorted(maps.Keys(mounts)) {
		if slot := l.Slots[fam.Path][id]; setting.Volume.Or(mounts[id], "") == v && free(slot) {
			return slot
		}
	}
	return ""
}

// inForce finds the key of a member that is there and stays.
func (d *differ) inForce(fam *setting.Family, id string, _ setting.Record, used map[string]bool) string {
	if slot := d.have.Current.Slots[fam.Path][id]; slot != "" && !used[slot] && !d.have.Config.Deleted[slot] {
		return slot
	}
	return ""
}

// toCome finds the key of a member that will be there with the next start, or that goes with it.
func (d *differ) toCome(fam *setting.Family, id string, _ setting.Record, used map[string]bool) string {
	for _, l := range []setting.Live{d.have.Next, d.have.Current} {
		if slot := l.Slots[fam.Path][id]; slot != "" && !used[slot] {
			return slot
		}
	}
	return ""
}

// at returns the identity and value that a slot has in a view; nil where it is not there.
func at(l setting.Live, fam *setting.Family, slot string) (id string, r *setting.Record) {
	for id, s := range l.Slots[fam.Path] {
		if s == slot {
			rec := l.Record[fam.Path].(setting.Members)[id]
			return id, &rec
		}
	}
	return "", nil
}

// member compares a member that has a slot.
func (d *differ) member(fam *setting.Family, slot, id string, spec setting.Record) {
	curID, cur := at(d.have.Current, fam, slot)
	nextID, next := at(d.have.Next, fam, slot)
	// Another of the same identity is there, or will be: this one is told apart by its slot, and not renamed.
	curID, nextID = strings.TrimSuffix(curID, " ("+slot+")"), strings.TrimSuffix(nextID, " ("+slot+")")
	base := named{nextID, next}
	if next == nil || fam == setting.Mounts && cur != nil && strayed(spec, *cur, *next) {
		base = named{curID, cur}
	}
	want := fam.Member.Merge(spec, *base.r, d.facts)
	if fam == setting.Mounts {
		d.mount(slot, id, mountViews{named{curID, cur}, named{nextID, next}, *base.r}, want)
		return
	}
	index, _ := fam.Index(slot)
	ch := d.memberChange(fam, index, id, named{curID, cur}, &want)
	e, differs := d.against(equalNamed(fam), slot, named{curID, cur}, named{nextID, next}, named{id, &want}, ch)
	if !differs {
		return
	}
	if e.kind == editSet {
		e.value = fam.FormatMember(id, want)
		if fam == setting.Network {
			e.kind = editNet
		}
	}
	d.add(e)
}

// named is a member with what identifies it.
type named struct {
	id string
	r  *setting.Record
}

// value is what a change shows of either side.
func value(v any) any {
	n, ok := v.(named)
	switch {
	case !ok:
		return v
	case n.r == nil:
		return nil
	}
	return *n.r
}

// renamed is what identifies a member in place of what shall; "" where that is the same.
func renamed(have, want any) string {
	a, _ := have.(named)
	b, _ := want.(named)
	if a.r == nil || a.id == b.id {
		return ""
	}
	return a.id
}

func equalNamed(fam *setting.Family) func(a, b any) bool {
	return func(a, b any) bool {
		x, y := a.(named), b.(named)
		if x.r == nil || y.r == nil {
			return x.r == y.r
		}
		return x.id == y.id && fam.Member.Equal(*x.r, *y.r)
	}
}

// memberChange is the change of a member that has a slot. A new identity takes effect when the container stops,
// as a mount's path, or is a change that the family's rule knows.
func (d *differ) memberChange(fam *setting.Family, index int, id string, cur named, want *setting.Record) setting.Change {
	ch := fam.Change(id, cur.r, want, index, d.facts)
	if cur.r != nil && cur.id != id {
		ch.Renamed = cur.id
		if d.facts.Running {
			ch.Effect = max(ch.Effect, setting.Restart)
		}
	}
	return ch
}

// newMember adds a member at the lowest free index.
func (d *differ) newMember(fam *setting.Family, id string, spec setting.Record, used map[string]bool) {
	taken := map[int]bool{}
	for slot := range used {
		i, _ := fam.Index(slot)
		taken[i] = true
	}
	for _, slot := range d.slots(fam) {
		i, _ := fam.Index(slot)
		taken[i] = true
	}
	want := fam.Member.Merge(spec, nil, d.facts)
	index, why := d.freeIndex(fam, id, taken)
	e := edit{change: fam.Change(id, nil, &want, index, d.facts), key: fam.Key(index), value: fam.FormatMember(id, want)}
	if why != "" {
		e.change.Effect, e.change.Note = setting.Refused, why
		d.add(e)
		return
	}
	used[e.key] = true
	switch fam {
	case setting.Mounts:
		e.kind = editAlloc
	case setting.Network:
		e.kind = editNet
	}
	d.add(e)
}

// removeMember removes what no wanted member uses.
func (d *differ) removeMember(fam *setting.Family, slot string) {
	id, cur := at(d.have.Current, fam, slot)
	nextID, next := at(d.have.Next, fam, slot)
	if cur == nil {
		cur, id = next, nextID
	}
	index, _ := fam.Index(slot)
	e := edit{change: fam.Change(id, cur, nil, index, d.facts), key: slot, kind: editDelete}
	switch {
	case next == nil && d.facts.Running:
		e.kind = editWait
		e.change.Effect, e.change.Note = setting.Restart, "pending already"
	case d.have.Config.Current[slot] == "":
		e.kind = editRevert
		e.change.Effect, e.change.Note = setting.Online, "drops a change that is pending"
	case fam == setting.Network:
		e.kind = editNet
	}
	if v, ok := setting.Volume.Get(*cur); ok && fam == setting.Mounts && d.destroy[id] && e.kind != editRevert {
		if d.twice(id) {
			e.change.Note = "volume " + v + " is kept as unused: there is another mount " + id + ", and which of them is meant is not clear"
		} else {
			e.frees, e.change.Note = v, "volume "+v+" is destroyed with its data"
		}
	}
	d.add(e)
}
