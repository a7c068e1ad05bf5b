package server_test

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A browser is a headless Chromium, driven over a pipe by the DevTools protocol. The libraries for that bring a
// description of the whole protocol, which takes longer to compile than all of tend; a dozen calls are used here.
type browser struct {
	to io.Writer

	mu      sync.Mutex // guards what is below
	next    int
	waiting map[int]chan answer
	console []string      // errors that pages told of
	loaded  chan struct{} // one for each page that was loaded
	session string
}

type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct{ Message string }
	Method string
	Params json.RawMessage
}

// startBrowser starts Chromium; the test is skipped where there is none.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" {
		t.Skip("there is no Chromium on this machine (Debian: apt-get install chromium): pages are not looked at in a browser")
	}
	in, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	cmd := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--no-first-run", "--disable-extensions", "--disable-background-networking", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe")
	cmd.ExtraFiles = []*os.File{in, out}
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	_, _ = in.Close(), out.Close()
	b := &browser{to: to, waiting: map[int]chan answer{}, loaded: make(chan struct{}, 16)}
	go b.read(from)
	t.Cleanup(func() {
		_, _ = b.call("", "Browser.close", nil)
		_ = cmd.Wait()
		cancel()
	})
	b.open(t)
	return b
}

// read takes what Chromium says apart.
func (b *browser) read(from io.Reader) {
	r := bufio.NewReader(from)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			for _, c := range b.waiting {
				close(c)
			}
			b.waiting = nil
			b.mu.Unlock()
			return
		}
		var a answer
		if json.Unmarshal(text[:len(text)-1], &a) != nil {
			continue
		}
		b.mu.Lock()
		if c := b.waiting[a.ID]; c != nil {
			delete(b.waiting, a.ID)
			c <- a
		}
		b.note(a)
		b.mu.Unlock()
	}
}

// note remembers what pages complain of.
func (b *browser) note(a answer) {
	switch a.Method {
	case "Page.loadEventFired":
		select {
		case b.loaded <- struct{}{}:
		default:
		}
	case "Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled":
		var p struct{ Entry, Type json.RawMessage }
		_ = json.Unmarshal(a.Params, &p)
		if a.Method != "Runtime.consoleAPICalled" || strings.Contains(string(p.Type), "error") || strings.Contains(string(p.Type), "warn") {
			b.console = append(b.console, string(a.Params))
		}
	}
}

func (b *browser) call(session, method string, params any) (json.RawMessage, error) {
	b.mu.Lock()
	if b.waiting == nil {
		b.mu.Unlock()
		return nil, errors.New("the browser has ended")
	}
	b.next++
	id, c := b.next, make(chan answer, 1)
	b.waiting[id] = c
	b.mu.Unlock()
	msg := map[string]any{"id": id, "method": method}
	if params != nil {
		msg["params"] = params
	}
	if session != "" {
		msg["sessionId"] = session
	}
	text, err := json.Marshal(msg)
	if err != nil {
		return nil, err
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		return nil, err
	}
	select {
	case a, ok := <-c:
		switch {
		case !ok:
			return nil, errors.New("the browser has ended")
		case a.Error != nil:
			return nil, errors.New(method + ": " + a.Error.Message)
		}
		return a.Result, nil
	case <-time.After(time.Minute):
		return nil, errors.New(method + ": no answer")
	}
}

type params map[string]any

// do calls a method for the page, and fails the test where that fails.
func (b *browser) do(t *testing.T, method string, p params) json.RawMessage {
	t.Helper()
	out, err := b.call(b.session, method, p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// open opens the page in which everything is looked at.
func (b *browser) open(t *testing.T) {
	t.Helper()
	var target struct{ TargetID, SessionID string }
	if err := json.Unmarshal(b.do(t, "Target.createTarget", params{"url": "about:blank"}), &target); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.do(t, "Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}), &target); err != nil {
		t.Fatal(err)
	}
	b.session = target.SessionID
	for _, m := range []string{"Page.enable", "Runtime.enable", "Log.enable", "Network.enable"} {
		b.do(t, m, nil)
	}
}

// look sets how wide the page is, and whether it is dark.
func (b *browser) look(t *testing.T, width int, dark bool) {
	t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.do(t, "Emulation.setDeviceMetricsOverride", params{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700})
	b.do(t, "Emulation.setEmulatedMedia", params{"features": []params{{"name": "prefers-color-scheme", "value": scheme}}})
}

// visit loads a page and returns what it complains of.
func (b *browser) visit(t *testing.T, url string) {
	t.Helper()
	b.mu.Lock()
	for len(b.loaded) > 0 {
		<-b.loaded
	}
	b.mu.Unlock()
	b.do(t, "Page.navigate", params{"url": url})
	select {
	case <-b.loaded:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s was not loaded", url)
	}
}

// complaints are the errors of pages since they were last asked for.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := b.console
	b.console = nil
	return out
}

// run evaluates an expression in the page, and waits for it where it is a promise.
func (b *browser) run(t *testing.T, script string, to any) {
	t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	out := b.do(t, "Runtime.evaluate", params{"expression": script, "awaitPromise": true, "returnByValue": true})
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	if r.ExceptionDetails != nil {
		t.Fatalf("the script failed: %s", r.ExceptionDetails)
	}
	if to != nil {
		if err := json.Unmarshal(r.Result.Value, to); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// until waits until an expression is true.
func (b *browser) until(t *testing.T, expression string) {
	t.Helper()
	var ok bool
	b.run(t, fmt.Sprintf(`new Promise((done) => {
		const end = Date.now() + 10000;
		const look = () => (%s) ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 20);
		look();
	})`, expression), &ok)
	if !ok {
		t.Errorf("never true: %s", expression)
	}
}

// shoot writes a picture of the page, from the top to at most height pixels.
func (b *browser) shoot(t *testing.T, path string, width, height int) {
	t.Helper()
	var whole float64
	b.run(t, "document.documentElement.scrollHeight", &whole)
	out := b.do(t, "Page.captureScreenshot", params{
		"format": "png", "captureBeyondViewport": true,
		"clip": params{"x": 0, "y": 0, "width": width, "height": min(int(whole), height), "scale": 1},
	})
	var r struct{ Data string }
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(r.Data)
	if err != nil || len(data) < 1000 {
		t.Fatalf("%s: a picture of %d bytes (%v)", path, len(data), err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// axe is the text of axe-core, which npm fetches. Where that cannot be, it is empty, and a part of the test that is
// skipped says why; all else goes on.
func axe(t *testing.T) string {
	t.Helper()
	without := func(why string) string {
		t.Run("axe", func(t *testing.T) { t.Skip("accessibility is not checked by axe-core: " + why) })
		return ""
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return without("there is no npm on this machine")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "pack", "--silent", "axe-core@4.14.1")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return without(fmt.Sprintf("npm could not fetch it: %v\n%s", err, out))
	}
	packs, _ := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if len(packs) != 1 {
		t.Fatalf("npm pack left %v", packs)
	}
	f, err := os.Open(packs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("axe.min.js is not in %s: %v", packs[0], err)
		}
		if h.Name == "package/axe.min.js" {
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
}
