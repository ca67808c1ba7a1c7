package reader

import (
	"encoding/json"
	"errors"
	"io/fs"
	"time"
)

// Key is what is public of a signing key.
type Key struct {
	KID         string          `json:"kid"`
	Alg         string          `json:"alg"`
	State       string          `json:"state"`      // next, active, retiring, revoked
	PublicJWK   json.RawMessage `json:"public_jwk"` // null once it was revoked
	CreatedAt   time.Time       `json:"created_at"`
	ActivatedAt time.Time       `json:"activated_at"`
	RetiringAt  time.Time       `json:"retiring_at"`
	VerifyUntil time.Time       `json:"verify_until"` // of a retiring key
	RevokedAt   time.Time       `json:"revoked_at"`
}

// Keys reads what is public of a tenant's keys, or of the platform's ("global"):
// the active one first, then the next, those that retire, and those revoked.
func (v *View) Keys(tenant string) ([]Key, error) {
	if !isSlug(tenant) {
		return nil, missing("keyset", tenant)
	}
	type keyset struct {
		head
		Tenant string `json:"tenant"`
		Keys   []Key  `json:"keys"`
	}
	ks, _, err := document(v, "keys/"+tenant+"/keyset.json", "keyset", tenant, func(ks *keyset) bool { return ks.Tenant == tenant })
	if err != nil {
		return nil, err
	}
	return ks.Keys, nil
}

// JWKS reads the public key set of a tenant, or of the platform ("global"), to
// be served as it is: the active key, the next one, and those whose tokens may
// still be verified.
func (v *View) JWKS(tenant string) ([]byte, error) {
	if !isSlug(tenant) {
		return nil, missing("keyset", tenant)
	}
	path := "keys/" + tenant + "/jwks.json"
	b, err := v.dir.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing("keyset", tenant)
	}
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil || set.Keys == nil {
		return nil, damaged(path, "is no key set")
	}
	return b, nil
}
