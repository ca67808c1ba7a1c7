package node

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/test/crash"
)

// The three files in tls/ are those of before or those of after, whenever the
// process or the machine stops, and the next start removes what is left.
func TestACrashInARenewalLeavesOneCertificateOrTheOther(t *testing.T) {
	base := memoryDir(t)
	home := filepath.Join(base, "n1")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	disk, err := crash.NewRecorder(home)
	if err != nil {
		t.Fatal(err)
	}
	d := &dataDir{path: home, disk: disk}
	self, birth, err := d.found("n1", time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	key, before, err := d.loadSecrets(self)
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Open(birth.Found.CAKey, caKeyLabel, self.ClusterID)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.LoadAuthority([]byte(birth.Found.CA), private)
	if err != nil {
		t.Fatal(err)
	}
	next, err := pki.NewAuthority(self.ClusterID, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	csr, signer, err := pki.NewCSR("n1")
	if err != nil {
		t.Fatal(err)
	}
	after := pki.Credentials{CAPEM: pki.Bundle(ca.CertPEM(), next.CertPEM())}
	if after.CertPEM, _, err = ca.Sign(csr, self.certified(), time.Hour, time.Now()); err != nil {
		t.Fatal(err)
	}
	if after.KeyPEM, err = pki.EncodeKeyPEM(signer); err != nil {
		t.Fatal(err)
	}
	disk.Note("renewal")
	if err := d.replaceTLS(after); err != nil {
		t.Fatal(err)
	}
	disk.Note("renewed")
	ops, err := disk.Ops()
	if err != nil {
		t.Fatal(err)
	}

	state, began, done, tried := crash.NewState(), false, false, 0
	seen := map[bool]int{} // whether it was the new one
	for k, o := range ops {
		if began {
			trees := map[string]*crash.Tree{"killed": state.Kept(), "lost": state.Lost()}
			if o.Kind == crash.Write {
				trees["cut"] = state.Cut(o)
			}
			for seed := range uint64(20) {
				trees[fmt.Sprint("part ", seed)] = state.Part(rand.New(rand.NewPCG(uint64(k), seed)))
			}
			for what, tree := range trees {
				found := startOn(t, filepath.Join(base, "wreck"), self, tree)
				tried++
				isNew, isOld := same(found, after), same(found, before)
				if !isNew && (!isOld || done) {
					t.Errorf("call %d (%s), %s: the files are neither (renewed %v)", k, o, what, done)
				}
				seen[isNew]++
			}
		}
		if o.Kind == crash.Note {
			began, done = true, o.Note == "renewed"
			continue
		}
		state.Apply(o)
	}
	if seen[true] == 0 || seen[false] == 0 || tried < 200 {
		t.Errorf("%d crashes, %v", tried, seen)
	}
}

// startOn is what a start makes of a wreck.
func startOn(t *testing.T, dir string, self *identity, tree *crash.Tree) pki.Credentials {
	t.Helper()
	defer os.RemoveAll(dir)
	if err := tree.Put(dir); err != nil {
		t.Fatal(err)
	}
	d, err := openDir(Config{}.withDefaults().disk, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if err := d.tidy(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(d.file(tlsNew)); !os.IsNotExist(err) {
		t.Errorf("%s is there after a start: %v", tlsNew, err)
	}
	_, c, err := d.loadSecrets(self)
	if err != nil {
		t.Error(err)
	}
	return c
}

func same(a, b pki.Credentials) bool {
	return string(a.CertPEM) == string(b.CertPEM) && string(a.KeyPEM) == string(b.KeyPEM) && string(a.CAPEM) == string(b.CAPEM)
}
