package store

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
)

// Keyset is keys/<slug>/keyset.json: all keys of a tenant, or of the platform
// itself under the slug "global".
type Keyset struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"`
	Tenant        string `json:"tenant"`
	Keys          []Key  `json:"keys"`
	Meta
}

// Key is one signing key. PrivateKey is nil once it was erased.
type Key struct {
	KID          string          `json:"kid"`
	Alg          string          `json:"alg"`
	State        string          `json:"state"` // next, active, retiring, revoked
	PublicJWK    json.RawMessage `json:"public_jwk"`
	PrivateKey   *Sealed         `json:"private_key"`
	CreatedAt    Time            `json:"created_at"`
	PublishedAt  Time            `json:"published_at"`
	ActivatedAt  Time            `json:"activated_at"`
	RetiringAt   Time            `json:"retiring_at"`
	VerifyUntil  Time            `json:"verify_until"`
	RevokedAt    Time            `json:"revoked_at"`
	RevokeReason string          `json:"revoke_reason"`
}

// Sealed is a secret under the cluster key: AES-256-GCM, base64url without
// padding. KeyID names the cluster key.
type Sealed struct {
	Enc        string `json:"enc"`
	KeyID      string `json:"key_id"`
	Nonce      string `json:"nonce"`
	Ciphertext string `json:"ciphertext"`
}

// The states of a key.
const (
	KeyNext     = "next"
	KeyActive   = "active"
	KeyRetiring = "retiring"
	KeyRevoked  = "revoked"
)

// Bounds of a keyset.
const (
	maxLiveKeys    = 64 // next, active and retiring together
	maxRevokedKeys = 32
	maxReason      = 200 // characters of revoke_reason
)

// SigningAlgs are the algorithms of keys, the default first: every relying
// party must support RS256 (OpenID Connect Core section 15.1).
var SigningAlgs = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}

func (ks *Keyset) identity(ref Ref, fs *faults) {
	checkHead(ks.FormatVersion, ks.Kind, ref, fs)
	mustBe("tenant", ks.Tenant, ref.Tenant, fs)
}

func (ks *Keyset) check(fs *faults) {
	ks.rules(fs)
	ks.Meta.rules(fs)
}

// CheckKeyset judges a keyset by itself: known states, exactly one active key,
// at most one next, at most 64 live and 32 revoked, no kid twice, the private
// part sealed for next and active and erased for the others, the times that each
// state needs, and of every key that is not revoked a public JWK whose RFC 7638
// thumbprint is the kid. The error is an *Error: CodeRefused when the number of
// live keys is the only fault (a safety rule), else CodeInvalid with all faults.
func CheckKeyset(ks *Keyset) error {
	var fs faults
	ks.rules(&fs)
	if len(fs) == 1 && ks.live() > maxLiveKeys {
		return Errorf(CodeRefused, "keyset of %q would have %d live keys; at most %d are allowed", ks.Tenant, ks.live(), maxLiveKeys).
			WithHint("wait until retiring keys have expired, or revoke one: cpctl key list")
	}
	return fs.refusal("keyset/" + ks.Tenant)
}

func (ks *Keyset) live() int {
	n := 0
	for i := range ks.Keys {
		if ks.Keys[i].State != KeyRevoked {
			n++
		}
	}
	return n
}

func (ks *Keyset) rules(fs *faults) {
	fs.addErr("tenant", CheckKeysetOwner(ks.Tenant))
	count, seen := map[string]int{}, map[string]bool{}
	for i := range ks.Keys {
		k, at := &ks.Keys[i], fmt.Sprintf("keys[%d]", i)
		count[k.State]++
		if seen[k.KID] {
			fs.add(at+".kid", "is the kid of an earlier key; a kid never returns")
		}
		seen[k.KID] = true
		k.rules(at, fs)
	}
	if n := count[KeyActive]; n != 1 {
		fs.add("keys", "has %d active keys; exactly one is needed", n)
	}
	if n := count[KeyNext]; n > 1 {
		fs.add("keys", "has %d next keys; at most one is allowed", n)
	}
	if n := count[KeyRevoked]; n > maxRevokedKeys {
		fs.add("keys", "keeps %d revoked keys; at most %d are allowed", n, maxRevokedKeys)
	}
	if n := ks.live(); n > maxLiveKeys {
		fs.add("keys", "has %d live keys; at most %d are allowed", n, maxLiveKeys)
	}
}

func (k *Key) rules(at string, fs *faults) {
	checkOneOf(at+".state", k.State, []string{KeyNext, KeyActive, KeyRetiring, KeyRevoked}, fs)
	checkOneOf(at+".alg", k.Alg, SigningAlgs, fs)
	k.checkPublic(at, fs)
	k.checkPrivate(at, fs)
	need := func(name string, t Time, states ...string) {
		if t == 0 && contains(states, k.State) {
			fs.add(at+"."+name, "is needed by a key in state %s", k.State)
		}
	}
	never := func(name string, t Time, states ...string) {
		if t != 0 && contains(states, k.State) {
			fs.add(at+"."+name, "must be null for a key in state %s", k.State)
		}
	}
	need("created_at", k.CreatedAt, KeyNext, KeyActive, KeyRetiring)
	need("activated_at", k.ActivatedAt, KeyActive)
	never("activated_at", k.ActivatedAt, KeyNext)
	need("retiring_at", k.RetiringAt, KeyRetiring)
	never("retiring_at", k.RetiringAt, KeyNext, KeyActive)
	need("verify_until", k.VerifyUntil, KeyRetiring)
	never("verify_until", k.VerifyUntil, KeyNext, KeyActive)
	need("revoked_at", k.RevokedAt, KeyRevoked)
	never("revoked_at", k.RevokedAt, KeyNext, KeyActive, KeyRetiring)
	if k.RevokeReason != "" && k.State != KeyRevoked {
		fs.add(at+".revoke_reason", "is for revoked keys only")
	}
	checkText(at+".revoke_reason", k.RevokeReason, maxReason, fs)
}

// checkPublic wants the public key of every key that still counts; a revoked
// one may have lost it.
func (k *Key) checkPublic(at string, fs *faults) {
	if len(k.PublicJWK) == 0 || string(k.PublicJWK) == "null" {
		if k.State != KeyRevoked {
			fs.add(at+".public_jwk", "is needed by a key in state %s", k.State)
		} else if !kidChars.holds(k.KID, 64) {
			fs.add(at+".kid", "must be base64url, at most 64 characters")
		}
		return
	}
	kid := checkSigningJWK(at+".public_jwk", k.PublicJWK, k.Alg, fs)
	if kid != "" && kid != k.KID {
		fs.add(at+".kid", "is %s, but the thumbprint of public_jwk is %s", quote(k.KID), kid)
	}
}

func (k *Key) checkPrivate(at string, fs *faults) {
	switch k.State {
	case KeyNext, KeyActive:
		if k.PrivateKey == nil {
			fs.add(at+".private_key", "is needed by a key in state %s", k.State)
			return
		}
		k.PrivateKey.rules(at+".private_key", fs)
	case KeyRetiring, KeyRevoked:
		if k.PrivateKey != nil {
			fs.add(at+".private_key", "must be erased in state %s", k.State)
		}
	}
}

// maxCiphertext bounds what is sealed, in bytes: a PKCS #8 RSA key of 8192 bits
// has less than 5 KiB.
const maxCiphertext = 16 << 10

// rules judges the form of a sealed value: AES-256-GCM with its 96-bit nonce and
// a ciphertext that ends in a 128-bit tag.
func (s *Sealed) rules(at string, fs *faults) {
	mustBe(at+".enc", s.Enc, "A256GCM", fs)
	if !kidChars.holds(s.KeyID, 64) {
		fs.add(at+".key_id", "must be base64url, at most 64 characters")
	}
	if b, ok := base64url(s.Nonce); !ok || len(b) != 12 {
		fs.add(at+".nonce", "must be 12 bytes in base64url without padding")
	}
	if b, ok := base64url(s.Ciphertext); !ok || len(b) < 16 || len(b) > maxCiphertext {
		fs.add(at+".ciphertext", "must be 16 to %d bytes in base64url without padding", maxCiphertext)
	}
}

// base64url decodes strictly: no padding, no line breaks, no loose last bits.
func base64url(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil && base64.RawURLEncoding.EncodedLen(len(b)) == len(s)
}

// JWKSOf is the canonical jwks.json of a keyset that CheckKeyset accepts: the
// public members of the active, the next and the retiring keys, in this order,
// the retiring ones newest first. Revoked keys are not in it.
func JWKSOf(ks *Keyset) []byte {
	set := JWKS{Keys: []json.RawMessage{}}
	var retiring []*Key
	byState := map[string]*Key{}
	for i := range ks.Keys {
		if k := &ks.Keys[i]; k.State == KeyRetiring {
			retiring = append(retiring, k)
		} else {
			byState[k.State] = k
		}
	}
	slices.SortFunc(retiring, func(a, b *Key) int {
		return cmp.Or(cmp.Compare(b.RetiringAt, a.RetiringAt), cmp.Compare(a.KID, b.KID))
	})
	for _, k := range append([]*Key{byState[KeyActive], byState[KeyNext]}, retiring...) {
		if k == nil {
			continue
		}
		var fs faults
		if n := parse(k.PublicJWK, maxJWK, &fs); n != nil {
			n.members = slices.DeleteFunc(n.members, func(m member) bool { return !contains(jwkOrder, m.name) })
			set.Keys = append(set.Keys, n.raw())
		}
	}
	return Encode(&set)
}
