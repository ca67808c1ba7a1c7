package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// FuzzClusterKey: the file of a cluster key is refused, with no word of it in
// the message, or is written again as it was.
func FuzzClusterKey(f *testing.F) {
	f.Add(ClusterKey{1, 2, 3}.Encode())
	f.Add(bytes.TrimSpace(ClusterKey{}.Encode()))
	f.Add([]byte(keyLinePrefix + strings.Repeat("A", 43) + "\r\n"))
	f.Add([]byte(keyLinePrefix + strings.Repeat("A", 42) + "B:"))
	f.Add(bytes.Replace(ClusterKey{1, 2, 3}.Encode(), []byte("AA:"), []byte("AB:"), 1)) // the same 32 bytes
	f.Add(append(ClusterKey{}.Encode(), '\n'))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseClusterKey(b)
		if err != nil {
			rest, _ := strings.CutPrefix(string(b), keyLinePrefix)
			if !errors.Is(err, store.ErrIntegrity) || len(rest) > 40 && strings.Contains(err.Error(), rest[:40]) {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		if got := k.Encode(); !bytes.Equal(bytes.TrimSuffix(got, []byte("\n")), bytes.TrimSuffix(b, []byte("\n"))) {
			t.Fatalf("%q was read and is written as %q", b, got)
		}
	})
}

// FuzzToken: the text of a token is refused, with no word of it in the message,
// or is written again as it was.
func FuzzToken(f *testing.F) {
	text := Token{ID: "00112233445566ff", Secret: [32]byte{1, 2}, CA: [32]byte{3}}.Encode()
	sealed := func(body string) []byte { return []byte(body + ":" + tokenSum(body)) } // what only its maker could write
	f.Add(text)
	f.Add(bytes.TrimSpace(text))
	f.Add(append(text, '\n'))
	f.Add(bytes.Replace(text, []byte("AAA:"), []byte("AAB:"), 1)) // the same 32 bytes
	f.Add(sealed(tokenPrefix))
	f.Add(sealed(tokenPrefix + "00112233445566FF:" + strings.Repeat("A", 43) + ":" + strings.Repeat("0", 64)))
	f.Add(sealed(tokenPrefix + "00112233445566ff:" + strings.Repeat("A", 42) + "B:" + strings.Repeat("0", 64)))
	f.Add(sealed(tokenPrefix + "00112233445566ff:" + strings.Repeat("A", 44) + ":" + strings.Repeat("0", 66)))
	f.Add(sealed(tokenPrefix + "00112233445566ff::"))
	f.Add(sealed(tokenPrefix + "../../../../etc:" + strings.Repeat("A", 43) + ":" + strings.Repeat("0", 64)))
	f.Fuzz(func(t *testing.T, b []byte) {
		token, err := ParseToken(b)
		if err != nil {
			rest, _ := strings.CutPrefix(string(b), tokenPrefix)
			if !errors.Is(err, store.ErrDenied) && !errors.Is(err, store.ErrInvalid) || len(rest) > 40 && strings.Contains(err.Error(), rest[:40]) {
				t.Fatalf("%q: %v", b, err)
			}
			return
		}
		if got := token.Encode(); !bytes.Equal(bytes.TrimSuffix(got, []byte("\n")), bytes.TrimSuffix(b, []byte("\n"))) || len(got) > MaxToken || !TokenID(token.ID) {
			t.Fatalf("%q was read and is written as %q", b, got)
		}
	})
}

// FuzzSecretHash: the hash of a secret comes back from archives. What is taken
// has one spelling and a bounded cost.
func FuzzSecretHash(f *testing.F) {
	f.Add(HashImported("secret", [16]byte{1}))
	f.Add("$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21lc2FsdA$" + strings.Repeat("A", 43))
	f.Add("$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 22))
	f.Add("$argon2id$v=19$m=8,t=+1,p=1$c29tZXNhbHQ$" + strings.Repeat("A", 22))
	f.Add("$argon2id$v=19$m=8,t=1,p=257$c29tZXNhbHQ$")
	f.Add(HashSecret("secret", [16]byte{}))
	f.Fuzz(func(t *testing.T, hash string) {
		if rest, ok := strings.CutPrefix(hash, sha256Prefix); ok && VerifySecret(hash, "secret") && (len(rest) != 66 || hash[len(hash)-44] != '$') {
			t.Fatalf("%q is taken for a hash", hash)
		}
		h, ok := parseImported(hash)
		if !ok {
			return
		}
		again := fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", h.memory, h.time, h.lanes, base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.sum))
		if again != hash {
			t.Fatalf("%q was read and is written as %q", hash, again)
		}
		if h.memory > 256<<10 || h.memory < 8 || h.time < 1 || h.time > 16 || h.lanes < 1 || h.lanes > 16 || len(h.salt) > 64 || len(h.sum) > 64 || len(h.sum) < 16 {
			t.Fatalf("%q asks for %+v", hash, h)
		}
		if h.memory <= 64 && h.time <= 2 {
			VerifySecret(hash, "secret") // it costs little, and must not panic
		}
	})
}

// FuzzSealed: what is not sealed under the key, for its place, is refused.
func FuzzSealed(f *testing.F) {
	key := ClusterKey{7}
	s := store.Sealed{Enc: sealEnc, KeyID: "26277b45f5777343", Nonce: "AnmR776H6Ab5C1xH", Ciphertext: "IXgE_jxykZuFCfZcUVP2JEHzFyyT"} // "plain" for "acme", once and for all processes of the fuzzer
	f.Add(s.Enc, s.KeyID, s.Nonce, s.Ciphertext, "acme")
	f.Add(s.Enc, s.KeyID, "", s.Ciphertext, "acme")
	f.Add(s.Enc, s.KeyID, s.Nonce, "AAAA", "acm")
	f.Add("A128GCM", "0123456789abcdef", s.Nonce+"A", s.Ciphertext+"=", "")
	f.Fuzz(func(t *testing.T, enc, keyID, nonce, ciphertext, place string) {
		it := store.Sealed{Enc: enc, KeyID: keyID, Nonce: nonce, Ciphertext: ciphertext}
		plain, err := key.Open(it, place)
		if err == nil && (it != s || place != "acme" || string(plain) != "plain") {
			t.Fatalf("%+v opened for %q as %q", it, place, plain)
		}
		if err != nil && (!errors.Is(err, store.ErrIntegrity) || it == s && place == "acme") {
			t.Fatalf("%+v for %q: %v", it, place, err)
		}
	})
}

// FuzzCertificate: certificates, requests and keys come from disks and from
// newcomers.
func FuzzCertificate(f *testing.F) {
	now := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	authority, err := NewAuthority("c1", now)
	if err != nil {
		f.Fatal(err)
	}
	private, err := authority.PrivateKey()
	if err != nil {
		f.Fatal(err)
	}
	csr, _, err := NewCSR("n1")
	if err != nil {
		f.Fatal(err)
	}
	id := Identity{Role: access.Node, Name: "n1", NodeID: "id-1", ClusterID: "c1", Generation: 1}
	cert, _, err := authority.Sign(csr, id, time.Hour, now)
	if err != nil {
		f.Fatal(err)
	}
	der, _ := pem.Decode(cert)
	for _, b := range [][]byte{cert, authority.CertPEM(), csr, private, der.Bytes, {}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, text := range [][]byte{b, certPEM(b)} {
			c, err := parseCertPEM(text)
			if err != nil {
				continue
			}
			if again, err := parseCertPEM(certPEM(c.Raw)); err != nil || !again.Equal(c) {
				t.Fatalf("%q was read and is written as %q, %v", text, certPEM(c.Raw), err)
			}
			if id, err := IdentityOf(c); err == nil && (id.uri() != c.URIs[0].String() || id.check() != nil) {
				t.Fatalf("%q is %+v, which is spelled %q", text, id, id.uri())
			}
			if _, err := LoadAuthority(text, private); err == nil && !c.IsCA {
				t.Fatalf("%q is taken for an authority", text)
			}
		}
		if _, err := LoadAuthority(authority.CertPEM(), b); (err == nil) != bytes.Equal(b, private) && err != nil {
			t.Fatalf("the key %x: %v", b, err)
		}
		made, _, err := authority.Sign(b, id, time.Hour, now)
		if err != nil && !errors.Is(err, store.ErrInvalid) {
			t.Fatalf("request %x: %v", b, err)
		}
		if err == nil {
			c, err := parseCertPEM(made)
			asked, _ := x509.ParseCertificateRequest(b)
			if err != nil || !samePublic(c.PublicKey, asked.PublicKey) || c.IsCA || c.Subject.CommonName != id.Name {
				t.Fatalf("request %x got %s, %v", b, made, err)
			}
		}
	})
}
