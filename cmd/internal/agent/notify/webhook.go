package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox/secret"
)

// A webhook sends messages as JSON.
type webhook struct {
	client *http.Client
	url    secret.Text
	key    secret.Text // of the signature, in bytes; zero: none
}

func newWebhook(w config.NotifyWebhook, secrets Secrets) (*webhook, error) {
	address, err := secrets.either(w.URL, w.URLFile)
	if err == nil {
		err = outward.CheckURL(address.Reveal())
	}
	out := &webhook{client: outward.NewClient(), url: address}
	if err == nil && w.SecretFile != "" {
		out.key, err = readKey(w.SecretFile, secrets)
	}
	return out, err
}

// readKey reads the key of a signature.
func readKey(path string, secrets Secrets) (secret.Text, error) {
	text, err := secrets(path)
	if err != nil {
		return secret.Text{}, err
	}
	encoded, ok := strings.CutPrefix(text.Reveal(), "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < 24 {
		return secret.Text{}, fmt.Errorf("%s: is not whsec_ and base64 of at least 24 bytes; make one by: echo whsec_$(openssl rand -base64 32)", path)
	}
	return secret.New(string(key)), nil
}

// send posts a message. Its id is the same in each attempt, so that a receiver can leave out what it has.
func (w *webhook) send(ctx context.Context, m Message, title, text string) error {
	body, err := json.Marshal(struct {
		Message
		Title string `json:"title"`
		Text  string `json:"text"`
	}{m, title, text})
	if err != nil {
		return errors.New("the message cannot be written as JSON")
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("webhook-id", m.ID)
	h.Set("webhook-timestamp", at)
	if !w.key.IsZero() {
		h.Set("webhook-signature", sign(w.key, m.ID, at, body))
	}
	return outward.Send(ctx, w.client, outward.Request{Method: http.MethodPost, URL: w.url, Header: h, Body: body})
}

// sign is the signature of a body, as Standard Webhooks has it: over id, time and body, so that none of them can be
// replaced, nor an old one be sent again.
func sign(key secret.Text, id, at string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
