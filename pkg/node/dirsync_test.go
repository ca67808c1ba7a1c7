package node

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
)

// syncs is a disk that notes what was synced.
type syncs struct {
	disk.Real
	mu     sync.Mutex
	inodes map[uint64]bool
}

func (s *syncs) Sync(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	s.mu.Lock()
	s.inodes[st.Ino] = true
	s.mu.Unlock()
	return s.Real.Sync(fd)
}

// A process may die between making a directory and syncing its name, and the
// power fail long after the next one has put something durable into it.
func TestAStartSyncsTheNamesThatItFinds(t *testing.T) {
	dir := filepath.Join(memoryDir(t), "n1")
	s := &syncs{inodes: map[uint64]bool{}}
	for range 2 {
		clear(s.inodes)
		n, _, err := bootState(Config{Dir: dir, Name: "n1", Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), disk: s,
			Stop: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := stopState(n); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, filepath.Join(dir, "raft")} {
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if !s.inodes[st.Sys().(*syscall.Stat_t).Ino] {
			t.Errorf("the second start has not synced the names in %s", path)
		}
	}
}
