package fsm

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/publish"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

const cluster = "0198f0c2-6a1e-7c3b-9a55-0d1f5b7d2f10"

// outside is what a state machine needs of the world, and remembers what it was told.
type outside struct {
	t   testing.TB
	fsm *FSM

	mu         sync.Mutex
	commitFail error
	events     []string // in order, such as "commit 5", "publish 5", "replace 9", "idle 6"
	stops      []error
}

// start makes a state machine that goes on from an image.
func start(t testing.TB, img *store.Image) (*FSM, *outside) {
	o := &outside{t: t}
	o.fsm = New(Config{Image: img, ClusterID: func() string { return cluster }, Commit: o.commit, Files: o, Stop: o.stop})
	return o.fsm, o
}

func (o *outside) note(format string, args ...any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, fmt.Sprintf(format, args...))
}

// commit checks that nobody sees yet what the marker is about.
func (o *outside) commit(c publish.Committed) error {
	if shown := o.fsm.Image().Index; shown >= c.Index {
		o.t.Errorf("index %d is visible before the marker of %d is written", shown, c.Index)
	}
	if c.ClusterID != cluster || c.Digest == "" {
		o.t.Errorf("the marker is %+v", c)
	}
	o.note("commit %d.%d", c.Term, c.Index)
	return o.commitFail
}

// visible checks that the image is there before its files are.
func (o *outside) visible(img *store.Image) {
	if o.fsm.Image() != img {
		o.t.Errorf("files of index %d are to be written while index %d is visible", img.Index, o.fsm.Image().Index)
	}
}

func (o *outside) Publish(img *store.Image, changed []string) {
	o.visible(img)
	if len(changed) == 0 {
		o.t.Errorf("index %d is published and nothing changed", img.Index)
	}
	o.note("publish %d", img.Index)
}
func (o *outside) Replace(img *store.Image) { o.visible(img); o.note("replace %d", img.Index) }
func (o *outside) Idle(index uint64)        { o.note("idle %d", index) }
func (o *outside) stop(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stops = append(o.stops, err)
}

// history is the log of the first release, as raft delivers it: every tenth
// entry is one of its configuration, and now and then an index is raft's own.
func history(t testing.TB) []*raft.Log {
	t.Helper()
	f, err := os.ReadFile("../applier/testdata/level1.log.gz")
	if err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	var log []*raft.Log
	index := uint64(1)
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if index%10 == 0 {
			log = append(log, &raft.Log{Index: index, Term: 1 + index/40, Type: raft.LogConfiguration, Data: []byte("raft's own")})
			index += 2
		}
		log = append(log, &raft.Log{Index: index, Term: 1 + index/40, Type: raft.LogCommand, Data: b[n : n+int(size)]})
		b, index = b[n+int(size):], index+1
	}
	return log
}

// tenantEntry makes an entry that creates a tenant.
func tenantEntry(t testing.TB, index uint64, slug string) *raft.Log {
	t.Helper()
	v, err := store.CompleteTenant(nil, fmt.Appendf(nil, `{"slug":%q}`, slug))
	if err != nil {
		t.Fatal(err)
	}
	at := store.Time(1_767_607_200_000_000 + index)
	v.UID, v.Meta = cluster, store.Meta{CreatedAt: at, UpdatedAt: at, UpdatedBy: "system"}
	return entry(index, mutation.Command{ID: fmt.Sprintf("r%d", index), Op: "tenant.create", Actor: "system", Time: at, Level: 1,
		Mutations: []mutation.Mutation{{Kind: mutation.TenantCreate, Tenant: slug, Payload: store.Encode(v)}}})
}

func epochEntry(t testing.TB, index uint64) *raft.Log {
	t.Helper()
	b, err := json.Marshal(mutation.Epoch{Node: "n1", Term: index})
	if err != nil {
		t.Fatal(err)
	}
	return entry(index, mutation.Command{Op: "sys.epoch", Actor: "system", Time: store.Time(index), Level: 1,
		Mutations: []mutation.Mutation{{Kind: mutation.SysEpoch, Payload: b}}})
}

func configurationEntry(index uint64) *raft.Log {
	return &raft.Log{Index: index, Term: 2, Type: raft.LogConfiguration, Data: []byte("raft's own")}
}

func entry(index uint64, commands ...mutation.Command) *raft.Log {
	parts := make([][]byte, len(commands))
	for i := range commands {
		parts[i] = mutation.AppendCommand(nil, &commands[i])
	}
	return &raft.Log{Index: index, Term: 2, Type: raft.LogCommand, Data: mutation.EncodeEntry(parts)}
}

// archive is the snapshot of an image.
func archive(t testing.TB, img *store.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := snapshot.Write(&b, img, cluster); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// sink takes a snapshot, and fails where a test says.
type sink struct {
	bytes.Buffer
	before    func(n int) error // the n-th write
	closeFail error
	writes    int
	closed    int
	cancelled int
}

func (s *sink) Write(p []byte) (int, error) {
	s.writes++
	if s.before != nil {
		if err := s.before(s.writes); err != nil {
			return 0, err
		}
	}
	return s.Buffer.Write(p)
}
func (s *sink) ID() string    { return "2-7-1" }
func (s *sink) Close() error  { s.closed++; return s.closeFail }
func (s *sink) Cancel() error { s.cancelled++; return nil }

// persisted is the archive of what the state machine freezes now.
func persisted(t testing.TB, f *FSM) []byte {
	t.Helper()
	frozen, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Release()
	var s sink
	if err := frozen.Persist(&s); err != nil || s.closed != 1 || s.cancelled != 0 {
		t.Fatalf("persist: %v, closed %d times, cancelled %d times", err, s.closed, s.cancelled)
	}
	return s.Bytes()
}

// source is an archive on its way from a leader.
type source struct {
	io.Reader
	closed int
}

func (s *source) Close() error { s.closed++; return nil }

func restore(f *FSM, b []byte) error {
	s := &source{Reader: bytes.NewReader(b)}
	err := f.Restore(s)
	if s.closed != 1 {
		err = errors.Join(err, fmt.Errorf("the archive was closed %d times", s.closed))
	}
	return err
}
