package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"

	"github.com/wneessen/go-mail"

	"github.com/felhom/tend/cmd/internal/agent/outward"
	"github.com/felhom/tend/cmd/internal/config"
	"github.com/felhom/tend/proxmox/secret"
)

// A mailbox gets messages as mail.
type mailbox struct {
	m        config.Mail
	password secret.Text
}

func newMailbox(m config.Mail, secrets Secrets) (*mailbox, error) {
	b := &mailbox{m: m}
	var err error
	if m.PasswordFile != "" {
		b.password, err = secrets(m.PasswordFile)
	}
	return b, err
}

// send sends a mail over a connection of its own.
func (b *mailbox) send(ctx context.Context, m Message, title, text string) error {
	msg := mail.NewMsg()
	err := msg.From(b.m.From)
	if err == nil {
		err = msg.To(b.m.To...)
	}
	if err != nil {
		return errors.New("an address cannot be read")
	}
	msg.Subject(title)
	msg.SetDateWithValue(m.Time)
	host := b.m.From[strings.LastIndexByte(b.m.From, '@')+1:]
	msg.SetMessageIDWithValue(m.ID + "@" + strings.Trim(host, "<> ")) // of each attempt, so that a mailbox shows it once
	msg.SetGenHeader("Auto-Submitted", "auto-generated")              // RFC 3834: no absence notes, please
	msg.SetBodyString(mail.TypeTextPlain, text+"\n")
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close() // the library leaves it open where TLS or the password is refused; otherwise it is closed
		}
	}()
	c, err := mail.NewClient(b.m.Host, append(b.options(), mail.WithDialContextFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := b.dial(ctx, network, address)
		if err == nil {
			conns = append(conns, conn)
		}
		return conn, err
	}))...)
	if err == nil {
		err = c.DialAndSendWithContext(ctx, msg)
	}
	if err != nil {
		return b.scrub(err)
	}
	return nil
}

func (b *mailbox) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if b.m.TLS == "tls" {
		d := tls.Dialer{Config: &tls.Config{ServerName: b.m.Host, MinVersion: tls.VersionTLS12}}
		return d.DialContext(ctx, network, address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func (b *mailbox) options() []mail.Option {
	o := []mail.Option{mail.WithTimeout(outward.Timeout)}
	switch b.m.TLS {
	case "tls":
		o = append(o, mail.WithSSLPort(false))
	case "none":
		o = append(o, mail.WithTLSPortPolicy(mail.NoTLS))
	default:
		o = append(o, mail.WithTLSPortPolicy(mail.TLSMandatory))
	}
	if b.m.Port != 0 {
		o = append(o, mail.WithPort(b.m.Port))
	}
	if b.m.User != "" {
		o = append(o, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(b.m.User), mail.WithPassword(b.password.Reveal()))
	}
	return o
}

// scrub leaves the password out of an error, should a server repeat it.
func (b *mailbox) scrub(err error) error {
	text := err.Error()
	if !b.password.IsZero() {
		text = strings.ReplaceAll(text, b.password.Reveal(), secret.Mask)
	}
	return errors.New(brief(text))
}
