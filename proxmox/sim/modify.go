package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/felhom/tend/proxmox"
)

// A modification checks whether the caller may set or delete keys of a container
// (pve-container LXC.pm, check_ct_modify_config_perm).
type modification struct {
	call         *call
	id           proxmox.VMID
	pool         string
	old          *conf // nil for a container that is not there yet
	unprivileged bool
}

func (m modification) checkDelete(keys []string) error {
	if m.call.isRoot() {
		return nil
	}
	for _, k := range keys {
		if err := m.checkKey(k, "", true); err != nil {
			return err
		}
	}
	return nil
}

func (m modification) checkSet(set map[string]string) error {
	if m.call.isRoot() {
		return nil
	}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		if err := m.checkKey(k, set[k], false); err != nil {
			return err
		}
	}
	return nil
}

func (m modification) oldValue(k string) string {
	if m.old == nil {
		return ""
	}
	return m.old.values[k]
}

func (m modification) need(privs ...string) error {
	return m.call.sim.access.checkGuest(m.call.user, m.id, m.pool, privs...)
}

func (m modification) checkKey(k, v string, del bool) error {
	switch {
	case isMountKey(k):
		if err := m.need(privDisk); err != nil || del {
			return err
		}
		return m.checkMount(k, v)
	case isFamily(k, "net"):
		return m.checkNetwork(m.oldValue(k), v)
	case isFamily(k, "dev"):
		return forbidden("configuring device passthrough is only allowed for root@pam")
	case k == "features":
		return m.checkFeatures(v, del)
	case k == "hookscript":
		return forbidden("changing the hookscript is only allowed for root@pam")
	case k == "tags":
		return m.checkTags(m.oldValue(k), v)
	}
	if priv := confKeys()[k].priv; priv != "" {
		return m.need(priv)
	}
	return m.need(privOptions)
}

func (m modification) checkMount(k, v string) error {
	mp, err := parseMount(k, v)
	if err != nil {
		return err
	}
	if mp.kind != volumeMount {
		return forbidden(fmt.Sprintf("mount point type %s is only allowed for root@pam", mp.kind))
	}
	if d := newDiskText.FindStringSubmatch(mp.volume); d != nil {
		return m.call.sim.access.check(m.call.user, "/storage/"+d[1], "Datastore.AllocateSpace")
	}
	return m.call.checkVolumeAccess(m.id, mp.volume, "rootdir")
}

// checkNetwork asks for the old and the new bridge (LXC.pm, check_bridge_access).
func (m modification) checkNetwork(old, next string) error {
	if err := m.need(privNetwork); err != nil {
		return err
	}
	for _, text := range []string{old, next} {
		if err := m.call.checkBridge(text); err != nil {
			return err
		}
	}
	return nil
}

// checkBridge asks whether the caller may use the bridge of an interface, or its VLANs
// (GuestHelpers.pm, check_vnet_access).
func (c *call) checkBridge(text string) error {
	if !truthy(text) {
		return nil
	}
	net, err := netProps.parse(text, "")
	if err != nil {
		return err
	}
	bridge := net["bridge"]
	if bridge == "" {
		return nil
	}
	path := "/sdn/zones/localnetwork/" + bridge
	var vlans []string
	if tag := net["tag"]; truthy(tag) {
		vlans = append(vlans, tag)
	}
	if trunks := net["trunks"]; truthy(trunks) {
		vlans = append(vlans, slices.Sorted(strings.SplitSeq(trunks, ";"))...)
	}
	for _, v := range vlans {
		if err := c.sim.access.check(c.user, path+"/"+v, "SDN.Use"); err != nil {
			return err
		}
	}
	if len(vlans) > 0 {
		return nil
	}
	return c.sim.access.check(c.user, path, "SDN.Use")
}

func (m modification) checkFeatures(v string, del bool) error {
	if !m.unprivileged {
		return forbidden("changing feature flags for privileged container is only allowed for root@pam")
	}
	old, err := parseFeatures(m.oldValue("features"))
	if err != nil {
		return err
	}
	var nesting, other bool
	switch {
	case del:
		nesting, other = onlyNesting(old)
	case len(m.oldValue("features")) > 0:
		next, err := parseFeatures(v)
		if err != nil {
			return err
		}
		for f := range featureProps {
			if old[f] != next[f] {
				nesting, other = nesting || f == "nesting", other || f != "nesting"
			}
		}
	default:
		next, err := parseFeatures(v)
		if err != nil {
			return err
		}
		nesting, other = onlyNesting(next)
	}
	if other {
		return forbidden("changing feature flags (except nesting) is only allowed for root@pam")
	}
	if nesting {
		return m.need("VM.Allocate")
	}
	return nil
}

func parseFeatures(text string) (map[string]string, error) {
	if !truthy(text) {
		return nil, nil
	}
	return featureProps.parse(text, "")
}

func onlyNesting(f map[string]string) (nesting, other bool) {
	if _, ok := f["nesting"]; ok && len(f) == 1 {
		return true, false
	}
	return false, len(f) > 0
}

// checkTags asks for each tag that comes or goes (GuestHelpers.pm, assert_tag_permissions).
func (m modification) checkTags(old, next string) error {
	c := m.call
	if err := c.sim.access.check(c.user, vmPath(m.id), privOptions); err != nil {
		return err
	}
	if c.sim.access.has(c.user, "/", "Sys.Modify") {
		return nil
	}
	count := map[string]int{}
	for _, t := range splitList(old) {
		count[t]--
	}
	for _, t := range splitList(next) {
		count[t]++
	}
	rules := c.tagRules()
	for _, t := range sortedKeys(count) {
		if count[t] != 0 && (!rules.allowed[t] && !rules.free || rules.registered[t]) {
			return forbidden(fmt.Sprintf("/, Sys.Modify for modifying tag '%s'", t))
		}
	}
	return nil
}

// tagRules are what the datacenter lets the caller do with tags (GuestHelpers.pm, get_allowed_tags).
type tagRules struct {
	allowed, registered map[string]bool
	free                bool
}

func (c *call) tagRules() tagRules {
	dc := c.sim.st.Datacenter
	r := tagRules{allowed: map[string]bool{}, registered: map[string]bool{}}
	privileged := c.sim.access.has(c.user, "/", "Sys.Modify")
	for _, t := range listOption(dc["registered-tags"]) {
		r.registered[t] = true
	}
	access := propertyOption(dc, "user-tag-access")
	allow := access["user-allow"]
	r.free = allow == "" || allow == "free"
	if allow != "none" || privileged {
		for _, t := range listOption(access["user-allow-list"]) {
			r.allowed[t] = true
		}
	}
	if r.free || allow == "existing" || privileged {
		for _, g := range c.sim.guests {
			if privileged || c.sim.access.has(c.user, vmPath(g.id), "VM.Audit") {
				for _, t := range splitList(g.conf.values["tags"]) {
					r.allowed[t] = true
				}
			}
		}
	}
	for t := range r.registered {
		if privileged {
			r.allowed[t] = true
		} else {
			delete(r.allowed, t)
		}
	}
	return r
}

// listOption reads a datacenter option that is a list, given as text or as a list.
func listOption(v any) []string {
	switch v := v.(type) {
	case string:
		return splitList(strings.Trim(v, "[]"))
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, fmt.Sprint(e))
		}
		return out
	}
	return nil
}

// checkVolumeAccess asks whether the caller may use a volume for a guest (Storage.pm, check_volume_access).
// An id of 0 is none; an empty content type any.
func (c *call) checkVolumeAccess(id proxmox.VMID, volid, content string) error {
	if !volidText.MatchString(volid) {
		if c.isRoot() {
			return nil
		}
		return dieAt("Storage.pm", 651, "Only root can pass arbitrary filesystem paths.")
	}
	n, err := c.sim.parseVolume(volid)
	if err != nil {
		return err
	}
	if content != "" && n.kind != content && (content != "rootdir" || n.kind != "images") {
		return dief("unable to use volume %s - content type needs to be '%s'", volid, content)
	}
	a, path := c.sim.access, "/storage/"+n.storage
	switch {
	case a.has(c.user, path, "Datastore.Allocate"):
		return nil
	case n.kind == "iso" || n.kind == "vztmpl" || n.kind == "import":
		return a.checkAny(c.user, path, "Datastore.AllocateSpace", "Datastore.Audit")
	case n.owned && id != 0 && n.owner == id:
		return nil
	case n.kind == "backup" && n.owned:
		if err := a.check(c.user, path, "Datastore.AllocateSpace"); err != nil {
			return err
		}
		return a.check(c.user, vmPath(n.owner), "VM.Backup")
	case n.kind == "images" && n.owned:
		if err := a.check(c.user, path, "Datastore.Audit"); err != nil {
			return err
		}
		return a.check(c.user, vmPath(n.owner), privDisk)
	}
	return dief("missing privileges to access %s", volid)
}
