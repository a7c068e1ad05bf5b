package setting_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/felhom/tend/spec/setting"
)

// FuzzParse shows that what is read of Proxmox's text means the same once it is written back.
func FuzzParse(f *testing.F) {
	for _, vals := range recorded(f) {
		for key, text := range vals {
			f.Add(key, text)
		}
	}
	f.Fuzz(func(t *testing.T, key, text string) {
		live, err := setting.Container.ParseValues(map[string]string{key: text})
		if err != nil {
			return
		}
		for _, row := range setting.Container.Rows {
			v, ok := live.Record[row.Info().Path]
			if !ok {
				continue
			}
			if fam, ok := row.(*setting.Family); ok {
				for id, r := range v.(setting.Members) {
					gotID, again, err := fam.ParseMember(fam.FormatMember(id, r))
					if err != nil || gotID != id || !fam.Member.Equal(r, again) {
						t.Errorf("%s=%q: %v is written %q, which is %s %v (%v)", key, text, r, fam.FormatMember(id, r), gotID, again, err)
					}
				}
				continue
			}
			again, err := row.ParseWire(row.FormatWire(v))
			if err != nil || !row.Equal(v, again) {
				t.Errorf("%s=%q: %v is written %q, which is %v (%v)", key, text, v, row.FormatWire(v), again, err)
			}
		}
	})
}

// FuzzDecode shows that what authors write means the same once it is encoded, and that Proxmox's text of it
// is read as the same.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"homelab", "edges"} {
		text, err := os.ReadFile("../../testdata/spec/good/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		var doc struct {
			Containers map[string]map[string]any `json:"containers"`
		}
		if err := yaml.Unmarshal(text, &doc); err != nil {
			f.Fatal(err)
		}
		for _, c := range doc.Containers {
			for _, own := range []string{"id", "node", "use", "from", "state", "restart", "lifecycle", "init"} {
				delete(c, own)
			}
			j, err := json.Marshal(c)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(j)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in any
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if d.Decode(&in) != nil {
			return
		}
		r, ok := setting.Container.Decode(in, nil, func(setting.Path, error) {})
		if !ok {
			return
		}
		again, ok := setting.Container.Decode(any(setting.Container.Encode(r)), nil, func(at setting.Path, err error) {
			t.Errorf("%s: %v", at, err)
		})
		if !ok || !setting.Container.Equal(r, again) {
			t.Fatalf("%v is encoded as %v", r, again)
		}
		for _, row := range setting.Container.Rows {
			v, ok := r[row.Info().Path]
			_, isFamily := row.(*setting.Family)
			if !ok || isFamily || row.Info().Path == "rootfs" {
				continue // parts that stand for several of Proxmox's have tests of their own
			}
			if back, err := row.ParseWire(row.FormatWire(v)); err != nil || !row.Equal(v, back) {
				t.Errorf("%s: %v is sent as %q, which is %v (%v)", row.Info().Path, v, row.FormatWire(v), back, err)
			}
		}
	})
}
