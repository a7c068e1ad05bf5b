package reconcile_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	gocmp "github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/sim"
	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/load"
	"github.com/felhom/tend/spec/setting"
)

// A pveKey is what testdata/pve/lxc-keys.yaml says of a key.
type pveKey struct {
	Name    string          `json:"name"`
	Subkeys json.RawMessage `json:"subkeys"`
	Running string          `json:"running"`
	Refusal any             `json:"root_error"`
}

// A trial is a value of testdata/keys.yaml.
type trial struct {
	Key      string         `json:"key"`
	Base     map[string]any `json:"base"`
	With     map[string]any `json:"with"`
	At       string         `json:"at"`
	Wire     string         `json:"wire"`
	Effect   string         `json:"effect"`
	Back     string         `json:"back"`
	Refused  string         `json:"refused"`
	New      string         `json:"new"`
	Root     bool           `json:"root"`
	Freely   bool           `json:"freely"`
	Strong   bool           `json:"strong"`
	Same     bool           `json:"same"`
	Absent   bool           `json:"absent"`
	Once     bool           `json:"once"`
	Kept     bool           `json:"kept"`
	Shrink   bool           `json:"shrink"`
	Recreate bool           `json:"recreate"`
}

// noKeys are entries of the file that are no keys of their own.
var noKeys = map[string]string{
	"lxc.* raw keys": "the lines of the key lxc",
	"idmap":          "no key: a part of mp[n] and rootfs, or a raw line",
}

func readYAML(t *testing.T, path string, to any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, to); err != nil {
		if err := yaml.Unmarshal(text, to); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKeys walks the file of keys: each key and each part of one is taken from a spec, sent, read back and in sync,
// with the effect that the file states, on a new, a stopped and a running container; taken out of the spec again, it
// is one change that takes it away or puts the default back. What only root@pam may do is reported with Proxmox's
// text, and nothing is sent that a token is refused; where there is a root lane, it is done there.
func TestKeys(t *testing.T) {
	var file struct {
		Keys []pveKey `json:"keys"`
	}
	var trials []trial
	readYAML(t, "../testdata/pve/lxc-keys.yaml", &file)
	readYAML(t, "testdata/keys.yaml", &trials)
	byKey := map[string][]trial{}
	for _, tr := range trials {
		byKey[tr.Key] = append(byKey[tr.Key], tr)
	}
	covered, all, values, parts := 0, 0, 0, 0
	for _, k := range file.Keys {
		stem := strings.TrimSuffix(k.Name, "[n]")
		if setting.LeftOut(stem) != "" || noKeys[k.Name] != "" {
			continue
		}
		all++
		if len(byKey[k.Name]) == 0 {
			t.Errorf("%s: no value is tried, and nothing says why", k.Name)
			continue
		}
		covered++
		for _, part := range append(partsOf(k), "") {
			key := strings.TrimSuffix(k.Name+"."+part, ".")
			if len(byKey[key]) == 0 {
				t.Errorf("%s: no value is tried", key)
			}
			parts++
			for i, tr := range byKey[key] {
				values++
				t.Run(fmt.Sprintf("%s/%d", key, i), func(t *testing.T) {
					t.Parallel()
					tr.try(t, k, stem)
				})
			}
			delete(byKey, key)
		}
	}
	for key := range byKey {
		t.Errorf("%s: values for a key that is not in the file", key)
	}
	t.Logf("keys: %d of %d, with parts %d, values: %d, each on a new, a stopped and a running container", covered, all, parts, values)
}

// partsOf are the parts of a key; those of the root file system stand there in words.
func partsOf(k pveKey) []string {
	var parts map[string]any
	if json.Unmarshal(k.Subkeys, &parts) == nil {
		return slices.Sorted(maps.Keys(parts))
	}
	var text string
	if json.Unmarshal(k.Subkeys, &text) != nil {
		return nil
	}
	text, _, _ = strings.Cut(text, ";") // what follows are parts that it does not have
	return regexp.MustCompile(`[a-z]+`).FindAllString(regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(text, ""), -1)
}

func (tr trial) try(t *testing.T, k pveKey, stem string) {
	if tr.Refused != "" {
		_, err := tr.load(tr.Base, tr.With)
		if err == nil || !strings.Contains(err.Error(), tr.Refused) {
			t.Errorf("got %v, want %q", err, tr.Refused)
		}
		return
	}
	base := map[string]any{}
	if tr.Strong {
		base["unprivileged"] = false
	}
	tr.Base = merged(base, tr.Base)
	for _, running := range []bool{false, true} {
		c := newKeyCase(t, tr, k, stem, running)
		switch {
		case tr.Same:
			c.inSync(c.with)
		case tr.Recreate:
			c.recreated()
		case tr.Once:
			c.once()
		case tr.Root:
			c.byRoot()
			newKeyCase(t, tr, k, stem, running).byLane()
		default:
			c.byToken()
		}
		if t.Failed() {
			t.Fatalf("running: %t", running)
		}
	}
	if !tr.Recreate {
		tr.tryNew(t, k, stem)
	}
}

// load is the spec of the trial's container, through YAML.
func (tr trial) load(base, with map[string]any) (*spec.State, error) {
	ct := map[string]any{
		"id": 101, "node": "pve1", "state": "any", "from": map[string]any{"template": template},
		"rootfs":  map[string]any{"storage": "local", "size": "1GiB"},
		"network": map[string]any{"eth0": map[string]any{"bridge": "vmbr0"}},
		"mounts":  map[string]any{"/data": map[string]any{"storage": "local", "size": "1GiB"}},
	}
	doc := map[string]any{
		"cluster":    map[string]any{"name": "lab"},
		"containers": map[string]any{"web": merged(merged(ct, base), with)},
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return load.Load(fstest.MapFS{"web.yaml": {Data: text}}, load.Options{})
}

// merged lays one mapping over another; null takes away.
func merged(low, high map[string]any) map[string]any {
	out := maps.Clone(low)
	for k, v := range high {
		under, isMap := out[k].(map[string]any)
		over, both := v.(map[string]any)
		switch {
		case v == nil:
			delete(out, k)
		case isMap && both:
			out[k] = merged(under, over)
		default:
			out[k] = v
		}
	}
	return out
}

// tryNew makes a container with the value.
func (tr trial) tryNew(t *testing.T, k pveKey, stem string) {
	n := newNode(t, sim.Options{}, labWithMore)
	user := agent
	if tr.Strong {
		user = strong
	}
	w := &witness{Transport: n.As(user)}
	r := n.reconcilerAs(user, nil)
	r.Client = proxmox.NewClient(w)
	if tr.Root {
		n.openLane(r)
	}
	if tr.Key == "rootfs.volume" {
		return // names a volume that only the existing container has
	}
	want, err := tr.load(tr.Base, tr.With)
	if err != nil {
		t.Fatal(err)
	}
	out := once(t, r, want)
	w.check(t)
	if tr.New != "" { // Proxmox has its own mind; the next pass puts it right
		out = once(t, r, want)
	}
	converged(t, out)
	p, _, err := r.Plan(t.Context(), want)
	if err != nil || !p.Synced() {
		t.Errorf("a new container is not in sync: %v\n%s", err, p)
	}
	cfg, err := n.root.Config(t.Context(), keyRef)
	if err != nil {
		t.Fatal(err)
	}
	if at := cmp.Or(tr.At, stem); !tr.Same && at != setting.Raw.PVE && !tr.Absent && !strings.Contains(cfg.Current[at], tr.Wire) && !strings.HasPrefix(tr.Key, "mp[n]") {
		t.Errorf("a new container has %s=%q, want %q", at, cfg.Current[at], tr.Wire)
	}
}

// A witness notes whether a token was refused anything.
type witness struct {
	proxmox.Transport

	mu      sync.Mutex // guards refused
	refused []string
}

func (w *witness) Do(ctx context.Context, r proxmox.Request) (json.RawMessage, error) {
	data, err := w.Transport.Do(ctx, r)
	if errors.Is(err, proxmox.ErrForbidden) {
		w.mu.Lock()
		w.refused = append(w.refused, fmt.Sprintf("%s: %v", r, err))
		w.mu.Unlock()
	}
	return data, err
}

func (w *witness) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := gocmp.Diff([]string(nil), w.refused); d != "" {
		t.Errorf("a token was refused:\n%s", d)
	}
}
