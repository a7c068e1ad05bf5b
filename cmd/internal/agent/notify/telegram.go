package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/proxmox/secret"
)

// A telegram is a bot with the chats that it writes to. Shoutrrr knows Telegram, too, but tells no error where the
// server could not be reached, so that messages would be lost.
type telegram struct {
	client *http.Client
	api    string // of Telegram, without a slash at the end
	token  secret.Text
	chats  []string
}

// telegramAPI is where https://core.telegram.org/bots/api says that bots ask.
const telegramAPI = "https://api.telegram.org"

// newTelegram reads a URL as shoutrrr has it: telegram://TOKEN@telegram?chats=@channel,123.
func newTelegram(address secret.Text) (*telegram, error) {
	u, err := url.Parse(address.Reveal())
	if err != nil || u.User == nil {
		return nil, errors.New("is not telegram://TOKEN@telegram?chats=CHAT")
	}
	t := &telegram{client: outward.NewClient(), api: telegramAPI, token: secret.New(u.User.String())}
	for _, key := range []string{"chats", "channels"} {
		t.chats = append(t.chats, strings.FieldsFunc(u.Query().Get(key), func(r rune) bool { return r == ',' })...)
	}
	if len(t.chats) == 0 {
		return nil, errors.New("names no chats: telegram://TOKEN@telegram?chats=CHAT")
	}
	return t, nil
}

// send sends a message to each chat. Where one fails, those before it have it, and get it again.
func (t *telegram) send(ctx context.Context, _ Message, title, text string) error {
	for _, chat := range t.chats {
		body, err := json.Marshal(map[string]string{"chat_id": chat, "text": shorten(title + "\n" + text)})
		if err != nil {
			return err
		}
		h := http.Header{"Content-Type": {"application/json"}}
		address := secret.New(t.api + "/bot" + t.token.Reveal() + "/sendMessage")
		if err := outward.Send(ctx, t.client, outward.Request{Method: http.MethodPost, URL: address, Header: h, Body: body}); err != nil {
			return t.explain(err)
		}
	}
	return nil
}

// explain adds what Telegram says: "chat not found". A token is not in it.
func (t *telegram) explain(err error) error {
	e, ok := errors.AsType[*outward.StatusError](err)
	var answer struct{ Description string }
	if !ok || json.Unmarshal(e.Body, &answer) != nil || answer.Description == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, brief(strings.ReplaceAll(answer.Description, t.token.Reveal(), secret.Mask)))
}
