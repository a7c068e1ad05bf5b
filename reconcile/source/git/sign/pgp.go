package sign

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A ring is a key ring of OpenPGP.
type ring openpgp.EntityList

// AddKeyRing adds the OpenPGP keys of a key ring, armored (gpg --export --armor) or not.
func (s *Signers) AddKeyRing(data []byte) error {
	read := openpgp.ReadKeyRing
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN PGP ")) {
		read = openpgp.ReadArmoredKeyRing
	}
	keys, err := read(bytes.NewReader(data))
	if err == nil && len(keys) == 0 {
		err = errors.New("there is no key in it")
	}
	if err != nil {
		return fmt.Errorf("read key ring (as gpg --export --armor writes it): %w", err)
	}
	s.ring = append(s.ring, keys...)
	return nil
}

func (r ring) verify(payload, armored []byte, now time.Time) (Signer, error) {
	key := issuer(armored)
	refuse := func(reason string) (Signer, error) { return Signer{}, &RefusedError{key, reason} }
	config := &packet.Config{Time: func() time.Time { return now }}
	entity, err := openpgp.CheckArmoredDetachedSignature(openpgp.EntityList(r), bytes.NewReader(payload), bytes.NewReader(armored), config)
	switch {
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return refuse("nobody who may sign has this key")
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return refuse("it has expired: extend it, and export it anew")
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return refuse("it is revoked")
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return refuse("the signature has expired")
	case err != nil:
		return refuse("the signature is not one of this content, or not a good one (" + err.Error() + ")")
	}
	name := "a key without identity"
	if names := slices.Sorted(maps.Keys(entity.Identities)); len(names) > 0 {
		name = names[0]
	}
	return Signer{name, fmt.Sprintf("%X", entity.PrimaryKey.Fingerprint)}, nil
}

// issuer is the key that a signature says it is made with; empty where it cannot be read.
func issuer(armored []byte) string {
	block, err := armor.Decode(bytes.NewReader(armored))
	if err != nil {
		return ""
	}
	p, err := packet.NewReader(block.Body).Next()
	sig, ok := p.(*packet.Signature)
	switch {
	case err != nil || !ok:
		return ""
	case len(sig.IssuerFingerprint) > 0:
		return fmt.Sprintf("%X", sig.IssuerFingerprint)
	case sig.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *sig.IssuerKeyId)
	}
	return ""
}
