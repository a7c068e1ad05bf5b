package sim

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const labAppliance = "debian-13-standard_13.1-2_amd64.tar.zst"

// elsewhere is the lab with two nodes and something to download.
func elsewhere(t *testing.T) *State {
	st := lab(t)
	debian := "debian"
	st.Nodes["pve2"] = copyOf(st.Nodes["pve1"])
	st.Storages["nas"] = &Storage{Type: "nfs", Path: "/mnt/pve/nas", Content: []string{"vztmpl"}}
	st.Appliances = map[string]*Appliance{
		labAppliance:            {Package: "debian-13-standard", Version: "13.1-2", Size: 1 << 20, OSType: &debian},
		"gone_1-1_amd64.tar.xz": {Package: "gone", Version: "1-1", Size: 1, Unreachable: true},
	}
	st.Downloads = map[string]*Download{
		"https://example.com/a.tar.xz": {Size: 1 << 20, OSType: &debian, Content: "right"},
		"docker.io/library/caddy:2":    {Size: 1 << 20},
	}
	return st
}

func templatesOf(t *testing.T, s *Sim, node, storage string) []string {
	t.Helper()
	var rows []struct{ Volid string }
	if err := json.Unmarshal(must(t, s, "GET", "/nodes/"+node+"/storage/"+storage+"/content", map[string]string{"content": "vztmpl"}), &rows); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		if !strings.Contains(r.Volid, "lab") {
			out = append(out, r.Volid)
		}
	}
	return out
}

func TestDownloadAppliance(t *testing.T) {
	s := start(t, elsewhere(t), Options{})
	var list []struct{ Template, Package, Sha512sum string }
	if err := json.Unmarshal(must(t, s, "GET", "/nodes/pve1/aplinfo", nil), &list); err != nil || len(list) != 2 || list[0].Package != "debian-13-standard" {
		t.Fatalf("list is %+v, %v", list, err)
	}
	form := map[string]string{"storage": "local", "template": labAppliance}
	must(t, s, "POST", "/nodes/pve1/aplinfo", form)
	must(t, s, "POST", "/nodes/pve1/aplinfo", form) // it is there and the right one
	if d := cmp.Diff([]string{"local:vztmpl/" + labAppliance}, templatesOf(t, s, "pve1", "local")); d != "" {
		t.Error(d)
	}
	if other := templatesOf(t, s, "pve2", "local"); other != nil {
		t.Errorf("the other node has %v on a storage of its own", other)
	}
	must(t, s, "POST", "/nodes/pve2/aplinfo", form)
	create := map[string]string{"vmid": "200", "ostemplate": "local:vztmpl/" + labAppliance, "rootfs": "local-btrfs:1", "unprivileged": "1"}
	must(t, s, "POST", "/nodes/pve2/lxc", create)
	must(t, s, "DELETE", "/nodes/pve2/storage/local/content/local:vztmpl/"+labAppliance, nil)
	if templatesOf(t, s, "pve2", "local") != nil || len(templatesOf(t, s, "pve1", "local")) != 1 {
		t.Error("the volume of one node was not removed from that node alone")
	}
	must(t, s, "POST", "/nodes/pve2/aplinfo", map[string]string{"storage": "nas", "template": labAppliance})
	if len(templatesOf(t, s, "pve1", "nas")) != 1 {
		t.Error("a shared storage has it on one node only")
	}
	for name, tt := range map[string]struct {
		form map[string]string
		want string
	}{
		"not in the list": {map[string]string{"storage": "local", "template": "x.tar.zst"}, "no such template"},
		"no templates":    {map[string]string{"storage": "isos", "template": labAppliance}, "storage 'isos' does not support templates"},
		"no storage":      {map[string]string{"storage": "nosuch", "template": labAppliance}, "storage 'nosuch' does not exist"},
	} {
		if got := refused(t, s, rootUser, "POST", "/nodes/pve1/aplinfo", tt.form); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := failed(t, s, "/nodes/pve1/aplinfo", map[string]string{"storage": "local", "template": "gone_1-1_amd64.tar.xz"}); !strings.HasPrefix(got, "download failed") {
		t.Errorf("unreachable: %s", got)
	}
}

// failed sends a request whose task has to fail, and gives its status.
func failed(t *testing.T, s *Sim, path string, form map[string]string) string {
	t.Helper()
	return refused(t, s, rootUser, "POST", path, form)
}

func TestDownloadURL(t *testing.T) {
	s := start(t, elsewhere(t), Options{})
	const path = "/nodes/pve1/storage/local/download-url"
	form := func(kv ...string) map[string]string {
		f := map[string]string{"url": "https://example.com/a.tar.xz", "content": "vztmpl", "filename": "x/a b.tar.xz"}
		for i := 0; i < len(kv); i += 2 {
			f[kv[i]] = kv[i+1]
		}
		return f
	}
	sum := func(text string) []string {
		return []string{"checksum-algorithm", "sha256", "checksum", strings.ToUpper(checksum("sha256", text))}
	}
	if got := failed(t, s, path, form(sum("wrong")...)); !strings.HasPrefix(got, "checksum mismatch: got '") {
		t.Errorf("wrong checksum: %s", got)
	}
	if templatesOf(t, s, "pve1", "local") != nil {
		t.Error("a file with a wrong checksum was kept")
	}
	must(t, s, "POST", path, form(sum("right")...))
	must(t, s, "POST", path, form(sum("right")...))
	if d := cmp.Diff([]string{"local:vztmpl/a_b.tar.xz"}, templatesOf(t, s, "pve1", "local")); d != "" {
		t.Error(d)
	}
	if got := failed(t, s, path, form()); !strings.HasPrefix(got, "refusing to override existing file") {
		t.Errorf("no checksum: %s", got)
	}
	if got := failed(t, s, path, form(sum("other")...)); !strings.HasSuffix(got, ", aborting") {
		t.Errorf("another file is there: %s", got)
	}
	if got := failed(t, s, path, form("url", "https://nowhere/", "filename", "b.tar")); !strings.HasPrefix(got, "download failed") {
		t.Errorf("unreachable: %s", got)
	}
	for want, f := range map[string]map[string]string{
		"filename: wrong file extension": form("filename", "a.zip"),
		"checksum":                       form("checksum", "00"),
		"url":                            form("url", "ftp://x"),
	} {
		if got := refused(t, s, rootUser, "POST", path, f); !strings.Contains(got, want) {
			t.Errorf("%s: %s", want, got)
		}
	}
	if got := refused(t, s, "felhom@pve!agent", "POST", path, form()); !strings.Contains(got, "Permission check failed") {
		t.Errorf("without Sys.AccessNetwork: %s", got)
	}
}

func TestPullImage(t *testing.T) {
	s := start(t, elsewhere(t), Options{})
	const path = "/nodes/pve1/storage/local/oci-registry-pull"
	form := map[string]string{"reference": "docker.io/library/caddy:2"}
	must(t, s, "POST", path, form)
	must(t, s, "POST", path, map[string]string{"reference": "docker.io/library/caddy:2", "filename": "my caddy"})
	if d := cmp.Diff([]string{"local:vztmpl/caddy_2.tar", "local:vztmpl/my_caddy.tar"}, templatesOf(t, s, "pve1", "local")); d != "" {
		t.Error(d)
	}
	if got := refused(t, s, rootUser, "POST", path, form); !strings.Contains(got, "refusing to override existing file 'caddy_2.tar'") {
		t.Errorf("again: %s", got)
	}
	if got := failed(t, s, path, map[string]string{"reference": "docker.io/library/nosuch:1"}); !strings.Contains(got, "exit code 1") {
		t.Errorf("no such image: %s", got)
	}
	if got := refused(t, s, rootUser, "POST", path, map[string]string{"reference": "caddy"}); !strings.Contains(got, "reference") {
		t.Errorf("no tag: %s", got)
	}
}

// TestDownloadsSurvive shows that what was downloaded stands in the state file.
func TestDownloadsSurvive(t *testing.T) {
	s := start(t, elsewhere(t), Options{})
	must(t, s, "POST", "/nodes/pve1/aplinfo", map[string]string{"storage": "local", "template": labAppliance})
	text, err := s.State().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	st, err := ParseState(text)
	if err != nil {
		t.Fatal(err)
	}
	again := start(t, st, Options{})
	if len(templatesOf(t, again, "pve1", "local")) != 1 || templatesOf(t, again, "pve2", "local") != nil {
		t.Errorf("the state says:\n%s", text)
	}
	st.Templates["local:vztmpl/"+labAppliance].Nodes = []string{"nosuch"}
	st.Downloads["x"] = nil
	if _, err := New(st, Options{}); err == nil || !strings.Contains(err.Error(), "nosuch") || !strings.Contains(err.Error(), "downloads.x: is empty") {
		t.Errorf("error is %v", err)
	}
}
