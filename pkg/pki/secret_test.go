package pki

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func countingBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func TestDerivedSecretIsTheSameForARetry(t *testing.T) {
	// computed with another implementation of HKDF: two releases in one cluster
	// must answer a retry alike
	const want, wantSalt = "cps_wY4IpKpl4k9EEs_xbZIDtEjeZB-He5qVbyeKQNYCdyY", "896b027aaa92b1250e2947dae2e46168"
	seed := countingBytes(32)
	for range 2 {
		salt := must[[16]byte](t)(DeriveSalt(seed, "req-1"))
		if got := must[string](t)(DeriveSecret(seed, "req-1")); got != want || hex.EncodeToString(salt[:]) != wantSalt {
			t.Errorf("secret %s, salt %x, want %s, %s", got, salt, want, wantSalt)
		}
	}
	if got := must[string](t)(DeriveSecret(seed, "req-2")); got == want {
		t.Error("another request has the same secret")
	}
	if got := must[string](t)(DeriveSecret(bytes.Repeat([]byte{9}, 32), "req-1")); got == want {
		t.Error("another seed has the same secret")
	}
}

func TestDeriveRefuses(t *testing.T) {
	for _, c := range []struct {
		fact, id string
		seed     []byte
	}{
		{"no seed", "req-1", nil},
		{"a seed too short", "req-1", countingBytes(31)},
		{"a seed too long", "req-1", countingBytes(33)},
		{"no request id", "", countingBytes(32)},
	} {
		t.Run(c.fact, func(t *testing.T) {
			if s, err := DeriveSecret(c.seed, c.id); err == nil || s != "" {
				t.Errorf("secret %q, error %v", s, err)
			}
			if s, err := DeriveSalt(c.seed, c.id); err == nil || s != [16]byte{} {
				t.Errorf("salt %x, error %v", s, err)
			}
		})
	}
}

const (
	hashOfX = "sha256$AAECAwQFBgcICQoLDA0ODw$bw9CS1zncOnyTHuB2TWPZ94m3mamJvdYU7nkKkRkFbA"
	// from the tests of the reference implementation of Argon2, for "password"
	argonOfPassword = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
)

func TestHashForms(t *testing.T) {
	salt := [16]byte(countingBytes(16))
	if got := HashSecret("cps_x", salt); got != hashOfX {
		t.Errorf("HashSecret = %s, want %s", got, hashOfX)
	}
	got := HashImported("hunter2", salt)
	if !strings.HasPrefix(got, "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$") || len(got) != len("$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$")+43 {
		t.Errorf("HashImported = %s", got)
	}
	if !VerifySecret(got, "hunter2") || VerifySecret(got, "hunter3") {
		t.Error("HashImported and VerifySecret disagree")
	}
}

func TestVerifySecret(t *testing.T) {
	swap := func(hash, old, new string) string {
		if !strings.Contains(hash, old) {
			t.Fatalf("%q is not in %q", old, hash)
		}
		return strings.Replace(hash, old, new, 1)
	}
	for _, c := range []struct {
		fact, hash, secret string
		want               bool
	}{
		{"the secret", hashOfX, "cps_x", true},
		{"another secret", hashOfX, "cps_y", false},
		{"no secret", hashOfX, "", false},
		{"no hash", "", "", false},
		{"the hash itself", hashOfX, hashOfX, false},
		{"an empty digest", "sha256$AAECAwQFBgcICQoLDA0ODw$", "cps_x", false},
		{"no digest", "sha256$AAECAwQFBgcICQoLDA0ODw", "cps_x", false},
		{"half a digest", hashOfX[:len(hashOfX)-20], "cps_x", false},
		{"another salt", swap(hashOfX, "$AAEC", "$BAEC"), "cps_x", false},
		{"a short salt", swap(hashOfX, "AAECAwQFBgcICQoLDA0ODw", "AAEC"), "cps_x", false},
		{"padding", hashOfX + "=", "cps_x", false},
		{"a line break", hashOfX + "\n", "cps_x", false},
		{"something behind it", hashOfX + "$x", "cps_x", false},
		{"another function", swap(hashOfX, "sha256", "sha512"), "cps_x", false},

		{"argon2id: the password", argonOfPassword, "password", true},
		{"argon2id: another password", argonOfPassword, "passwore", false},
		{"argon2id: argon2i", swap(argonOfPassword, "argon2id", "argon2i"), "password", false},
		{"argon2id: an older version", swap(argonOfPassword, "v=19", "v=16"), "password", false},
		{"argon2id: no version", swap(argonOfPassword, "$v=19", ""), "password", false},
		{"argon2id: no passes", swap(argonOfPassword, "t=2", "t=0"), "password", false},
		{"argon2id: no lanes", swap(argonOfPassword, "p=1", "p=0"), "password", false},
		{"argon2id: a pass too many", swap(argonOfPassword, "t=2", "t=17"), "password", false},
		{"argon2id: a lane too many", swap(argonOfPassword, "p=1", "p=17"), "password", false},
		{"argon2id: 256 lanes are not none", swap(argonOfPassword, "p=1", "p=257"), "password", false},
		{"argon2id: all memory there is", swap(argonOfPassword, "m=256", "m=4294967295"), "password", false},
		{"argon2id: a KiB too many", swap(argonOfPassword, "m=256", "m=262145"), "password", false},
		{"argon2id: more memory than 32 bits say", swap(argonOfPassword, "m=256", "m=4294967552"), "password", false},
		{"argon2id: less memory than its lanes need", swap(argonOfPassword, "m=256", "m=7"), "password", false},
		{"argon2id: a zero before a number", swap(argonOfPassword, "m=256", "m=0256"), "password", false},
		{"argon2id: a negative number", swap(argonOfPassword, "t=2", "t=-2"), "password", false},
		{"argon2id: something behind the numbers", swap(argonOfPassword, "p=1", "p=1,x=2"), "password", false},
		{"argon2id: a salt of 3 bytes", swap(argonOfPassword, "c29tZXNhbHQ", "c29t"), "password", false},
		{"argon2id: no digest", argonOfPassword[:strings.LastIndex(argonOfPassword, "$")+1], "password", false},
		{"argon2id: a digest of 3 bytes", argonOfPassword[:strings.LastIndex(argonOfPassword, "$")+5], "password", false},
	} {
		t.Run(c.fact, func(t *testing.T) {
			if got := VerifySecret(c.hash, c.secret); got != c.want {
				t.Errorf("VerifySecret(%q, %q) = %v", c.hash, c.secret, got)
			}
		})
	}
}

func TestSecretHint(t *testing.T) {
	for _, c := range []struct{ fact, secret, want string }{
		{"a generated one", "cps_wY4IpKpl4k9EEs_xbZIDtEjeZB-He5qVbyeKQNYCdyY", "...CdyY"},
		{"16 bytes", "0123456789abcdef", "...cdef"},
		{"too short to show a quarter of it", "0123456789abcde", "..."},
		{"empty", "", "..."},
		{"an end that is not ASCII", "0123456789abcdefë", "..."},
		{"an end that is cut in a letter", "0123456789ab\xabdef", "..."},
		{"an end with a line break", "0123456789abcdef\n", "..."},
	} {
		if got := SecretHint(c.secret); got != c.want {
			t.Errorf("%s: %q, want %q", c.fact, got, c.want)
		}
	}
}
