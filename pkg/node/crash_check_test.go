package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/test/crash"
)

// tailPath is the file that is written after every append to the log.
const tailPath = "raft/tail"

// logState is what raft.db holds.
type logState struct {
	min, max uint64 // entries of the script; 0 and 0: none
	file     []byte // nil: it was not written to yet
}

// remains is a machine that has stopped: what is on its disk, and what must come of it.
type remains struct {
	script *script
	tree   *crash.Tree
	log    logState
	acked  uint64 // the last index that a caller may have been told of
	seen   uint64 // the last index that a reader in the process can have seen; 0 when files need not be as new
	boot   string // of the machine now
	same   bool   // it is the boot of what is on the disk
}

// put makes a data directory of what remains.
func (m *remains) put(dir string) error {
	if err := m.tree.Put(dir); err != nil {
		return err
	}
	switch _, err := os.Stat(filepath.Join(dir, "raft")); {
	case errors.Is(err, fs.ErrNotExist) && m.log.max > 0:
		return fmt.Errorf("raft/ is lost, and with it the log up to index %d", m.log.max)
	case err != nil:
		return nil
	}
	path := filepath.Join(dir, "raft", "raft.db")
	if m.log.file != nil {
		return os.WriteFile(path, m.log.file, 0o600)
	}
	if m.tree.At(tailPath) == nil {
		return nil // it may not be there yet
	}
	return makeLog(path)
}

// marker reads the committed marker that survived, zero if none did.
func (m *remains) marker(dir string) (publish.Committed, error) {
	t := m.tree.At("raft/committed")
	if t == nil || len(t.Bytes) == 0 {
		return publish.Committed{}, nil
	}
	marker, c, _, err := publish.OpenCommitted(nil, filepath.Join(dir, "raft", "committed"), m.script.clusterID)
	if err != nil {
		return c, err
	}
	return c, marker.Close()
}

// recover starts a node on what remains, as far as raft; then it is what raft
// is to it, with a quorum that goes on.
func (m *remains) recover(dir string) (err error) {
	if err := m.put(dir); err != nil {
		return err
	}
	marker, err := m.marker(dir)
	if err != nil {
		return fmt.Errorf("the marker: %w", err)
	}
	var fs disk.FS
	reader := newFileReader(m.script, dir)
	if m.same {
		if err := reader.look(); err != nil {
			return fmt.Errorf("before the start: %w", err)
		}
		fs = watched{reader: reader}
	}
	var stopped error
	n, birth, err := bootState(Config{Dir: dir, Name: "n1", Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), disk: fs, boot: m.boot,
		Stop: func(err error) { stopped = err }})
	if err != nil {
		return fmt.Errorf("it does not start: %w", err)
	}
	closed := false
	defer func() {
		if !closed {
			stopState(n)
		}
	}()
	if n.self.ClusterID == m.script.clusterID {
		if err := m.carryOn(n, marker); err != nil {
			return err
		}
	} else if m.log.max > 0 || m.seen > 0 {
		return fmt.Errorf("it founds another cluster, with the log up to index %d", m.log.max)
	}
	if (n.self.Phase == phaseFounding) != (birth != nil) {
		return fmt.Errorf("in phase %s the founding is there: %v", n.self.Phase, birth != nil)
	}
	if !n.settled.Load() {
		if !n.caughtUp() {
			return fmt.Errorf("at index %d it is not further than it may have shown", n.Image().Index)
		}
		if err := n.settle(); err != nil { // as its watch does
			return err
		}
	}
	if err := publishedTo(n, n.Image().Index); err != nil {
		return err
	}
	faults, err := n.files.Check(n.Image(), false)
	if err != nil || len(faults) > 0 {
		return fmt.Errorf("the files are not the image's: %v, %v", faults, err)
	}
	closed = true
	if err := errors.Join(stopState(n), stopped, reader.err); err != nil {
		return err
	}
	return nothingLeft(dir, n.self.Phase)
}

// carryOn checks what a node shows by itself, and then with a quorum.
func (m *remains) carryOn(n *Node, marker publish.Committed) error {
	s, img := m.script, n.Image()
	switch {
	case img.Index < marker.Index:
		return fmt.Errorf("it shows index %d, its marker says %d", img.Index, marker.Index)
	case img.Index < m.seen:
		return fmt.Errorf("it shows index %d, and has shown %d before", img.Index, m.seen)
	case img.Index > max(m.log.max, n.logs.begins.Load().index):
		return fmt.Errorf("it shows index %d, and its log ends at %d", img.Index, m.log.max)
	case img.StateDigest() != s.images[img.Index].StateDigest():
		return fmt.Errorf("it shows another state at index %d than there was", img.Index)
	}
	own, err := afterSnapshot(n)
	if err != nil {
		return err
	}
	last := n.logs.begins.Load().index
	if len(own) > 0 {
		last = own[len(own)-1].Index
	}
	if last < m.acked {
		return fmt.Errorf("its log ends at index %d, and %d was acknowledged", last, m.acked)
	}
	deliverTo(n, own)
	if got, want := n.Image(), s.images[last]; got.Index < want.Index || got.StateDigest() != want.StateDigest() {
		return fmt.Errorf("with its log up to %d it shows another state, at index %d", last, got.Index)
	}
	if next := s.entries[last+1 : min(last+3, s.last()+1)]; len(next) > 0 {
		if err := n.logs.StoreLogs(next); err != nil {
			return fmt.Errorf("it cannot go on: %w", err)
		}
		deliverTo(n, next)
		last = next[len(next)-1].Index
	}
	if got, want := n.Image(), s.images[last]; got.StateDigest() != want.StateDigest() || got.Revision() != want.Revision() {
		return fmt.Errorf("it goes on to another state at index %d", last)
	}
	return nil
}

// ours are the names that a node may have in its directory when it does not run.
var ours = regexp.MustCompile(`^(lock|node\.json|cluster\.key|tls(/(node\.key|node\.crt|ca\.crt))?|data(/.*)?` +
	`|raft(/raft\.db|/tail|/committed|/snapshots(/\d+-\d+-\d+(/meta\.json|/state\.bin)?)?)?)$`)

func nothingLeft(dir, phase string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || name == "." || ours.MatchString(name) || name == "founding.json" && phase == phaseFounding {
			return err
		}
		return fmt.Errorf("%s is left behind", name)
	})
}
