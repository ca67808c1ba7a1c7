package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// doorway lets a node in with a token, and loses answers as a test says.
type doorway struct {
	*trio
	token  pki.Token
	lost   int // answers to Enrol that do not arrive
	asked  []EnrolRequest
	denied bool // membership is
}

var errLost = errors.New("the answer was lost, and the power as well")

func (d *doorway) Enrol(ctx context.Context, req EnrolRequest) (*Enrolment, error) {
	req.Token, req.Secret = d.token.ID, d.token.Secret[:]
	d.asked = append(d.asked, req)
	e, err := d.leader().Enrol(ctx, req, access.Newcomer(req.Token, ""))
	if d.lost > 0 && err == nil {
		d.lost--
		return nil, errLost
	}
	return e, err
}

func (d *doorway) Ready() error { return nil }

func (d *doorway) Admit(ctx context.Context, req AdmitRequest, own pki.Credentials) error {
	if d.denied {
		return store.Errorf(store.CodeDenied, "no")
	}
	if id, err := own.Identity(); err != nil || id.NodeID != req.NodeID {
		return store.Errorf(store.CodeDenied, "asked as %s, %v", id, err)
	}
	return d.trio.Admit(ctx, req, own)
}

func (d *doorway) config(dir string) Config {
	return Config{Dir: dir, Name: "n2", Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Join: d, Stop: func(error) {}}
}

func TestAPortThatIsTakenCostsNoToken(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := newTrio(t, "n1")
	d := &doorway{trio: c, token: c.makeToken(access.Node, "n2", "")}
	cfg := d.config(filepath.Join(t.TempDir(), "n2"))
	cfg.Listen = taken.Addr().String()
	if n, err := Open(context.Background(), cfg); !errors.Is(err, unix.EADDRINUSE) {
		if err == nil {
			n.Close()
		}
		t.Errorf("opened, %v", err)
	}
	if len(d.asked) > 0 {
		t.Errorf("the token was shown: %v", d.asked)
	}
}

// TestACrashBeforeTheAnswerDoesNotCostTheToken: the node asks again with the key
// that it had then, and gets the certificate that it did not get.
func TestACrashBeforeTheAnswerDoesNotCostTheToken(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	d := &doorway{trio: c, token: c.makeToken(access.Node, "n2", ""), lost: 2}
	dir := filepath.Join(t.TempDir(), "n2")
	for range 2 {
		if n, err := Open(context.Background(), d.config(dir)); !errors.Is(err, errLost) {
			if err == nil {
				n.Close()
			}
			t.Fatalf("opened, %v", err)
		}
		if info, err := os.Stat(filepath.Join(dir, newcomerFile)); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", info, err)
		}
	}
	// Nothing else may be made of this directory meanwhile.
	founder := d.config(dir)
	founder.Join = nil
	if n, err := Open(context.Background(), founder); !errors.Is(err, store.ErrInvalid) || !strings.Contains(err.Error(), "on its way into a cluster") {
		if err == nil {
			n.Close()
		}
		t.Fatalf("founds a cluster: %v", err)
	}
	n, err := Open(context.Background(), d.config(dir))
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.nodes["n2"], c.dirs["n2"] = n, dir
	c.mu.Unlock()
	for _, req := range d.asked[1:] {
		if req.NodeID != d.asked[0].NodeID {
			t.Errorf("asked as %s, and as %s before", req.NodeID, d.asked[0].NodeID)
		}
	}
	c.until("the node is a voter", func() error {
		for _, m := range c.leader().Members() {
			if m.Name == "n2" && m.Voter && m.ID == d.asked[0].NodeID {
				return nil
			}
		}
		return errors.New("it is not")
	})
	if _, err := os.Lstat(filepath.Join(dir, newcomerFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", newcomerFile, err)
	}
	certs := 0
	for range c.leader().Image().Scan(applier.CertsPrefix) {
		certs++
	}
	if certs != 2 {
		t.Errorf("%d certificates are on record for two nodes", certs)
	}
}

// TestAnotherNameIsAnotherNewcomer: as is one whose notes are damaged.
func TestAnotherNameIsAnotherNewcomer(t *testing.T) {
	dir, err := openDir(Config{}.withDefaults().disk, filepath.Join(t.TempDir(), "n2"), false)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	n := &Node{dir: dir, cfg: Config{Name: "n2"}.withDefaults()}
	ask := func(name string) (newcomer, string) {
		t.Helper()
		n.cfg.Name = name
		me, csr, err := n.newcomer()
		if err != nil {
			t.Fatal(err)
		}
		key, err := pki.CSRKey(csr)
		if err != nil {
			t.Fatal(err)
		}
		return me, key
	}
	first, firstKey := ask("n2")
	if again, key := ask("n2"); again != first || key != firstKey {
		t.Errorf("asks as %s with the key %s, and before as %s with %s", again.NodeID, key, first.NodeID, firstKey)
	}
	other, key := ask("n3")
	if other.NodeID == first.NodeID || key == firstKey || other.Name != "n3" {
		t.Errorf("as n3 it asks as %s with the key %s", other.NodeID, key)
	}
	file := dir.file(newcomerFile)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(b, []byte("n3"), []byte("n2"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if damaged, _ := ask("n2"); damaged.NodeID == other.NodeID {
		t.Error("it believes a damaged record")
	}
}

// TestANodeThatIsDeniedMembershipEnds instead of asking for ever.
func TestANodeThatIsDeniedMembershipEnds(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	d := &doorway{trio: c, token: c.makeToken(access.Node, "n2", ""), denied: true}
	stopped := make(chan error, 1)
	cfg := d.config(filepath.Join(t.TempDir(), "n2"))
	cfg.Stop = func(err error) { stopped <- err }
	n, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	select {
	case err := <-stopped:
		if !errors.Is(err, store.ErrDenied) {
			t.Errorf("it ends with %v", err)
		}
	case <-c.soon().Done():
		t.Error("it goes on asking")
	}
}
