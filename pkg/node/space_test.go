package node

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestTheReserveIsTheSmallerOfTwo(t *testing.T) {
	for _, tt := range []struct{ total, want uint64 }{
		{0, 0}, {32 << 20, 32 << 20 / 100 * 5}, {1 << 30, 1 << 30 / 100 * 5}, {2 << 30, 64 << 20}, {1 << 40, 64 << 20},
	} {
		if got := reserve(tt.total); got != tt.want {
			t.Errorf("of a disk of %d bytes %d are kept, want %d", tt.total, got, tt.want)
		}
	}
	if left := (space{}).left(false); left <= 0 {
		t.Errorf("a disk that cannot be asked has %d bytes left", left)
	}
}

// TestACommandIsChargedBeforeItIsWritten: what was let through since a look at a
// disk counts, until a later look finds it written.
func TestACommandIsChargedBeforeItIsWritten(t *testing.T) {
	const total = 100 << 20 // 5 MiB are kept
	free := uint64(8 << 20)
	n := &Node{dir: &dataDir{path: t.TempDir()}, self: &identity{Name: "n1"}}
	n.cfg.space = func(string) (uint64, uint64) { return free, total }
	create := &mutation.Command{Op: string(mutation.OpClientCreate)}
	take := func(c *mutation.Command) (sum uint64, taken int) {
		for {
			got, err := n.charge(c, 64<<10)
			if err != nil {
				if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), `"n1"`) || !strings.Contains(err.Error(), "raft") {
					t.Errorf("refused with %v", err)
				}
				return sum, taken
			}
			sum, taken = sum+got, taken+1
		}
	}
	sum, taken := take(create)
	if taken == 0 || sum > 3<<20 {
		t.Errorf("%d commands were let through, for %d bytes; 3 MiB may be used", taken, sum)
	}
	if _, more := take(&mutation.Command{Op: string(mutation.OpTenantDelete)}); more == 0 {
		t.Error("no deletion was let through, which may use half of what is kept")
	}
	free -= sum // they are written
	n.ledger.settled.Store(n.ledger.charged.Load())
	if _, more := take(create); more != 0 {
		t.Errorf("%d more were let through on a disk that is short", more)
	}
	free = total
	if n.full(false) != nil {
		t.Error("refused on an empty disk")
	}

	// Another voter counts from before it was asked.
	n.spaces.Store(&spaces{self: true, voters: []voterSpace{{"n2", space{"/far/raft", 5<<20 + 5<<20/2, total}, n.ledger.settled.Load()}}})
	n.cfg.space = func(string) (uint64, uint64) { return total, total }
	for i := 0; ; i++ {
		_, err := n.charge(create, 256<<10)
		if i == 0 && err != nil {
			t.Fatal(err)
		}
		if err != nil {
			if !strings.Contains(err.Error(), `"n2"`) || !strings.Contains(err.Error(), "/far/raft") || i > 3 {
				t.Errorf("refused after %d with %v", i, err)
			}
			break
		}
	}
}

// TestACommandCostsNoLessThanItTakes holds the bound against bbolt.
func TestACommandCostsNoLessThanItTakes(t *testing.T) {
	for _, size := range []int{100, 1000, 5000, 60_000, mutation.MaxCommand} {
		path := filepath.Join(t.TempDir(), "raft.db")
		s, err := openLog(nil, path, func(err error) { t.Error(err) })
		if err != nil {
			t.Fatal(err)
		}
		blocks := func() int64 {
			var st syscall.Stat_t
			if err := syscall.Stat(path, &st); err != nil {
				t.Fatal(err)
			}
			return st.Blocks * 512
		}
		for i := range uint64(8) {
			before := blocks()
			if err := s.StoreLogs([]*raft.Log{{Index: i + 1, Term: 1, Data: make([]byte, size)}}); err != nil {
				t.Fatal(err)
			}
			if took := blocks() - before; took > int64(cost(size)) {
				t.Errorf("an entry of %d bytes took %d, charged %d", size, took, cost(size))
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
