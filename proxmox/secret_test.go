package proxmox_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/felhom/tend/proxmox"
)

// TestSecret shows that no way to print, log or encode a secret, or what holds one, tells it: not even where it lies
// in an unexported field, for which package fmt calls no method.
func TestSecret(t *testing.T) {
	const value = "5ecre7-hunter2"
	s := proxmox.NewSecret(value)
	type hidden struct{ s proxmox.Secret }
	type open struct{ S proxmox.Secret }
	holders := []any{
		s, &s,
		hidden{s},
		&hidden{s},
		open{s},
		&open{s},
		[]proxmox.Secret{s},
		map[string]proxmox.Secret{"a": s},
		[]hidden{{s}},
		map[string]*hidden{"a": {s}},
		struct{ x any }{hidden{s}},
		struct{ f func() proxmox.Secret }{},
		proxmox.CreateParams{ID: 101, Password: s},
		struct{ p proxmox.CreateParams }{proxmox.CreateParams{Password: s}},
		proxmox.Request{Method: "POST", Path: "/access/ticket", Params: url.Values{"password": {value}}},
	}
	for _, v := range holders {
		var b bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T"} {
			fmt.Fprintf(&b, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&b, nil)).Info("text", "v", v)
		if _, isRequest := v.(proxmox.Request); !isRequest { // its parameters are texts: it is for transports alone
			slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "v", v)
			encode(&b, v)
		}
		for _, told := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value)} {
			if strings.Contains(b.String(), told) {
				t.Errorf("%T tells its secret:\n%s", v, &b)
			}
		}
	}
}

// encode writes a value in every form that takes it.
func encode(b *bytes.Buffer, v any) {
	for _, enc := range []func(any) ([]byte, error){json.Marshal, xml.Marshal, marshalYAML, marshalGob} {
		if text, err := enc(v); err == nil {
			b.Write(text)
		} else {
			b.WriteString(err.Error())
		}
	}
}

func marshalYAML(v any) (text []byte, err error) {
	defer func() {
		if p := recover(); p != nil { // yaml cannot write functions, and says so in this way
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	return yaml.Marshal(v)
}

func marshalGob(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func TestSecretValue(t *testing.T) {
	a, b, zero := proxmox.NewSecret("hunter2"), proxmox.NewSecret("hunter"+fmt.Sprint(2)), proxmox.NewSecret("")
	if a.Reveal() != "hunter2" || a.IsZero() || !zero.IsZero() || zero.Reveal() != "" {
		t.Errorf("revealed %q and %q", a.Reveal(), zero.Reveal())
	}
	if !a.Equal(b) || a.Equal(zero) || !zero.Equal(proxmox.Secret{}) {
		t.Error("equality is not that of the values")
	}
	if diff := cmp.Diff(proxmox.CreateParams{Password: a}, proxmox.CreateParams{Password: b}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(proxmox.CreateParams{Password: a}, proxmox.CreateParams{}); diff == "" || strings.Contains(diff, "hunter2") {
		t.Errorf("the difference is %q", diff)
	}
	if reflect.TypeFor[proxmox.Secret]().Comparable() {
		t.Error("secrets can be compared by ==, which would take their address")
	}
}
