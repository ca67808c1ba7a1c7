package pki

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"

	"github.com/cpctl/cpctl/pkg/store"
)

const sealEnc = "A256GCM"

// Seal encrypts plain with AES-256-GCM under the key derived for sealing and a
// random nonce of 96 bits (safe for 2^32 seals under one cluster key, NIST SP
// 800-38D section 8.3; a rewrap to a new key starts again).
//
// The parts of aad bind the result to its place, as tenant, kid and algorithm:
// it opens there only. The additional data are the scheme, the key id and the
// parts, each behind its length (4 bytes, big endian), so that a byte moved from
// one part to the next makes other data.
func (k ClusterKey) Seal(plain []byte, aad ...string) (store.Sealed, error) {
	var nonce [12]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return store.Sealed{}, err
	}
	aead, err := k.aead()
	if err != nil {
		return store.Sealed{}, err
	}
	id := k.ID()
	return store.Sealed{
		Enc:        sealEnc,
		KeyID:      id,
		Nonce:      base64.RawURLEncoding.EncodeToString(nonce[:]),
		Ciphertext: base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nonce[:], plain, frame(id, aad))),
	}, nil
}

// Open is the inverse of Seal with the same parts. The error is a *store.Error
// of CodeIntegrity. That another cluster key is needed is said apart from
// damage, since it is mended by another file and not by another copy.
func (k ClusterKey) Open(s store.Sealed, aad ...string) ([]byte, error) {
	if s.Enc != sealEnc {
		return nil, damaged("sealed with %q, which this build does not know", s.Enc)
	}
	id := k.ID()
	if s.KeyID != id {
		return nil, damaged("sealed under the cluster key %q, but the key of this node is %q", s.KeyID, id).
			WithHint("give the cluster key file that belongs to the cluster in which this was sealed")
	}
	nonce, err := decode(base64.RawURLEncoding, s.Nonce)
	if err != nil || len(nonce) != 12 {
		return nil, damaged("a sealed value has no nonce of 12 bytes")
	}
	text, err := decode(base64.RawURLEncoding, s.Ciphertext)
	if err != nil {
		return nil, damaged("a sealed value is not base64url")
	}
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nonce, text, frame(id, aad))
	if err != nil {
		return nil, damaged("a sealed value does not open: it was changed, or it belongs to another place")
	}
	return plain, nil
}

func (k ClusterKey) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.derive(labelSeal))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func frame(keyID string, parts []string) []byte {
	var b []byte
	for _, p := range append([]string{labelSeal, keyID}, parts...) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}
