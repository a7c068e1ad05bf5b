package sim

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// listen serves a simulator until the test ends.
func listen(t testing.TB, s *Sim) *Server {
	t.Helper()
	sv, err := s.Serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = sv.Close(ctx)
	})
	return sv
}

const (
	rootSecret = "PVEAPIToken=root@pam!lab=11111111-1111-4111-8111-111111111111"
	pve1       = "/api2/json/nodes/pve1"
)

// dial opens a connection and checks that the certificate is the one of the fingerprint.
func dial(t *testing.T, sv *Server) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", sv.Addr, &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(cs tls.ConnectionState) error {
		sum := sha256.Sum256(cs.PeerCertificates[0].Raw)
		if colons(sum[:]) != sv.Fingerprint {
			return fmt.Errorf("fingerprint %s", colons(sum[:]))
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// exchange writes a raw request and reads the status line, headers and body.
func exchange(t *testing.T, conn net.Conn, raw string) (line string, resp *http.Response, body string) {
	t.Helper()
	if _, err := io.WriteString(conn, strings.ReplaceAll(raw, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	r, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &seen)), nil)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ = strings.Cut(seen.String(), "\r\n")
	return line, r, string(data)
}

// open reports whether the server still answers on the connection. It asks: silence would prove nothing on a busy machine.
func open(conn net.Conn) bool {
	if _, err := io.WriteString(conn, "GET /api2/json/version HTTP/1.1\r\nHost: x\r\nAuthorization: "+rootSecret+"\r\n\r\n"); err != nil {
		return false
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK
}

func TestHTTPAnswers(t *testing.T) {
	sv := listen(t, start(t, lab(t), Options{}))
	auth := "\nHost: x\nAuthorization: " + rootSecret
	for _, tt := range []struct {
		name, raw, line, body string
		open                  bool
	}{
		{"a read keeps the connection", "GET /api2/json/version HTTP/1.1" + auth + "\n\n", "HTTP/1.1 200 OK", `"version":"9.2.11"`, true},
		{"a read that pvedaemon answers does not", "GET " + pve1 + "/lxc HTTP/1.1" + auth + "\n\n", "HTTP/1.1 200 OK", `{"data":[]}`, false},
		{
			"an error is the reason phrase", "GET " + pve1 + "/lxc/101/config HTTP/1.1" + auth + "\n\n",
			"HTTP/1.1 500 Configuration file 'nodes/pve1/lxc/101.conf' does not exist",
			`"message":"Configuration file 'nodes/pve1/lxc/101.conf' does not exist\n"`, false,
		},
		{"nobody", "GET /api2/json/version HTTP/1.1\nHost: x\n\n", "HTTP/1.1 401 No ticket", "", false},
		{
			"somebody else", "GET /api2/json/version HTTP/1.1\nHost: x\nAuthorization: PVEAPIToken=root@pam!lab=no\n\n",
			"HTTP/1.1 401 Authentication failed!", "", false,
		},
		{
			"a token makes no tickets", "POST /api2/json/access/ticket HTTP/1.1" + auth + "\nContent-Length: 24\n\nusername=root&password=x",
			"HTTP/1.1 403 Permission check failed (URI '/access/ticket' not available with API token, need proper ticket.", `"data":null`, false,
		},
		{
			"body on DELETE", "DELETE " + pve1 + "/lxc/101 HTTP/1.1" + auth + "\nContent-Length: 7\n\npurge=1",
			"HTTP/1.1 501 Unexpected content for method 'DELETE'", "", false,
		},
		{
			"chunks", "PUT " + pve1 + "/lxc/101/config HTTP/1.1" + auth + "\nTransfer-Encoding: chunked\n\n0\n\n",
			"HTTP/1.1 501 chunked transfer encoding not supported", "", false,
		},
		{
			"content type", "POST " + pve1 + "/lxc HTTP/1.1" + auth + "\nContent-Type: text/xml\nContent-Length: 1\n\nx",
			"HTTP/1.1 506 upload 'Content-Type 'text/xml' not implemented", "", false,
		},
		{"too large", "POST " + pve1 + "/lxc HTTP/1.1" + auth + "\nContent-Length: 524289\n\n", "HTTP/1.1 501 for data too large", "", false},
		{"method", "PATCH " + pve1 + " HTTP/1.1" + auth + "\n\n", "HTTP/1.1 501 method 'PATCH' not available", "", false},
		{"other tree", "GET /api2/extjs/version HTTP/1.1" + auth + "\n\n", "HTTP/1.1 501 no such uri", "", false},
		{
			"the query wins over the body", "POST /api2/json/pools?poolid=one HTTP/1.1" + auth + "\nContent-Length: 10\n\npoolid=two",
			"HTTP/1.1 200 OK", `{"data":null}`, false,
		},
		{
			"a value ends at the next raw =", "PUT /api2/json/pools HTTP/1.1" + auth + "\nContent-Length: 22\n\npoolid=one&comment=a=b",
			"HTTP/1.1 200 OK", `{"data":null}`, false,
		},
		{
			"semicolons separate", "PUT /api2/json/pools HTTP/1.1" + auth + "\nContent-Length: 18\n\npoolid=one;bogus=1",
			"HTTP/1.1 400 Parameter verification failed.", `"bogus":"property is not defined`, false,
		},
		{
			"a repeated key is an array", "POST " + pve1 + "/lxc HTTP/1.1" + auth + "\nContent-Length: 30\n\nvmid=101&hostname=a&hostname=b",
			"HTTP/1.1 400 Parameter verification failed.", `"hostname":"type check ('string') failed - got ARRAY"`, false,
		},
		{
			"JSON", "POST " + pve1 + "/lxc HTTP/1.1" + auth + "\nContent-Type: application/json\nContent-Length: 28\n\n{\"vmid\":99,\"onboot\":[\"yes\"]}",
			"HTTP/1.1 400 Parameter verification failed.", `"onboot":"type check ('boolean') failed - got ARRAY"`, false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, sv)
			line, resp, body := exchange(t, conn, tt.raw)
			if line != tt.line {
				t.Errorf("status line %q, want %q", line, tt.line)
			}
			if !strings.Contains(body, tt.body) || tt.body == "" && body != "" {
				t.Errorf("body %q, want %q", body, tt.body)
			}
			if got := open(conn); got != tt.open {
				t.Errorf("connection open: %v", got)
			}
			if got := resp.Header.Get("Server"); got != "pve-api-daemon/3.0" {
				t.Errorf("server %q", got)
			}
		})
	}
}

func TestFormValueEndsAtEquals(t *testing.T) {
	p := params{}
	decodeForm("net0=name=eth0&a=1;b=&c&d=%C3%A4+x&e=1&e=2", p)
	for k, want := range map[string]value{
		"net0": {text: "name"}, "a": {text: "1"}, "b": {}, "c": {kind: undefValue}, "d": {text: "ä x"},
		"e": {kind: listValue, list: []value{{text: "1"}, {text: "2"}}},
	} {
		if got := p[k]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", k, got, want)
		}
	}
}

func TestGzip(t *testing.T) {
	s := start(t, lab(t), Options{})
	sv := listen(t, s)
	conn := dial(t, sv)
	_, resp, body := exchange(t, conn, "GET /api2/json/access/permissions HTTP/1.1\nHost: x\nAccept-Encoding: gzip\nAuthorization: "+rootSecret+"\n\n")
	if resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("headers %v", resp.Header)
	}
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil || !json.Valid(raw) {
		t.Errorf("%v: %s", err, raw)
	}
	if !open(conn) {
		t.Error("the connection is closed")
	}
}

func TestTicket(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	sv := listen(t, start(t, lab(t), Options{Now: func() time.Time { return now }}))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	login := func(password string) (int, map[string]any) {
		resp, err := client.PostForm(sv.URL()+"/api2/json/access/ticket", url.Values{"username": {"root@pam"}, "password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var body struct{ Data map[string]any }
		_ = json.NewDecoder(resp.Body).Decode(&body)
		return resp.StatusCode, body.Data
	}
	if code, _ := login("wrong"); code != 401 {
		t.Errorf("a wrong password gives %d", code)
	}
	code, data := login("labpassword")
	if code != 200 {
		t.Fatalf("login gives %d", code)
	}
	send := func(method, path, csrf string) string {
		req, _ := http.NewRequest(method, sv.URL()+path, nil)
		req.Header.Set("Cookie", "PVEAuthCookie="+url.QueryEscape(data["ticket"].(string)))
		if csrf != "" {
			req.Header.Set("CSRFPreventionToken", csrf)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.Status
	}
	token := data["CSRFPreventionToken"].(string)
	for _, tt := range []struct{ name, got, want string }{
		{"read", send("GET", "/api2/json/version", ""), "200 OK"},
		{"write without token", send("POST", "/api2/json/pools?poolid=a", ""), "401 Permission denied - invalid csrf token"},
		{"write with a wrong token", send("POST", "/api2/json/pools?poolid=a", token+"x"), "401 Permission denied - invalid csrf token"},
		{"write", send("POST", "/api2/json/pools?poolid=a", token), "200 OK"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	now = now.Add(3 * time.Hour)
	if got := send("GET", "/api2/json/version", ""); got != "401 Authentication failed!" {
		t.Errorf("after three hours: %q", got)
	}
}

func TestFaults(t *testing.T) {
	var f Fault
	s := start(t, lab(t), Options{Fault: func(c Call) Fault {
		if c.Path == "/version" {
			return f
		}
		return Fault{}
	}})
	sv := listen(t, s)
	get := "GET /api2/json/version HTTP/1.1\nHost: x\nAuthorization: " + rootSecret + "\n\n"
	for _, tt := range []struct {
		name, line, body string
		fault            Fault
	}{
		{"none", "HTTP/1.1 200 OK", "9.2.11", Fault{}},
		{"status with text", "HTTP/1.1 500 got timeout", `"message":"got timeout\n"`, Fault{Status: 500, Reason: "got timeout"}},
		{"proxy", "HTTP/1.1 596 Broken pipe", "", Fault{Status: 596, Reason: "Broken pipe"}},
		{"HTML", "HTTP/1.1 502 Bad Gateway", "<html>", Fault{Status: 502, Reason: "Bad Gateway", Body: "<html>"}},
		{"a body that is cut off", "HTTP/1.1 200 OK", `{"data":`, Fault{Status: 200, Reason: "OK", Body: `{"data":`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f = tt.fault
			line, _, body := exchange(t, dial(t, sv), get)
			if line != tt.line || !strings.Contains(body, tt.body) {
				t.Errorf("%q %q", line, body)
			}
		})
	}
	f = Fault{Cut: true}
	conn := dial(t, sv)
	_, _ = io.WriteString(conn, strings.ReplaceAll(get, "\n", "\r\n"))
	if raw, _ := io.ReadAll(conn); len(raw) != 0 {
		t.Errorf("a cut connection answers %q", raw)
	}
}

func TestTaskFaults(t *testing.T) {
	var f Fault
	s := start(t, lab(t), Options{Fault: func(c Call) Fault {
		if c.Method == "POST" {
			return f
		}
		return Fault{}
	}})
	create(t, s, "101", nil)
	f = Fault{TaskError: "disk on fire"}
	if got := refused(t, s, rootToken, "POST", "/nodes/pve1/lxc/101/status/start", nil); got != "disk on fire" {
		t.Errorf("status %q", got)
	}
	f = Fault{TaskKill: true}
	if got := refused(t, s, rootToken, "POST", "/nodes/pve1/lxc/101/status/start", nil); got != "unexpected status" {
		t.Errorf("status %q", got)
	}
	f = Fault{TaskHang: true}
	data, err := request(s, rootToken, "POST", "/nodes/pve1/lxc/101/status/start", nil)
	if err != nil {
		t.Fatal(err)
	}
	upid := strings.Trim(string(data), `"`)
	if got := string(must(t, s, "GET", "/nodes/pve1/tasks/"+upid+"/status", nil)); !strings.Contains(got, `"status":"running"`) {
		t.Errorf("a task that hangs: %s", got)
	}
	if err := s.KillTask(upid); err != nil {
		t.Fatal(err)
	}
	f = Fault{}
	must(t, s, "POST", "/nodes/pve1/lxc/101/status/start", nil) // the lock died with the process
}
