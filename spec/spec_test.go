package spec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/spec"
	"github.com/felhom/tend/spec/setting"
)

// TestDocumentRows walks what may be written beside the settings.
func TestDocumentRows(t *testing.T) {
	for _, o := range []setting.Object{spec.Document, spec.ContainerFields, spec.LayerFields} {
		seen := map[string]bool{}
		for _, r := range o.Rows {
			i := r.Info()
			if seen[i.Path] {
				t.Errorf("%s: two rows are called %s", o.Name, i.Path)
			}
			seen[i.Path] = true
			if !strings.HasSuffix(i.Doc, ".") {
				t.Errorf("%s.%s is not explained: %q", o.Name, i.Path, i.Doc)
			}
		}
	}
	for _, own := range []string{"id", "use", "adopt", "hostname"} {
		if spec.LayerFields.Row(own) != nil {
			t.Errorf("a layer may say %s, which is of one container", own)
		}
		if spec.ContainerFields.Row(own) == nil {
			t.Errorf("a container may not say %s", own)
		}
	}
}

func TestNewContainer(t *testing.T) {
	place := spec.Place{File: "a.yaml", Line: 2, Column: 3}
	got := spec.NewContainer("web", setting.Record{}, place)
	want := &spec.Container{Name: "web", Place: place, Settings: setting.Record{}, Power: spec.Running, Restart: spec.RestartNever}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	r := setting.Record{}
	spec.ID.Set(r, 120)
	spec.PasswordEnv.Set(r, "PW")
	setting.Cores.Set(r, 2)
	got = spec.NewContainer("web", r, place)
	if got.ID != 120 || got.Init.Password.IsZero() || got.Label() != "120 web" {
		t.Errorf("got %+v", got)
	}
	if diff := cmp.Diff(setting.Record{"cores": int64(2)}, got.Settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
}

func TestNewState(t *testing.T) {
	in := []*spec.Container{{ID: 3, Name: "c"}, {ID: 1, Name: "b"}, {ID: 1, Name: "a"}}
	s := spec.NewState(spec.NewCluster(setting.Record{}), in)
	var order []string
	for _, c := range s.Containers {
		order = append(order, c.Name)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if s.Cluster.Owner != "tend" {
		t.Errorf("owner %q", s.Cluster.Owner)
	}
	if in[0].Name != "c" {
		t.Error("the argument was sorted")
	}
}

func TestTakeLater(t *testing.T) {
	in := map[string]any{
		"cores": 1, "init": map[string]any{"sshKeys": "a", "password": map[string]any{"age": "b"}},
		"mounts":    map[string]any{"/a": map[string]any{"readOnly": true}, "/b": nil},
		"lifecycle": map[string]any{"recreate": "forbid"},
	}
	var got []string
	spec.TakeLater(in, spec.LaterInContainer, setting.Path{"containers", "web"}, func(at setting.Path, err error) {
		if !errors.Is(err, spec.ErrLater) {
			t.Errorf("%s: %v", at, err)
		}
		got = append(got, at.String())
	})
	if diff := cmp.Diff([]string{"containers.web.init.password.age"}, got); diff != "" {
		t.Errorf("reported (-want +got):\n%s", diff)
	}
	want := map[string]any{
		"cores": 1, "init": map[string]any{"sshKeys": "a", "password": map[string]any{}},
		"mounts":    map[string]any{"/a": map[string]any{"readOnly": true}, "/b": nil},
		"lifecycle": map[string]any{"recreate": "forbid"},
	}
	if diff := cmp.Diff(want, in); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	spec.TakeLater("no mapping", spec.LaterInContainer, nil, func(at setting.Path, err error) { t.Errorf("%s: %v", at, err) })
}

func TestIsLater(t *testing.T) {
	for path, want := range map[string]bool{
		"hostMounts": false, "snapshotPolicies": false, "templates": false, "cluster.name": false, "containers": false,
		"containers.web.snapshots": false, "containers.web.init": false, "containers.web.init.password.age": true,
		"defaults.init.password.age": true, "profiles.x.mounts./a.path": false, "containers.web.lifecycle.recreate": false,
	} {
		if got := spec.IsLater(strings.Split(path, ".")); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}

func TestFault(t *testing.T) {
	err := errors.New("is wrong")
	for _, tt := range []struct {
		f    spec.Fault
		want string
	}{
		{spec.Fault{Place: spec.Place{File: "a.yaml", Line: 1, Column: 2}, At: setting.Path{"x", "y"}, Err: err}, "a.yaml:1:2: x.y: is wrong"},
		{spec.Fault{Place: spec.Place{File: "a.yaml"}, Err: err}, "a.yaml: is wrong"},
	} {
		if got := tt.f.Error(); got != tt.want || !errors.Is(tt.f, err) {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
