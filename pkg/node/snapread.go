package node

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"os"

	"github.com/cpctl/cpctl/pkg/store"
)

// snapReader reads a state.bin once, and checks it on the way: the piece with
// its last byte is given out only when the sum of all is right. So whoever
// passes it on, as raft does to a follower, never passes on all of a damaged one.
type snapReader struct {
	file *os.File
	left int64
	sum  hash.Hash
	want string
	err  error // the answer to every further Read
}

// openSnapState opens the state.bin that a meta describes.
func openSnapState(path string, m *snapMeta) (*snapReader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && st.Size() != m.Meta.Size {
		err = store.Errorf(store.CodeIntegrity, "%s has %d bytes instead of %d", stateFile, st.Size(), m.Meta.Size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	r := &snapReader{file: f, left: m.Meta.Size, sum: sha256.New(), want: m.State}
	if r.left == 0 {
		r.err = r.verify()
	}
	return r, nil
}

// Read implements io.Reader.
func (r *snapReader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	n, err := r.file.Read(p[:min(int64(len(p)), r.left)])
	r.sum.Write(p[:n])
	r.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF):
		r.err = store.Errorf(store.CodeIntegrity, "%s ends %d bytes too early", stateFile, r.left)
	case err != nil:
		r.err = err
	case r.left == 0:
		if r.err = r.verify(); r.err != io.EOF {
			return 0, r.err
		}
		return n, nil
	}
	return n, r.err
}

// verify returns io.EOF if everything that was read is what was written.
func (r *snapReader) verify() error {
	if got := hex.EncodeToString(r.sum.Sum(nil)); got != r.want {
		return store.Errorf(store.CodeIntegrity, "%s is damaged: its checksum does not match", stateFile)
	}
	return io.EOF
}

// Close implements io.Closer.
func (r *snapReader) Close() error { return r.file.Close() }
