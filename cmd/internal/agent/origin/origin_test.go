package origin_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/felhom/tend/cmd/internal/agent/origin"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/reconcile/source/git/gittest"
)

// A webhook calls for a look where it is about the source. That it is about another repository is told to whoever reads
// the log, by a name that cannot do any harm there; what another branch gets is no news.
func TestHooks(t *testing.T) {
	m := gittest.New(t)
	git := config.Source{Git: m.Dir, Branch: "main"}
	for _, tc := range []struct {
		name       string
		source     config.Source
		repository string
		ref        string
		code       int
		log        string // "": nothing is logged
	}{
		{"the source", git, m.Dir, "refs/heads/main", http.StatusAccepted, ""},
		{"another branch", git, m.Dir, "refs/heads/try", http.StatusNoContent, ""},
		{"a ping", git, m.Dir, "", http.StatusNoContent, ""},
		{"another repository", git, "anna/website", "refs/heads/main", http.StatusNoContent, `repository="\"anna/website\""`},
		{"a ping of another", git, "anna/website", "", http.StatusNoContent, `repository="\"anna/website\""`},
		{"none", git, "", "refs/heads/main", http.StatusNoContent, "repository=none"},
		{"long", git, strings.Repeat("ä", 5000), "refs/heads/main", http.StatusNoContent, `repository="\"` + strings.Repeat("ä", 100) + `…\""`},
		{"control characters", git, `a\u001b[2J\nb`, "refs/heads/main", http.StatusNoContent, `\\x1b[2j\\nb`},
		{"a folder", config.Source{Dir: t.TempDir()}, "anna/website", "refs/heads/main", http.StatusNoContent, `repository="\"anna/website\""`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, err := origin.Open(tc.source, nil)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			called := false
			h := o.Hooks(proxmox.NewSecret("a secret of webhooks"), func() { called = true }, slog.New(slog.NewTextHandler(&log, nil)))
			req := httptest.NewRequest(http.MethodPost, "/hooks/gitlab", strings.NewReader(fmt.Sprintf(`{"ref":%q,"project":{"path_with_namespace":"%s"}}`, tc.ref, tc.repository)))
			req.Header.Set("X-Gitlab-Token", "a secret of webhooks")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			if w.Code != tc.code || called != (tc.code == http.StatusAccepted) {
				t.Errorf("answered with %d, called %v", w.Code, called)
			}
			if tc.log == "" && log.Len() > 0 || !strings.Contains(log.String(), tc.log) || strings.Count(log.String(), "\n") > 1 || log.Len() > 1000 {
				t.Errorf("logged %q, want %q", log.String(), tc.log)
			}
		})
	}
}
