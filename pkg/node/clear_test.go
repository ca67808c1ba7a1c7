package node

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestNoSecretIsInTheLogOrTheState: a client's secret is there as a hash only,
// whoever made it, and the private part of a key is sealed.
func TestNoSecretIsInTheLogOrTheState(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	generated := c.must(clientNamed("acme", "web")).Secret
	imported := "chosen-by-people-elsewhere"
	withSecret := clientNamed("acme", "api")
	withSecret.Secret = &imported
	c.must(withSecret)
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})

	n := c.leader()
	var places [][]byte
	for d := range n.Image().Scan("") {
		places = append(places, d.Bytes)
	}
	last, err := n.logs.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= last; i++ {
		var e raft.Log
		if err := n.logs.GetLog(i, &e); err != nil {
			t.Fatal(err)
		}
		places = append(places, e.Data)
	}
	if len(generated) < 40 {
		t.Fatalf("the generated secret is %q", generated)
	}
	for _, secret := range []string{generated, imported} {
		for _, b := range places {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("the secret %q is in clear in %.80q", secret, b)
			}
		}
	}
	for client, secret := range map[string]string{"web": generated, "api": imported} {
		doc, err := store.Stored[store.Client](n.Image().Get(store.ClientPath("acme", client)))
		if err != nil || len(doc.Secrets) != 1 || !pki.VerifySecret(doc.Secrets[0].Hash, secret) {
			t.Errorf("client %s: %+v, %v; its secret is not that of the hash", client, doc, err)
		}
	}
	ks, err := store.Stored[store.Keyset](n.Image().Get(store.KeysetPath("acme")))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ks.Keys {
		stored, err := base64.RawURLEncoding.DecodeString(k.PrivateKey.Ciphertext)
		if err != nil {
			t.Fatal(err)
		}
		private, err := n.ring().Open(*k.PrivateKey, SealLabel("acme", k.KID, k.Alg)...)
		if err != nil {
			t.Errorf("key %s does not open: %v", k.KID, err)
		}
		if _, err := x509.ParsePKCS8PrivateKey(private); err != nil {
			t.Errorf("what key %s opens to: %v", k.KID, err)
		}
		if _, err := x509.ParsePKCS8PrivateKey(stored); err == nil || bytes.Contains(stored, private) {
			t.Errorf("the private part of key %s is not sealed", k.KID)
		}
	}
}
