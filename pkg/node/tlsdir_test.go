package node

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/test/crash"
	"github.com/cpctl/cpctl/test/faultdisk"
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

// A directory without tls/ is not lost: a recovery signs a certificate anyway. One
// that was begun before that was seen, or was cut short, is finished all the same.
func TestARecoveryMakesMissingCredentialsAnew(t *testing.T) {
	whole, shown := aloneNode(t)
	base := memoryDir(t)
	for fact, spoil := range map[string]func(dir string) error{
		"no tls":      func(dir string) error { return os.RemoveAll(filepath.Join(dir, "tls")) },
		"no node.key": func(dir string) error { return os.Remove(filepath.Join(dir, "tls", "node.key")) },
		"a bit in node.crt": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "tls", "node.crt"), []byte("none"), 0o600)
		},
	} {
		for n, killed := 0, true; killed; n++ {
			dir := filepath.Join(base, fmt.Sprint(len(fact), "-", n))
			copyTo(t, dir, whole)
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			s := survey(t, dir)
			if o, err := Judge([]*Survivor{s}); err != nil || o.Best != s || o.Majority || s.Starts() || !strings.Contains(strings.Join(s.Faults, "\n"), "a recovery makes it anew") {
				t.Fatalf("%s: %+v, %v, faults %q", fact, o, err, s.Faults)
			}
			var f faultdisk.Disk
			was := f.KillAfter(n)
			_, err := s.recoverOn(&f, time.Now())
			s.Close()
			if killed = was(); killed != (err != nil) {
				t.Fatalf("%s, killed after %d steps: %v, %v", fact, n, killed, err)
			}
			again := survey(t, dir)
			if killed {
				if _, err := again.Recover(time.Now()); err != nil {
					t.Fatalf("%s, killed after %d steps, and done again: %v", fact, n, err)
				}
			}
			again.Close()
			if generation, err := startsAs(dir, shown); err != nil || generation < 2 {
				t.Fatalf("%s, killed after %d steps: it starts as generation %d, %v", fact, n, generation, err)
			}
			os.RemoveAll(dir)
			if fact != "no tls" { // as an exchange does it, which has its own test
				n += 1 << 20
			}
		}
	}
}
