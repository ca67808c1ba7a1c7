package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/test/crash"
)

// What the recorder is told beside the calls.
type (
	logBegins struct { // a change of raft.db is under way, and may be there from now on
		entries  []*raft.Log
		min, max uint64 // deleted, if there are no entries
		after    []byte // raft.db once it is there
	}
	logEnds  struct{} // it is durable
	rebooted struct{} // after a clean stop
)

func (l *logBegins) String() string {
	if len(l.entries) == 0 {
		return fmt.Sprintf("log entries %d to %d are deleted", l.min, l.max)
	}
	return fmt.Sprintf("log entries %d to %d are appended", l.entries[0].Index, l.entries[len(l.entries)-1].Index)
}
func (logEnds) String() string  { return "the log is written" }
func (rebooted) String() string { return "the machine is started again" }

// memoryDir is a directory in memory, if there is one: thousands of states are
// put into it.
func memoryDir(t testing.TB) string {
	t.Helper()
	base := "/dev/shm"
	if _, err := os.Stat(base); err != nil {
		base = ""
	}
	dir, err := os.MkdirTemp(base, "cpctl-crash-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// bootState is a start up to where raft comes in.
func bootState(cfg Config) (*Node, *founding, error) {
	cfg = cfg.withDefaults()
	dir, err := openDir(cfg.disk, cfg.Dir, false)
	if err != nil {
		return nil, nil, err
	}
	n := &Node{cfg: cfg, dir: dir, closing: make(chan struct{}), stale: make(chan struct{}, 1)}
	birth, err := n.become(context.Background())
	if err == nil {
		err = n.loadSecrets()
	}
	if err == nil {
		err = n.openState()
	}
	var snaps *snapStore
	if err == nil {
		snaps, err = n.snapshots()
	}
	if err == nil {
		err = n.logs.followSnapshots(snaps, n.noteStale)
	}
	if err != nil {
		n.release()
		return nil, nil, err
	}
	return n, birth, nil
}

// stopState is the end of it.
func stopState(n *Node) error {
	if n.port != nil {
		n.port.Close()
	}
	return errors.Join(n.files.Close(), n.committed.Close(), n.logs.Close(), n.dir.close())
}

// recording is a node's life, every call on its disk noted. It does what raft
// does to the log, the snapshots and the state machine.
type recording struct {
	t      *testing.T
	script *script
	dir    string
	disk   *crash.Recorder
	reader atomic.Pointer[fileReader]
	boot   string
	node   *Node
	shown  atomic.Pointer[Node] // node, for other goroutines
}

func record(t *testing.T) (*recording, []*crash.Op) {
	base := memoryDir(t)
	r := &recording{t: t, dir: filepath.Join(base, "n1"), boot: "boot-1"}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.disk, err = crash.NewRecorder(r.dir); err != nil {
		t.Fatal(err)
	}
	r.disk.Probe = func() uint64 { // of the life before, during a start: that is what was seen
		if n := r.shown.Load(); n != nil {
			return n.Image().Index
		}
		return 0
	}
	r.disk.After = func(o *crash.Op) {
		reader := r.reader.Load()
		switch o.Kind {
		case crash.Rename, crash.Exchange, crash.Remove:
			if reader != nil && strings.Contains(o.String(), " data") {
				_ = reader.look() // it remembers
			}
		}
	}
	r.start()
	r.published()
	other := filepath.Join(base, "script")
	copyTo(t, other, r.dir)
	for _, name := range []string{"raft", "data", "lock"} { // it goes on from the founding
		if err := os.RemoveAll(filepath.Join(other, name)); err != nil {
			t.Fatal(err)
		}
	}
	r.script = writeScript(t, other)
	r.reader.Store(newFileReader(r.script, r.dir))
	r.live()
	ops, err := r.disk.Ops()
	if err := errors.Join(err, r.reader.Load().look()); err != nil {
		t.Fatal(err)
	}
	return r, ops
}

func (r *recording) start() {
	r.t.Helper()
	n, _, err := bootState(Config{Dir: r.dir, Name: "n1", Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), disk: r.disk, boot: r.boot,
		Stop: func(err error) { r.t.Errorf("the recorded node stops: %v", err) }})
	if err != nil {
		r.t.Fatal(err)
	}
	r.node = n
	r.shown.Store(n)
	r.disk.HoldDatasync("committed")
}

func (r *recording) stop() {
	r.t.Helper()
	r.disk.ReleaseDatasync()
	if err := stopState(r.node); err != nil {
		r.t.Fatal(err)
	}
}

// live goes through the chapters, and what happens between them.
func (r *recording) live() {
	behind := false // the files of the last chapter are still to be written
	for i, c := range r.script.chapters {
		from := r.at() + 1
		switch {
		case c.last < from:
			continue // it came with a snapshot
		case i == 9:
			r.install(c.last)
		case i%5 == 3 && !behind && i+1 < len(r.script.chapters): // the log goes on before the files are there
			r.disk.HoldWrites(".applied")
			behind = true
			r.apply(from, c.last)
			continue
		case i%3 == 1: // all at once
			r.apply(from, c.last)
		default:
			for e := from; e <= c.last; e++ {
				r.apply(e, e)
				if !behind {
					r.published()
				}
			}
		}
		if behind {
			r.disk.ReleaseWrites()
			behind = false
		}
		r.published()
		if i%3 == 0 { // the marker was written
			r.disk.Datasyncs()
		}
		switch i {
		case 0:
			if err := r.node.dir.founded(r.node.self); err != nil {
				r.t.Fatal(err)
			}
		case 5, 7, 12, 21, 27:
			r.snapshot()
		case 15:
			r.stop()
			r.start()
			r.deliver()
		case 19:
			r.stop()
			r.disk.Note(rebooted{})
			r.boot = "boot-2"
			r.start()
			r.deliver()
		}
	}
	r.stop()
}

// at is how far the node is.
func (r *recording) at() uint64 {
	last, err := r.node.logs.LastIndex()
	if err != nil {
		r.t.Fatal(err)
	}
	return max(last, r.node.Image().Index)
}

// log does something to the log.
func (r *recording) log(what *logBegins, do func() error) {
	r.t.Helper()
	r.disk.Note(what)
	err := do()
	if err == nil {
		what.after, err = os.ReadFile(filepath.Join(r.dir, "raft", "raft.db"))
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.disk.Note(logEnds{})
}

// apply appends entries, which are committed then, and applies them.
func (r *recording) apply(from, to uint64) {
	r.t.Helper()
	entries := r.script.entries[from : to+1]
	r.log(&logBegins{entries: entries}, func() error { return r.node.logs.StoreLogs(entries) })
	deliverTo(r.node, entries)
}

// deliverTo gives entries to the state machine as raft does.
func deliverTo(n *Node, entries []*raft.Log) {
	var batch []*raft.Log
	for _, e := range entries {
		if delivered(e) {
			batch = append(batch, e)
		}
	}
	if len(batch) > 0 {
		n.fsm.ApplyBatch(batch)
	}
}

func (r *recording) published() {
	r.t.Helper()
	if err := publishedTo(r.node, r.node.Image().Index); err != nil {
		r.t.Fatal(err)
	}
}

func publishedTo(n *Node, index uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.files.Wait(ctx, index); err != nil {
		return fmt.Errorf("its files do not come to index %d: %w (%+v)", index, err, n.files.Status())
	}
	return nil
}

// deliver gives the state machine what raft gives it again after a start.
func (r *recording) deliver() {
	r.t.Helper()
	entries, err := afterSnapshot(r.node)
	if err != nil {
		r.t.Fatal(err)
	}
	deliverTo(r.node, entries)
	r.published()
}

// afterSnapshot reads the entries of a node's log that follow its newest snapshot.
func afterSnapshot(n *Node) (entries []*raft.Log, err error) {
	last, err := n.logs.LastIndex()
	if err != nil {
		return nil, err
	}
	for i := n.logs.begins.Load().index + 1; i <= last; i++ {
		e := new(raft.Log)
		if err := n.logs.GetLog(i, e); err != nil {
			return nil, fmt.Errorf("log entry %d: %w", i, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// snapshot takes one, and deletes entries that it holds, but for a few.
func (r *recording) snapshot() {
	r.t.Helper()
	img := r.node.Image()
	frozen, err := r.node.fsm.Snapshot()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := frozen.Persist(r.sink(img.Index, img.Term)); err != nil {
		r.t.Fatal(err)
	}
	first, err := r.node.logs.FirstIndex()
	if err != nil {
		r.t.Fatal(err)
	}
	if max := img.Index - 2; first <= max {
		r.log(&logBegins{min: first, max: max}, func() error { return r.node.logs.DeleteRange(first, max) })
	}
}

func (r *recording) sink(index, term uint64) raft.SnapshotSink {
	r.t.Helper()
	snaps, err := r.node.snapshots()
	if err != nil {
		r.t.Fatal(err)
	}
	sink, err := snaps.Create(1, index, term, raft.Configuration{}, 1, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return sink
}

// install takes over a snapshot of a leader that is further.
func (r *recording) install(index uint64) {
	r.t.Helper()
	img := r.script.images[index]
	sink := r.sink(img.Index, img.Term)
	if err := errors.Join(snapshot.Write(sink, img, r.script.clusterID), sink.Close()); err != nil {
		r.t.Fatal(err)
	}
	var archive io.ReadCloser
	snaps, err := r.node.snapshots()
	if err == nil {
		_, archive, err = snaps.Open(sink.ID())
	}
	if err == nil {
		err = r.node.fsm.Restore(archive)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	first, last, err := r.node.logs.ends()
	if err != nil {
		r.t.Fatal(err)
	}
	r.log(&logBegins{min: first, max: last}, func() error { return r.node.logs.DeleteRange(first, last) })
}
