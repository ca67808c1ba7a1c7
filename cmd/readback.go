package cmd

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/cpctl/cpctl/pkg/snapshot"
)

// syncStep is how many bytes of an archive go to the disk at once. A node beside it
// may have to sync its log: no more than these are before it.
const syncStep = 1 << 20

// readBack is the file of an archive that is verified while it grows, by what can
// be read from it.
type readBack struct {
	file     *os.File
	unsynced int

	mu     sync.Mutex
	more   *sync.Cond
	size   int64 // bytes that are in the file
	whole  bool  // no more will come
	given  bool  // up
	result chan readResult
}

type readResult struct {
	contents *snapshot.Contents
	err      error
}

var errGivenUp = errors.New("the archive is given up")

func newReadBack(f *os.File) *readBack {
	r := &readBack{file: f}
	r.more = sync.NewCond(&r.mu)
	r.begin()
	return r
}

func (r *readBack) begin() {
	r.size, r.whole, r.given, r.result = 0, false, false, make(chan readResult, 1)
	go func(to chan<- readResult) {
		c, err := snapshot.Read(&growing{from: r}, snapshot.Limits{})
		to <- readResult{c, err}
	}(r.result)
}

// Write appends to the file.
func (r *readBack) Write(b []byte) (int, error) {
	n, err := r.file.Write(b)
	if r.unsynced += n; err == nil && r.unsynced >= syncStep {
		r.unsynced, err = 0, r.file.Sync()
	}
	r.tell(func() { r.size += int64(n) })
	return n, err
}

// Rewind forgets what was written, so that an archive can be sent anew.
func (r *readBack) Rewind() error {
	r.giveUp()
	if err := r.file.Truncate(0); err != nil {
		return err
	}
	if _, err := r.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r.begin()
	return nil
}

// verdict says that the archive is whole, and returns what is in it.
func (r *readBack) verdict() (*snapshot.Contents, error) {
	r.tell(func() { r.whole = true })
	v := <-r.result
	r.result <- v
	return v.contents, v.err
}

// giveUp ends the reading.
func (r *readBack) giveUp() {
	r.tell(func() { r.given = true })
	r.result <- <-r.result
}

func (r *readBack) tell(change func()) {
	r.mu.Lock()
	change()
	r.mu.Unlock()
	r.more.Broadcast()
}

// growing reads the file as far as it was written, and waits for the rest.
type growing struct {
	from *readBack
	at   int64
}

func (g *growing) Read(b []byte) (int, error) {
	r := g.from
	r.mu.Lock()
	for g.at == r.size && !r.whole && !r.given {
		r.more.Wait()
	}
	size, given := r.size, r.given
	r.mu.Unlock()
	switch {
	case given:
		return 0, errGivenUp
	case g.at == size:
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(b[:min(int64(len(b)), size-g.at)], g.at)
	g.at += int64(n)
	return n, err
}
