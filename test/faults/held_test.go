package faults

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// held is a file that a slow reader has open: whatever happens to its name, it
// goes on holding the document that was read first.
type held struct {
	*os.File
	path string
	was  []byte
}

// maxHeld is how many files a reader has open, and so for how many looks each.
const maxHeld = 16

// hold opens a document, and looks once more into the one that was opened first.
func (r *reader) hold(path string) {
	if !r.ready() {
		return
	}
	f, err := os.Open(filepath.Join(r.dir(), path))
	if errors.Is(err, fs.ErrNotExist) {
		return // look judges that
	}
	var b []byte
	if err == nil {
		b, err = io.ReadAll(f)
	}
	if err != nil {
		r.found.add(torn, "%s: %s: %v", r.name, path, err)
		return
	}
	r.judge(path, b)
	r.held = append(r.held, held{f, path, b})
	if len(r.held) > maxHeld {
		r.release(r.held[0])
		r.held = r.held[1:]
	}
}

// release compares what a file holds with what it held, and closes it.
func (r *reader) release(h held) {
	is := make([]byte, len(h.was)+1)
	n, err := h.ReadAt(is, 0)
	if err != io.EOF || !bytes.Equal(is[:n], h.was) {
		r.found.add(torn, "%s: %s changed while it was open, from revision %d: %v\n%.300q", r.name, h.path, shown(h.was).revision, err, is[:n])
	}
	h.Close()
}
