package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/felhom/tend/cmd/internal/app"
)

// TestWatchTells runs the agent on the simulator: what it applies arrives at a webhook, once, and the dead man's switch
// hears that all is well. A second start says nothing again.
func TestWatchTells(t *testing.T) {
	heard := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var m struct{ Title string }
		_ = json.Unmarshal(body, &m)
		heard <- r.URL.Path + " " + m.Title
	}))
	defer s.Close()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "spec"), os.DirFS(repository+"/examples/homelab")); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	config := write("tend.yaml", fmt.Sprintf(`
source: {dir: %s/spec}
web: {listen: off}
stateDir: %s/state
notify:
  channels:
    - name: hook
      webhook: {urlFile: %s}
      events: [applied]
  deadMansPing: {urlFile: %s, every: 1s}
`, dir, dir, write("hook", s.URL+"/hook"), write("ping", s.URL+"/ping")))
	sandbox := filepath.Join(dir, "sandbox.yaml") // an empty cluster
	watch := func(enough func(string) bool) (all []string) {
		ctx, cancel := context.WithCancel(t.Context())
		var out strings.Builder
		done := make(chan int)
		go func() {
			done <- app.Run(ctx, []string{"watch", "--config", config, "--sandbox=" + sandbox}, app.Streams{
				In: strings.NewReader(""), Out: &out, Err: &out, Env: func(string) string { return "" },
			})
		}()
		for {
			select {
			case text := <-heard:
				if all = append(all, text); enough(text) {
					cancel()
					<-done
					return all
				}
			case code := <-done:
				t.Fatalf("it ends with %d:\n%s", code, out.String())
			}
		}
	}
	ping, hook := false, false
	first := watch(func(text string) bool {
		ping, hook = ping || text == "/ping ", hook || strings.HasPrefix(text, "/hook")
		return ping && hook
	})
	if text := strings.Join(first, "\n"); strings.Count(text, "/hook home: changed") != 1 {
		t.Errorf("it tells:\n%s", text)
	}
	if again := watch(func(text string) bool { return text == "/ping " }); len(again) != 1 {
		t.Errorf("after a restart it tells:\n%s", strings.Join(again, "\n"))
	}
}
