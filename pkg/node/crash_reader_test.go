package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cpctl/cpctl/pkg/disk"
)

// fileReader is who looks at data/ again and again. Each file it finds must be
// one that there was, and from no earlier index than what it found before.
type fileReader struct {
	script *script
	dir    string

	mu  sync.Mutex
	low map[string]int // by path: the earliest edition that can be what was seen last
	err error          // the first that was wrong
}

func newFileReader(s *script, dir string) *fileReader {
	return &fileReader{script: s, dir: dir, low: map[string]int{}}
}

// look reads everything.
func (r *fileReader) look() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = r.read()
	}
	return r.err
}

func (r *fileReader) read() error {
	files, err := documents(r.dir)
	if err != nil {
		return err
	}
	for path := range files {
		if r.script.history[path] == nil {
			return fmt.Errorf("a reader finds data/%s, which there never was", path)
		}
	}
	for path := range r.script.history {
		if err := r.compare(path, files[path]); err != nil {
			return err
		}
	}
	return nil
}

func (r *fileReader) compare(path, got string) error {
	editions := append([]edition{{0, ""}}, r.script.history[path]...)
	known := false
	for i, e := range editions {
		if e.bytes == got && i >= r.low[path] {
			r.low[path] = i
			return nil
		}
		known = known || e.bytes == got
	}
	if !known {
		return fmt.Errorf("a reader finds data/%s torn: %.80q", path, got)
	}
	return fmt.Errorf("a reader finds data/%s older than it was at index %d: %.80q", path, editions[r.low[path]].from, got)
}

// documents are the files below data/, none if there is no data/.
func documents(dir string) (map[string]string, error) {
	files := map[string]string{}
	root := filepath.Join(dir, "data")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".applied" {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, root+"/")] = string(b)
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return files, err
}

// watched is the real disk with somebody who looks after every change of a name
// in data/.
type watched struct {
	disk.Real
	reader *fileReader
}

// saw lets the reader look, who remembers what was wrong.
func (w watched) saw(err error, dirs ...int) error {
	for _, dir := range dirs {
		at, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir))
		if at == w.reader.dir || strings.HasPrefix(at, filepath.Join(w.reader.dir, "data")) {
			_ = w.reader.look()
			break
		}
	}
	return err
}

func (w watched) Rename(from int, name string, to int, newName string) error {
	return w.saw(w.Real.Rename(from, name, to, newName), from, to)
}

func (w watched) Exchange(a int, name string, b int, otherName string) error {
	return w.saw(w.Real.Exchange(a, name, b, otherName), a, b)
}

func (w watched) Unlink(dir int, name string) error {
	return w.saw(w.Real.Unlink(dir, name), dir)
}
