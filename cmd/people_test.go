package cmd

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/config"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
)

const someCluster = "c-1"

// issuer is the authority of a cluster that people log in to.
type issuer struct {
	t *testing.T
	*pki.Authority
}

func newIssuer(t *testing.T) issuer {
	t.Helper()
	ca, err := pki.NewAuthority(someCluster, noon.Add(-24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return issuer{t, ca}
}

func ana() pki.Identity {
	return pki.Identity{Role: access.Operator, Name: "ana", ClusterID: someCluster, Generation: 1}
}

// sign certifies the key of a request.
func (i issuer) sign(csr []byte, id pki.Identity, from time.Time, life time.Duration) *rpc.Enrolment {
	i.t.Helper()
	cert, _, err := i.Sign(csr, id, life, from)
	if err != nil {
		i.t.Fatal(err)
	}
	return &rpc.Enrolment{ClusterID: someCluster, Generation: 1, CertPEM: cert, CAPEM: i.CertPEM()}
}

// issue makes the context of somebody who has logged in.
func (i issuer) issue(name string, id pki.Identity, from time.Time, life time.Duration) config.Context {
	i.t.Helper()
	csr, key, err := pki.NewCSR("x")
	if err != nil {
		i.t.Fatal(err)
	}
	keyPEM, err := pki.EncodeKeyPEM(key)
	if err != nil {
		i.t.Fatal(err)
	}
	e := i.sign(csr, id, from, life)
	return config.Context{Name: name, Servers: []string{"10.0.0.1:7700", "10.0.0.2:7700"},
		CA: string(e.CAPEM), Certificate: string(e.CertPEM), Key: config.PrivateKey(keyPEM)}
}

// at gives the world a home with these contexts, the first of which is current.
func (w *world) at(t *testing.T, all ...config.Context) *world {
	t.Helper()
	home := t.TempDir()
	w.env["HOME"] = home
	if len(all) > 0 {
		err := config.Update(context.Background(), w.config(), func(f *config.File) error {
			for _, c := range all {
				f.Put(c)
			}
			f.Current = all[0].Name
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) config() string {
	return filepath.Join(w.env["HOME"], ".config", "cpctl", "config.yaml")
}

// kept is what the file of contexts holds now.
func (w *world) kept(t *testing.T) *config.File {
	t.Helper()
	f, err := config.Read(w.config())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// file writes a file of the world's and returns its path.
func (w *world) file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.env["HOME"], name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
