package write

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/felhom/tend/spec/setting"
)

// profileName finds a name that says what the containers of a bundle have in common: a tag that they and no
// others carry, or what their settings are for. It is a suggestion; people rename profiles.
func (w *writer) profileName(b *bundle) string {
	names := append(w.commonTags(b), purpose(b.record)...)
	for _, n := range names {
		if n = profileWord(n); n != "" && w.profiles[n] == nil {
			return n
		}
	}
	for n := 2; ; n++ {
		if name := fmt.Sprintf("%s-%d", profileWord(names[len(names)-1]), n); w.profiles[name] == nil {
			return name
		}
	}
}

var noWord = regexp.MustCompile(`[^a-z0-9]+`)

// profileWord makes a name that a profile may have, or "".
func profileWord(s string) string {
	s = noWord.ReplaceAllString(strings.ToLower(s), "-")
	return strings.Trim(s[:min(len(s), 40)], "-")
}

// commonTags are the tags that the bundle's containers carry and no others do.
func (w *writer) commonTags(b *bundle) []string {
	var out []string
	for _, tag := range setting.Tags.Or(b.members[0].live, nil) {
		same := true
		for _, g := range w.guests {
			same = same && slices.Contains(setting.Tags.Or(g.live, nil), tag) == slices.Contains(b.members, g)
		}
		if same {
			out = append(out, tag)
		}
	}
	return out
}

// purpose are names for what settings are for, the best first; there is always one.
func purpose(r setting.Record) []string {
	var out []string
	features := setting.Features.Or(r, nil)
	devices, _ := r[setting.Devices.Path].(setting.Members)
	for _, id := range slices.Sorted(maps.Keys(devices)) {
		if strings.HasPrefix(id, "/dev/dri/") {
			out = append(out, "gpu")
		}
		out = append(out, path.Base(id))
	}
	switch {
	case setting.KeyCtl.Or(features, false):
		out = append(out, "docker")
	case len(setting.MountTypes.Or(features, nil)) > 0:
		out = append(out, strings.Join(setting.MountTypes.Or(features, nil), "-"))
	case setting.FUSE.Or(features, false):
		out = append(out, "fuse")
	case setting.Nesting.Or(features, false):
		out = append(out, "nesting")
	}
	if !setting.Unprivileged.Or(r, true) {
		out = append(out, "privileged")
	}
	if setting.Protection.Or(r, false) {
		out = append(out, "precious")
	}
	interfaces, _ := r[setting.Network.Path].(setting.Members)
	for _, id := range slices.Sorted(maps.Keys(interfaces)) {
		if vlan, ok := setting.VLAN.Get(interfaces[id]); ok {
			out = append(out, fmt.Sprintf("vlan-%d", vlan))
		}
	}
	if cores, ok := setting.Cores.Get(r); ok {
		if memory, ok := setting.Memory.Get(r); ok {
			out = append(out, fmt.Sprintf("%d-cores-%s", cores, memory.Spec()))
		}
	}
	var groups []string
	for _, row := range setting.Container.Rows {
		if group, _, _ := strings.Cut(row.SpecPath(), "."); r[row.SpecPath()] != nil && !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return append(out, strings.Join(groups, "-"))
}
