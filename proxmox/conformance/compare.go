package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// volatile are the fields that vary by nature; they are compared by type alone.
var volatile = func() map[string]bool {
	m := map[string]bool{}
	for _, key := range strings.Fields(`
		uptime cpu mem memhost disk diskread diskwrite netin netout pid pstart starttime endtime
		avail used used_fraction total ctime snaptime pressurecpufull pressurecpusome pressureiofull
		pressureiosome pressurememoryfull pressurememorysome wait loadavg maxcpu maxmem time localtime
		kversion current-kernel cpuinfo memory_node rootfs_node ksm boot-info pveversion idle release
		repoid next-run CSRFPreventionToken ticket hwaddr hwaddress fingerprint ssl_fingerprint`) {
		m[key] = true
	}
	return m
}()

// identity are the fields by which the rows of a list are put in order.
var identity = []string{"n", "key", "storage", "volid", "vmid", "upid", "id", "sid", "poolid", "pos", "name", "node", "path"}

// substitutions hide what varies within texts, in this order.
var substitutions = []struct {
	text *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`UPID:([^:]*):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:([^:]*):([^:]*):([^:]*):`), "<UPID ${1} ${2} ${3} ${4}>"},
	{regexp.MustCompile(`\b[0-9a-f]{40}\b`), "<sha1>"},
	{regexp.MustCompile(`(?i)\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b`), "<mac>"},
	{regexp.MustCompile(`\b\d{4}[-_]\d\d[-_]\d\d[-_T ]\d\d[:_]\d\d[:_]\d\d\b`), "<time>"},
	{regexp.MustCompile(`\b1[6-9]\d{8}\b`), "<epoch>"},
	{regexp.MustCompile(` at /\S+ line \d+\.?`), ""},
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "<uuid>"},
}

func normalizeText(s string) string {
	for _, sub := range substitutions {
		s = sub.text.ReplaceAllString(s, sub.with)
	}
	return strings.TrimSpace(s)
}

// normalize makes values comparable. key is the field in which v stands.
func normalize(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		return normalizeObject(v)
	case []any:
		return normalizeList(v, key)
	case nil:
		return nil
	}
	if s, ok := v.(string); ok && key == "content" {
		parts := strings.Split(s, ",")
		slices.Sort(parts)
		return strings.Join(parts, ",")
	}
	if volatile[key] {
		return "<" + kind(v) + ">"
	}
	if s, ok := v.(string); ok {
		return normalizeText(s)
	}
	return v
}

func normalizeObject(m map[string]any) any {
	out := make(map[string]any, len(m))
	for k, x := range m {
		out[k] = normalize(x, k)
	}
	if _, ok := out["size"]; ok && m["content"] == "backup" {
		out["size"] = "<number>"
	}
	return out
}

// normalizeList sorts lists of objects by what identifies their rows, since Perl gives them in any order.
func normalizeList(list []any, key string) any {
	out := make([]any, len(list))
	rows := true
	for i, x := range list {
		out[i] = normalize(x, key)
		_, isObject := out[i].(map[string]any)
		rows = rows && isObject
	}
	if rows {
		slices.SortStableFunc(out, func(a, b any) int { return strings.Compare(sortKey(a), sortKey(b)) })
	}
	return out
}

func sortKey(v any) string {
	m, _ := v.(map[string]any)
	var pairs []any
	for _, k := range identity {
		if x, ok := m[k]; ok {
			pairs = append(pairs, []any{k, x})
		}
	}
	if pairs == nil {
		return show(m, 0)
	}
	return show(pairs, 0)
}

// kind is the name of a scalar's type in the recorder's language.
func kind(v any) string {
	switch v.(type) {
	case json.Number:
		return "number"
	case bool:
		return "bool"
	}
	return "str"
}

// difference appends readable differences between two normalised values to out.
func difference(out []string, at string, want, got any) []string {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			return differenceOfObjects(out, at, w, g)
		}
	case []any:
		g, ok := got.([]any)
		if !ok {
			break
		}
		if len(w) != len(g) {
			out = append(out, fmt.Sprintf("%s: want %d items, got %d", at, len(w), len(g)))
		}
		for i := range min(len(w), len(g)) {
			out = difference(out, fmt.Sprintf("%s[%d]", at, i), w[i], g[i])
		}
		return out
	default:
		if equal(want, got) {
			return out
		}
	}
	return append(out, fmt.Sprintf("%s: want %s, got %s", at, show(want, 160), show(got, 160)))
}

func differenceOfObjects(out []string, at string, want, got map[string]any) []string {
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		w, wanted := want[k]
		g, there := got[k]
		switch {
		case !there:
			out = append(out, fmt.Sprintf("%s.%s: missing (want %s)", at, k, show(w, 120)))
		case !wanted:
			out = append(out, fmt.Sprintf("%s.%s: unexpected %s", at, k, show(g, 120)))
		default:
			out = difference(out, at+"."+k, w, g)
		}
	}
	return out
}

// equal compares scalars. A whole number and a fraction differ, as they do for the recorder.
func equal(want, got any) bool {
	w, ok := want.(json.Number)
	if !ok {
		return want == got
	}
	g, ok := got.(json.Number)
	if !ok || isWhole(w) != isWhole(g) {
		return false
	}
	if isWhole(w) {
		return w == g
	}
	wf, werr := w.Float64()
	gf, gerr := g.Float64()
	return werr == nil && gerr == nil && wf == gf
}

func isWhole(n json.Number) bool { return !strings.ContainsAny(n.String(), ".eE") }

// show is v as JSON, of at most limit bytes; all of it where limit is 0.
func show(v any, limit int) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	s := strings.TrimSuffix(b.String(), "\n")
	if limit > 0 && len(s) > limit {
		return strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}
