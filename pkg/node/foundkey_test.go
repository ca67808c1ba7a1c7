package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// A cluster.key may be the last copy: a founding takes it, and never writes over it.
func TestAFoundingKeepsTheClusterKeyThatIsThere(t *testing.T) {
	dir := t.TempDir()
	d := &dataDir{path: dir, disk: disk.Real{}}
	key, err := pki.NewClusterKey()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cluster.key")
	if err := os.WriteFile(path, key.Encode(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, f, err := d.found("n1", defaultCertTTL, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if f.Found.KeyID != key.ID() || f.Found.KeyCheck != key.Check() || string(readFile(t, path)) != string(key.Encode()) {
		t.Errorf("it is founded with key %s, want %s", f.Found.KeyID, key.ID())
	}

	flip(t, path, 300)
	damaged := readFile(t, path)
	if _, _, err := d.found("n1", defaultCertTTL, time.Now()); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("a damaged one: %v, want an error of integrity", err)
	}
	if string(readFile(t, path)) != string(damaged) {
		t.Error("a damaged one was written over")
	}
}
