package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A forge keeps the comments of one pull request, as GitHub and Gitea have them below issues and GitLab below merge
// requests.
type forge struct {
	all, one, change, header string
	comments                 map[string]string // by id
	faults                   []string
}

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(strings.Split(f.header, ": ")[0]) != strings.Split(f.header, ": ")[1] {
		f.faults = append(f.faults, "no token in "+r.Method)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var sent struct{ Body string }
	if r.Method != http.MethodGet {
		raw, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(raw, &sent); err != nil {
			f.faults = append(f.faults, err.Error())
		}
	}
	id := strings.TrimPrefix(r.URL.Path, f.one+"/")
	switch {
	case r.Method == http.MethodGet && r.URL.Path == f.all:
		list := []map[string]any{{"id": 1, "body": "a remark of somebody"}, {"id": 2, "body": nil}}
		for id, body := range f.comments {
			list = append(list, map[string]any{"id": json.Number(id), "body": body})
		}
		_ = json.NewEncoder(w).Encode(list)
	case r.Method == http.MethodPost && r.URL.Path == f.all:
		f.comments[fmt.Sprint(10+len(f.comments))] = sent.Body
	case r.Method == f.change && f.comments[id] != "":
		f.comments[id] = sent.Body
	default:
		f.faults = append(f.faults, r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusNotFound)
	}
}

// TestComment holds that a plan is put on a pull request once, and written over from then on.
func TestComment(t *testing.T) {
	for _, program := range []string{"sh", "curl", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("it needs " + program)
		}
	}
	github := []string{"GITHUB_TOKEN=hush", "GITHUB_REPOSITORY=anna/home", "PULL_REQUEST=7", "GITHUB_API_URL="}
	gitlab := []string{"GITLAB_CI=true", "GITLAB_TOKEN=hush", "CI_PROJECT_ID=5", "CI_MERGE_REQUEST_IID=7", "CI_API_V4_URL="}
	for name, tt := range map[string]struct {
		forge *forge
		env   []string
	}{
		"github": {&forge{all: "/repos/anna/home/issues/7/comments", one: "/repos/anna/home/issues/comments", change: "PATCH", header: "Authorization: token hush"}, github},
		"gitlab": {&forge{all: "/projects/5/merge_requests/7/notes", one: "/projects/5/merge_requests/7/notes", change: "PUT", header: "Private-Token: hush"}, gitlab},
	} {
		t.Run(name, func(t *testing.T) {
			tt.forge.comments = map[string]string{}
			server := httptest.NewServer(tt.forge)
			defer server.Close()
			file := filepath.Join(t.TempDir(), "plan.md")
			for _, text := range []string{"first \"plan\" | `x`\n", strings.Repeat("a long plan\n", 10000)} {
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.Command("sh", "../../../packaging/ci/comment.sh", file)
				cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, tt.env...)
				cmd.Env[len(cmd.Env)-1] += server.URL
				if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
					t.Fatalf("%v\n%s", err, out)
				}
				got := tt.forge.comments["10"]
				if len(tt.forge.comments) != 1 || !strings.HasPrefix(got, "<!-- tend plan -->\n"+text[:11]) || len(got) > 65536 {
					t.Errorf("comments: %.200v", tt.forge.comments)
				}
				if long := len(text) > 60000; strings.Contains(got, "It goes on") != long {
					t.Errorf("a text of %d bytes is told as one that goes on, or the other way round", len(text))
				}
			}
			if len(tt.forge.faults) > 0 {
				t.Error(tt.forge.faults)
			}
		})
	}
}

// TestWorkflows holds that the workflows are YAML and name what there is.
func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob("../../../packaging/ci/*.yaml")
	if err != nil || len(files) != 3 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := yaml.Unmarshal(raw, &doc); err != nil || doc["plan"] == nil && doc["jobs"] == nil {
			t.Errorf("%s: %v, %v", file, doc, err)
		}
		for _, want := range []string{"tend validate specs", "tend plan -o markdown specs >plan.md", "/usr/share/doc/tend/ci/comment.sh plan.md"} {
			if !strings.Contains(string(raw), want) {
				t.Errorf("%s lacks %q", file, want)
			}
		}
	}
}
