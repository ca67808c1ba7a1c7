package node

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Where the port is taken no cluster is founded: the next start may be with --join.
func TestNothingIsFoundedWithoutThePort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	dir := filepath.Join(t.TempDir(), "n1")
	cfg := Config{Dir: dir, Name: "n1", Listen: taken.Addr().String(), Stop: func(err error) { t.Error(err) }}
	if n, err := Open(t.Context(), cfg); err == nil {
		t.Error("it started", n.Close())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "lock" {
		t.Errorf("it leaves %v, %v", left, err)
	}
	taken.Close()
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n.Address() != cfg.Listen {
		t.Errorf("it listens at %s, want %s", n.Address(), cfg.Listen)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
