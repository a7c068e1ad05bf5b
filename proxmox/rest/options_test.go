package rest_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/felhom/tend/proxmox"
	"github.com/felhom/tend/proxmox/rest"
)

// Whatever goes wrong, no secret of the options or the request appears in an error or a log.
func TestSecretsStaySecret(t *testing.T) {
	const password = "hunter2-hunter2"
	faults := map[string]http.HandlerFunc{
		"hung up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"html":    answer(200, "<html>"),
		"401":     answer(401, ""),
		"echo": func(w http.ResponseWriter, r *http.Request) {
			b, _ := json.Marshal(map[string]any{
				"data": nil, "message": "no good: " + r.FormValue("password"),
				"errors": map[string]string{"password": "got '" + r.FormValue("password") + "'"},
			})
			answer(400, string(b))(w, r)
		},
	}
	for name, h := range faults {
		for _, o := range []rest.Options{{Token: proxmox.NewSecret(token)}, {User: "root@pam", Password: proxmox.NewSecret(password)}} {
			var log bytes.Buffer
			o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			o.Retries = -1
			r := mutation("POST")
			r.Params.Set("password", password)
			_, err := dial(t, serve(t, h), o).Do(t.Context(), r)
			if err == nil {
				t.Fatalf("%s: no error", name)
			}
			for _, secret := range []string{password, "5ecre7"} {
				if strings.Contains(err.Error()+log.String(), secret) {
					t.Errorf("%s: %q is told in %q and %q", name, secret, err, &log)
				}
			}
		}
	}
	_, err := rest.New(rest.Options{Endpoint: "pve1", Token: proxmox.NewSecret("5ecre7")})
	if err == nil || strings.Contains(err.Error(), "5ecre7") {
		t.Errorf("error is %v", err)
	}
	_, err = rest.New(rest.Options{Endpoint: "https://root:5ecre7@pve1", Token: proxmox.NewSecret(token)})
	if err == nil || strings.Contains(err.Error(), "5ecre7") {
		t.Errorf("error is %v", err)
	}
}

func TestEndpoint(t *testing.T) {
	tests := []struct{ in, want string }{
		{"pve1", "https://pve1:8006"},
		{" pve1.lan:443 ", "https://pve1.lan:443"},
		{"192.168.1.5", "https://192.168.1.5:8006"},
		{"fd00::5", "https://[fd00::5]:8006"},
		{"[fd00::5]:443", "https://[fd00::5]:443"},
		{"https://pve1", "https://pve1:8006"},
		{"https://pve1:8006/", "https://pve1:8006"},
		{"https://pve1:8006/api2/json", "https://pve1:8006"},
		{"https://proxy:443/pve/", "https://proxy:443/pve"},
	}
	got := make([]string, len(tests))
	want := make([]string, len(tests))
	for i, tt := range tests {
		want[i] = tt.want
		tr, err := rest.New(rest.Options{Endpoint: tt.in, Token: proxmox.NewSecret(token)})
		if err != nil {
			t.Errorf("%q: %v", tt.in, err)
			continue
		}
		got[i] = tr.Endpoint()
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"", "http://pve1:8006", "https://", "ftp://pve1", "https://pve1/?a=b", "pve 1"} {
		if _, err := rest.New(rest.Options{Endpoint: bad, Token: proxmox.NewSecret(token)}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestOptions(t *testing.T) {
	bad := map[string]rest.Options{
		"no credential":     {},
		"two credentials":   {Token: proxmox.NewSecret(token), User: "root@pam"},
		"header in token":   {Token: proxmox.NewSecret("PVEAPIToken=tend@pve!agent=5ecre7")},
		"token with a line": {Token: proxmox.NewSecret(token + "\n")},
		"short fingerprint": {Token: proxmox.NewSecret(token), Fingerprint: "AB:CD"},
		"no such file":      {Token: proxmox.NewSecret(token), CAFile: "testdata/none.pem"},
		"no certificate":    {Token: proxmox.NewSecret(token), CAFile: "rest_test.go"},
	}
	for name, o := range bad {
		o.Endpoint = "pve1"
		_, err := rest.New(o)
		if err == nil {
			t.Errorf("%s is taken", name)
		}
		if name == "header in token" && !strings.Contains(err.Error(), "leave that out") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

// Whoever prints or logs a transport, or options, by mistake tells no secret.
func TestTransportPrinted(t *testing.T) {
	const password = "hunter2-hunter2"
	session := answer(200, `{"data":{"ticket":"PVE:5ecre7","CSRFPreventionToken":"5ecre7","ok":1}}`)
	for _, o := range []rest.Options{{Token: proxmox.NewSecret(token)}, {User: "root@pam", Password: proxmox.NewSecret(password)}} {
		tr := dial(t, serve(t, session), o)
		if _, err := tr.Do(t.Context(), mutation("PUT")); err != nil { // so that there is a ticket
			t.Fatal(err)
		}
		for _, v := range []any{tr, *tr, []any{tr}, map[string]*rest.Transport{"t": tr}, struct{ t *rest.Transport }{tr}, o, &o} {
			var b bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				fmt.Fprintf(&b, verb+"\n", v)
			}
			slog.New(slog.NewTextHandler(&b, nil)).Info("text", "v", v)
			slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "v", v)
			for _, secret := range []string{password, "5ecre7", hex.EncodeToString([]byte("5ecre7"))} {
				if strings.Contains(b.String(), secret) {
					t.Errorf("%T tells %q:\n%s", v, secret, &b)
				}
			}
		}
	}
}
