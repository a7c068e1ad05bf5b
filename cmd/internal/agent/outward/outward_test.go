package outward_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/proxmox/secret"
)

// TestSend: 2xx is yes, everything else an error with the code and the beginning of the answer; a redirect is followed by
// nobody, since what is sent is for the one who was named; the key in the address is in no error.
func TestSend(t *testing.T) {
	visits, code := 0, 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits++
		w.Header().Set("Location", "/hunter2/elsewhere")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	}))
	send := func(ctx context.Context) error {
		return outward.Send(ctx, outward.NewClient(), outward.Request{Method: http.MethodPost, URL: secret.New(s.URL + "/hunter2?key=hunter2"), Body: []byte("{}")})
	}
	for _, code = range []int{200, 201, 204, 302, 307, 400, 401, 500} {
		visits = 0
		err := send(t.Context())
		e, ok := errors.AsType[*outward.StatusError](err)
		if ok == (code < 300) || ok && (e.Code != code || len(e.Body) > 4<<10) || visits != 1 || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%d, after %d visits: %v", code, visits, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	s.Close()
	for _, ctx := range []context.Context{gone, t.Context()} {
		if err := send(ctx); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("nobody there: %v", err)
		}
	}
	if err := outward.Send(t.Context(), outward.NewClient(), outward.Request{URL: secret.New("http://[hunter2")}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("no address: %v", err)
	}
}

// TestCheckURL takes addresses of the web alone.
func TestCheckURL(t *testing.T) {
	for text, good := range map[string]bool{
		"https://example.com/hunter2": true, "http://127.0.0.1:1": true,
		"": false, "hunter2": false, "ftp://hunter2": false, "https://": false, "http://[hunter2": false, "file:///hunter2": false,
	} {
		if err := outward.CheckURL(text); (err == nil) != good || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestPause: from half of the time to all of it, which doubles up to the limit; a context ends it at once.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for try, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
			began := time.Now()
			if !outward.Pause(t.Context(), try, time.Second, 10*time.Second) {
				t.Fatal("the context is alive")
			}
			if d := time.Since(began); d < want*time.Second/2 || d > want*time.Second {
				t.Errorf("try %d: %s", try, d)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if began := time.Now(); outward.Pause(ctx, 1000, time.Hour, 10*time.Hour) || time.Since(began) != time.Second {
			t.Errorf("it took %s", time.Since(began))
		}
	})
}
