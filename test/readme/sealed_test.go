package readme_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What an authorization server in another language has to do, from
// docs/architecture.md alone: nothing of the product is called here.

// signingKey opens the private part of the active key of a tenant.
func signingKey(t *testing.T, dir, tenant string) (public map[string]string, private any) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(dir, "cluster.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{} // by key id: there are two while the cluster key is changed
	for line := range strings.Lines(string(file)) {
		part := strings.Split(strings.TrimSpace(line), ":")
		if len(part) != 3 || part[0] != "cpctl-cluster-key-1" {
			t.Fatalf("a line of cluster.key has %d parts", len(part))
		}
		secrets[part[2]] = part[1]
	}
	var keyset struct {
		Keys []struct {
			KID, Alg, State string
			PublicJWK       map[string]string `json:"public_jwk"`
			PrivateKey      struct {
				Enc, Nonce, Ciphertext string
				KeyID                  string `json:"key_id"`
			} `json:"private_key"`
		}
	}
	readJSON(t, filepath.Join(dir, "data", "keys", tenant, "keyset.json"), &keyset)
	key := keyset.Keys[0]
	if key.State != "active" || key.PrivateKey.Enc != "A256GCM" || secrets[key.PrivateKey.KeyID] == "" {
		t.Fatalf("the first key is %s, sealed by %s under %s", key.State, key.PrivateKey.Enc, key.PrivateKey.KeyID)
	}
	const info = "cpctl cluster key seal 1"
	derived, err := hkdf.Key(sha256.New, decode(t, secrets[key.PrivateKey.KeyID]), nil, info, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	var bound []byte
	for _, s := range []string{info, key.PrivateKey.KeyID, "cpctl signing key", tenant, key.KID, key.Alg} {
		bound = append(binary.BigEndian.AppendUint32(bound, uint32(len(s))), s...)
	}
	der, err := gcm.Open(nil, decode(t, key.PrivateKey.Nonce), decode(t, key.PrivateKey.Ciphertext), bound)
	if err != nil {
		t.Fatal(err)
	}
	if private, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		t.Fatal(err)
	}
	return key.PublicJWK, private
}

// wantKeyPair checks that the opened key is the one whose public part is served.
func wantKeyPair(t *testing.T, dir, tenant string) {
	t.Helper()
	public, private := signingKey(t, dir, tenant)
	key, ok := private.(*rsa.PrivateKey)
	if !ok || public["alg"] != "RS256" {
		t.Fatalf("a %T for %s", private, public["alg"])
	}
	if n := base64.RawURLEncoding.EncodeToString(key.N.Bytes()); n != public["n"] {
		t.Error("the private key is another than the public one")
	}
}

// wantSecret checks a client secret as a token endpoint does.
func wantSecret(t *testing.T, client, secret string) {
	t.Helper()
	var c struct{ Secrets []struct{ Hash string } }
	readJSON(t, client, &c)
	if len(c.Secrets) != 1 {
		t.Fatalf("%d secrets", len(c.Secrets))
	}
	part := strings.Split(c.Secrets[0].Hash, "$")
	if len(part) != 3 || part[0] != "sha256" {
		t.Fatalf("the hash is %q", c.Secrets[0].Hash)
	}
	digest := sha256.Sum256(append(decode(t, part[1]), secret...))
	if base64.RawURLEncoding.EncodeToString(digest[:]) != part[2] {
		t.Error("the secret that was shown is not the one of the hash")
	}
}

func decode(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
