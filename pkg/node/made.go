package node

import (
	"crypto/rand"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// made is what the leader makes for one request, once: completing the request
// again for a newer state uses the same.
type made struct {
	uids   []string
	name   string // generated client id
	keys   []store.Key
	secret *madeSecret
}

type madeSecret struct {
	plain string // "" if it was imported
	hint  string
	hash  string
}

// uid returns the i-th id of the request: UUIDv7, so that they sort by time.
func (m *made) uid(i int) (string, error) {
	for len(m.uids) <= i {
		id, err := uuid.NewV7()
		if err != nil {
			return "", err
		}
		m.uids = append(m.uids, id.String())
	}
	return m.uids[i], nil
}

// clientID returns a client id for a caller that gave none: 100 random bits,
// in lower case so that it survives being typed.
func (m *made) clientID() string {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789" // 32, without l o 0 1
	if m.name == "" {
		b := make([]byte, 20)
		rand.Read(b) // never fails
		for i := range b {
			b[i] = letters[b[i]%32]
		}
		m.name = string(b)
	}
	return m.name
}

// newSecret hashes the imported secret of the request, or derives one from
// the caller's seed: the caller keeps the seed, so that a retry shows the same
// secret and nothing is stored.
func (d *draft) newSecret() (*madeSecret, error) {
	if d.made.secret != nil {
		return d.made.secret, nil
	}
	var salt [16]byte
	rand.Read(salt[:])
	if d.req.Secret != nil {
		plain := *d.req.Secret
		if len(plain) < minImportedSecret || len(plain) > maxImportedSecret {
			return nil, store.Errorf(store.CodeInvalid, "an imported client secret has %d to %d bytes", minImportedSecret, maxImportedSecret)
		}
		d.made.secret = &madeSecret{hint: pki.SecretHint(plain), hash: pki.HashImported(plain, salt)}
		return d.made.secret, nil
	}
	plain, err := pki.DeriveSecret(d.req.Seed, d.req.ID)
	if err != nil {
		return nil, store.Errorf(store.CodeInvalid, "%v", err)
	}
	d.made.secret = &madeSecret{plain: plain, hint: pki.SecretHint(plain), hash: pki.HashSecret(plain, salt)}
	return d.made.secret, nil
}

// An imported secret is one that people chose elsewhere; shorter ones can be guessed.
const (
	minImportedSecret = 16
	maxImportedSecret = 256
)

// secretOf returns the generated secret of a request that was done before, if
// this caller holds the seed that it came from.
func (d *draft) secretOf(doc *store.Doc) string {
	plain, err := pki.DeriveSecret(d.req.Seed, d.req.ID)
	if err != nil {
		return ""
	}
	var c struct {
		Secrets []store.Secret `json:"secrets"`
	}
	if json.Unmarshal(doc.Bytes, &c) != nil {
		return ""
	}
	for _, s := range c.Secrets {
		if pki.VerifySecret(s.Hash, plain) {
			return plain
		}
	}
	return ""
}

// key returns the i-th new signing key of the request, sealed for its tenant.
// Its times and state are the caller's to set. One that was sealed before the
// cluster key changed is made anew: nobody has seen it, and the key that it was
// sealed under may be gone.
func (d *draft) key(i int, slug, alg string) (store.Key, error) {
	if i < len(d.made.keys) && d.made.keys[i].PrivateKey.KeyID != d.seal.ID() {
		d.made.keys = d.made.keys[:i]
	}
	for len(d.made.keys) <= i {
		kid, public, private, err := pki.GenerateKey(alg)
		if err != nil {
			return store.Key{}, err
		}
		sealed, err := d.seal.Seal(private, SealLabel(slug, kid, alg)...)
		if err != nil {
			return store.Key{}, fmt.Errorf("seal key %s: %w", kid, err)
		}
		d.made.keys = append(d.made.keys, store.Key{KID: kid, Alg: alg, PublicJWK: public, PrivateKey: &sealed})
		clear(private)
	}
	return d.made.keys[i], nil
}

// SealLabel is what the private part of a signing key is bound to when it is
// sealed: moved to another tenant, key or algorithm it does not open.
func SealLabel(slug, kid, alg string) []string {
	return []string{"cpctl signing key", slug, kid, alg}
}
