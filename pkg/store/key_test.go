package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// sampleKeyset has one key of every state.
func sampleKeyset(t testing.TB) *Keyset {
	return &Keyset{
		FormatVersion: "1.0", Kind: "keyset", Tenant: "acme",
		Keys: []Key{signingKey(t, 1, KeyActive), signingKey(t, 2, KeyNext), signingKey(t, 3, KeyRetiring), signingKey(t, 4, KeyRevoked)},
		Meta: sampleMeta(),
	}
}

func TestKeysetRules(t *testing.T) {
	for _, c := range []struct {
		fact   string
		change func(*Keyset)
		want   string // path: beginning of the message; "" when accepted
	}{
		{"takes one key of every state", func(ks *Keyset) {}, ""},
		{"takes the platform's keyset", func(ks *Keyset) { ks.Tenant = "global" }, ""},
		{"takes an active key alone", func(ks *Keyset) { ks.Keys = ks.Keys[:1] }, ""},
		{"takes several retiring keys", func(ks *Keyset) { ks.Keys = append(ks.Keys, signingKey(t, 5, KeyRetiring)) }, ""},
		{"takes a revoked key without its public part", func(ks *Keyset) { ks.Keys[3].PublicJWK = nil }, ""},
		{"takes 32 revoked keys", func(ks *Keyset) { addKeys(t, ks, KeyRevoked, 31) }, ""},
		{"takes 64 live keys", func(ks *Keyset) { addKeys(t, ks, KeyRetiring, 61) }, ""},
		{"refuses 33 revoked keys", func(ks *Keyset) { addKeys(t, ks, KeyRevoked, 32) }, "keys: keeps 33 revoked"},
		{"refuses a bad owner", func(ks *Keyset) { ks.Tenant = "../x" }, "tenant: slug"},
		{"refuses no key at all", func(ks *Keyset) { ks.Keys = nil }, "keys: has 0 active keys"},
		{"refuses no active key", func(ks *Keyset) { ks.Keys = ks.Keys[1:] }, "keys: has 0 active keys"},
		{"refuses two active keys", func(ks *Keyset) { ks.Keys = append(ks.Keys, signingKey(t, 5, KeyActive)) }, "keys: has 2 active keys"},
		{"refuses two next keys", func(ks *Keyset) { ks.Keys = append(ks.Keys, signingKey(t, 5, KeyNext)) }, "keys: has 2 next keys"},
		{"refuses an unknown state", func(ks *Keyset) { ks.Keys[2].State = "retired" }, "keys[2].state: is \"retired\"; must be one of"},
		{"refuses an unknown algorithm", func(ks *Keyset) { ks.Keys[0].Alg = "HS256" }, "keys[0].alg: is \"HS256\""},
		{"refuses an algorithm of another key type", func(ks *Keyset) {
			k := &ks.Keys[0]
			k.Alg, k.PublicJWK = "RS256", json.RawMessage(strings.Replace(string(k.PublicJWK), `"alg":"EdDSA"`, `"alg":"RS256"`, 1))
		}, "keys[0].public_jwk: is not a key for alg \"RS256\""},
		{"refuses an active key without its private part", func(ks *Keyset) { ks.Keys[0].PrivateKey = nil }, "keys[0].private_key: is needed"},
		{"refuses a next key without its private part", func(ks *Keyset) { ks.Keys[1].PrivateKey = nil }, "keys[1].private_key: is needed"},
		{"refuses a retiring key with its private part", func(ks *Keyset) { ks.Keys[2].PrivateKey = sampleSealed() }, "keys[2].private_key: must be erased"},
		{"refuses a revoked key with its private part", func(ks *Keyset) { ks.Keys[3].PrivateKey = sampleSealed() }, "keys[3].private_key: must be erased"},
		{"refuses a live key without its public part", func(ks *Keyset) { ks.Keys[2].PublicJWK = nil }, "keys[2].public_jwk: is needed"},
		{"refuses a kid that is not the thumbprint", func(ks *Keyset) { ks.Keys[0].KID = ks.Keys[0].KID[:42] + "x" }, "keys[0].kid: is"},
		{"refuses a kid inside the JWK that is not the thumbprint", func(ks *Keyset) {
			k := &ks.Keys[0]
			k.PublicJWK = json.RawMessage(strings.Replace(string(k.PublicJWK), k.KID, "x", 1))
		}, "keys[0].public_jwk: has kid \"x\""},
		{"refuses a kid that returns", func(ks *Keyset) { ks.Keys[3] = signingKey(t, 1, KeyRevoked) }, "keys[3].kid: is the kid of an earlier key"},
		{"refuses a private member in the JWK", func(ks *Keyset) {
			k := &ks.Keys[0]
			k.PublicJWK = json.RawMessage(strings.Replace(string(k.PublicJWK), `{`, `{"d":"AA",`, 1))
		}, "keys[0].public_jwk: must be a public key"},
		{"refuses a foreign member in the JWK", func(ks *Keyset) {
			k := &ks.Keys[0]
			k.PublicJWK = json.RawMessage(strings.Replace(string(k.PublicJWK), `{`, `{"note":"AA",`, 1))
		}, "keys[0].public_jwk: must not have the member \"note\""},
		{"refuses a JWK for another use", func(ks *Keyset) {
			k := &ks.Keys[0]
			k.PublicJWK = json.RawMessage(strings.Replace(string(k.PublicJWK), `"use":"sig"`, `"use":"enc"`, 1))
		}, "keys[0].public_jwk: must have use \"sig\""},
		{"refuses a key made at no time", func(ks *Keyset) { ks.Keys[0].CreatedAt = 0 }, "keys[0].created_at: is needed"},
		{"refuses an active key never activated", func(ks *Keyset) { ks.Keys[0].ActivatedAt = 0 }, "keys[0].activated_at: is needed"},
		{"refuses a next key already activated", func(ks *Keyset) { ks.Keys[1].ActivatedAt = 5 }, "keys[1].activated_at: must be null"},
		{"refuses a retiring key that never ends", func(ks *Keyset) { ks.Keys[2].VerifyUntil = 0 }, "keys[2].verify_until: is needed"},
		{"refuses a retiring key without its start", func(ks *Keyset) { ks.Keys[2].RetiringAt = 0 }, "keys[2].retiring_at: is needed"},
		{"refuses an active key with an end", func(ks *Keyset) { ks.Keys[0].VerifyUntil = 5 }, "keys[0].verify_until: must be null"},
		{"refuses an active key that retires", func(ks *Keyset) { ks.Keys[0].RetiringAt = 5 }, "keys[0].retiring_at: must be null"},
		{"refuses a revoked key without its time", func(ks *Keyset) { ks.Keys[3].RevokedAt = 0 }, "keys[3].revoked_at: is needed"},
		{"refuses a live key with a revocation", func(ks *Keyset) { ks.Keys[2].RevokedAt = 5 }, "keys[2].revoked_at: must be null"},
		{"refuses a reason without a revocation", func(ks *Keyset) { ks.Keys[0].RevokeReason = "x" }, "keys[0].revoke_reason: is for revoked"},
		{"refuses a reason that disturbs a terminal", func(ks *Keyset) { ks.Keys[3].RevokeReason = "\x1b[2J" }, "keys[3].revoke_reason: has the control"},
		{"refuses a reason of 201 characters", func(ks *Keyset) { ks.Keys[3].RevokeReason = strings.Repeat("ñ", 201) }, "keys[3].revoke_reason: has 201"},
		{"refuses another cipher", func(ks *Keyset) { ks.Keys[0].PrivateKey.Enc = "A128GCM" }, "keys[0].private_key.enc: is \"A128GCM\""},
		{"refuses a seal without the name of its key", func(ks *Keyset) { ks.Keys[0].PrivateKey.KeyID = "" }, "keys[0].private_key.key_id: must"},
		{"refuses a short nonce", func(ks *Keyset) { ks.Keys[0].PrivateKey.Nonce = "AAAA" }, "keys[0].private_key.nonce: must be 12"},
		{"refuses a ciphertext shorter than its tag", func(ks *Keyset) { ks.Keys[0].PrivateKey.Ciphertext = "AAAA" }, "keys[0].private_key.ciphertext: must"},
		{"refuses a ciphertext with line breaks", func(ks *Keyset) { ks.Keys[0].PrivateKey.Ciphertext += "\n" }, "keys[0].private_key.ciphertext: must"},
	} {
		ks := sampleKeyset(t)
		c.change(ks)
		wantFault(t, c.fact, CheckKeyset(ks), c.want)
	}
}

func addKeys(t testing.TB, ks *Keyset, state string, n int) {
	for i := range n {
		ks.Keys = append(ks.Keys, signingKey(t, byte(100+i), state))
	}
}

func TestTooManyLiveKeysIsRefusedAsASafetyRule(t *testing.T) {
	ks := sampleKeyset(t)
	addKeys(t, ks, KeyRetiring, 62)
	if err := CheckKeyset(ks); !errors.Is(err, ErrRefused) {
		t.Errorf("65 live keys: err = %v, want code %s", err, CodeRefused)
	}
	ks.Keys[0].PrivateKey = nil
	if err := CheckKeyset(ks); !errors.Is(err, ErrInvalid) {
		t.Errorf("65 live keys and another fault: err = %v, want code %s", err, CodeInvalid)
	}
}

func TestKeysetListsEveryFaultAtOnce(t *testing.T) {
	ks := sampleKeyset(t)
	ks.Keys[0].PrivateKey, ks.Keys[1].State, ks.Keys[2].VerifyUntil = nil, KeyActive, 0
	var e *Error
	if err := CheckKeyset(ks); !errors.As(err, &e) || len(e.Fields) != 4 {
		t.Errorf("CheckKeyset = %v, want four faults", err)
	}
}

func TestJWKSHoldsPublicMembersInOrder(t *testing.T) {
	ks := sampleKeyset(t)
	older, newer, same := signingKey(t, 5, KeyRetiring), signingKey(t, 9, KeyRetiring), signingKey(t, 10, KeyRetiring)
	older.RetiringAt, newer.RetiringAt, same.RetiringAt = 10, 20, 20
	first, second := newer, same // of equals, the smaller kid
	if second.KID < first.KID {
		first, second = second, first
	}
	ks.Keys = []Key{ks.Keys[3], older, same, ks.Keys[1], newer, ks.Keys[0]}
	got := JWKSOf(ks)
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(got, &set); err != nil {
		t.Fatal(err)
	}
	want := []Key{ks.Keys[5], ks.Keys[3], first, second, older}
	if len(set.Keys) != len(want) {
		t.Fatalf("JWKSOf has %d keys, want %d:\n%s", len(set.Keys), len(want), got)
	}
	for i, k := range set.Keys {
		if k["kid"] != want[i].KID {
			t.Errorf("key %d has kid %s, want %s (%s)", i, k["kid"], want[i].KID, want[i].State)
		}
		for name := range k {
			if !contains(jwkOrder, name) {
				t.Errorf("key %d has the member %q", i, name)
			}
		}
	}
	if _, err := DecodeDoc(JWKSPath("acme"), got); err != nil {
		t.Errorf("DecodeDoc of JWKSOf: %v", err)
	}
}

func TestJWKSNeverPublishesAPrivateMember(t *testing.T) {
	ks := sampleKeyset(t)
	k := &ks.Keys[0]
	k.PublicJWK = json.RawMessage(strings.Replace(string(k.PublicJWK), `{`, `{"d":"c2VjcmV0","k":"c2VjcmV0","oth":[],`, 1))
	if got := string(JWKSOf(ks)); strings.Contains(got, "c2VjcmV0") || strings.Contains(got, "oth") {
		t.Errorf("JWKSOf shows a private member:\n%s", got)
	}
}

func TestJWKSForm(t *testing.T) {
	const want = `{
  "keys": [
    {
      "kty": "OKP",
      "crv": "Ed25519",
      "x": "%s",
      "kid": "%s",
      "use": "sig",
      "alg": "EdDSA"
    }
  ]
}
`
	k := signingKey(t, 1, KeyActive)
	var jwk struct{ X string }
	if err := json.Unmarshal(k.PublicJWK, &jwk); err != nil {
		t.Fatal(err)
	}
	if got := string(JWKSOf(&Keyset{Keys: []Key{k}})); got != fmt.Sprintf(want, jwk.X, k.KID) {
		t.Errorf("JWKSOf = %s", got)
	}
}
