package proxmox_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/felhom/tend/proxmox"
)

// A scenario is a recording of exchanges with a real node; see testdata/pve/exchanges.
type scenario struct {
	Name  string `json:"name"`
	Steps []step `json:"steps"`
}

type step struct {
	Method   string         `json:"method"`
	Path     string         `json:"path"`
	Form     map[string]any `json:"form"`
	Response struct {
		Status int             `json:"status"`
		Reason string          `json:"reason"`
		Body   json.RawMessage `json:"body"`
	} `json:"response"`
	Task *struct {
		Status     string   `json:"status"`
		ExitStatus string   `json:"exitstatus"`
		Log        []string `json:"log"`
	} `json:"task"`
}

// request is the step's request with the node's name filled in.
func (s step) request() proxmox.Request {
	r := proxmox.Request{Method: s.Method, Path: strings.ReplaceAll(s.Path, "{node}", "pve1"), Params: url.Values{}}
	for k, v := range s.Form {
		switch v := v.(type) {
		case string:
			r.Params.Set(k, v)
		case []any:
			for _, x := range v {
				r.Params.Add(k, x.(string))
			}
		}
	}
	return r
}

// loadScenarios reads all recordings.
func loadScenarios(t testing.TB) []scenario {
	t.Helper()
	files, err := filepath.Glob("../testdata/pve/exchanges/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	out := make([]scenario, len(files))
	for i, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &out[i]); err != nil {
			t.Fatalf("%s: %v", f, err)
		}
	}
	return out
}
