package rpc

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// rewindable is a destination that can begin anew.
type rewindable struct{ bytes.Buffer }

func (r *rewindable) Rewind() error { r.Reset(); return nil }

// A node that is stopped takes an archive that it is sending with it. Where what
// has come can be forgotten, it is asked for again.
func TestASnapshotThatBreaksOffBeginsAnew(t *testing.T) {
	t.Parallel()
	docs := map[string]string{}
	for i := range 8 { // more than two chunks, and nothing to compress
		noise := make([]byte, 40<<10)
		rand.Read(noise)
		slug := fmt.Sprintf("t%d", i)
		docs[store.TenantPath(slug)] = fmt.Sprintf(`{"format_version":"1.0","kind":"tenant","slug":%q,"annotations":{"noise":%q}}`, slug, base64.StdEncoding.EncodeToString(noise))
	}
	img := stateWith(t, docs)
	var want bytes.Buffer
	if err := snapshot.Write(&want, img, "cluster-1"); err != nil {
		t.Fatal(err)
	}
	_, to := serveFake(t, &fake{leads: true, img: img})
	var cut atomic.Int64
	path := breaksOff(t, to, &cut)
	c := NewClient(Options{Servers: []string{"unix:" + path}})
	defer c.Close()

	var kept rewindable
	m, err := c.Snapshot(soon(t), &kept)
	if err != nil || m.Index != 5 || !bytes.Equal(kept.Bytes(), want.Bytes()) || cut.Load() != 2 {
		t.Errorf("%d bytes of %d after %d connections: %v", kept.Len(), want.Len(), cut.Load(), err)
	}
	cut.Store(0)
	var passed bytes.Buffer // such as a pipe
	if _, err := c.Snapshot(soon(t), &passed); err == nil || passed.Len() == 0 {
		t.Errorf("%d bytes were passed on, and then it began anew: %v", passed.Len(), err)
	}
}

// breaksOff passes connections on to a socket, and breaks the first one off after
// a part of the answer.
func breaksOff(t *testing.T, to string, count *atomic.Int64) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(to), "b")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", to)
			if err != nil {
				in.Close()
				continue
			}
			first := count.Add(1) == 1
			go io.Copy(out, in)
			go func() {
				defer in.Close()
				defer out.Close()
				if first {
					io.CopyN(in, out, 200<<10)
					return
				}
				io.Copy(in, out)
			}()
		}
	}()
	return path
}
