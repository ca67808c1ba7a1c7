package snapshot

import (
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
	"github.com/klauspost/compress/gzip"
)

// Source is a state that can be written as an archive.
type Source struct {
	Image     *store.Image
	ClusterID string
}

// WriteTo writes the archive; see Write. It implements io.WriterTo.
func (s Source) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	err := Write(c, s.Image, s.ClusterID)
	return c.n, err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// Write writes the image as an archive. It may run beside a Tx that goes on from
// the image. What it holds in memory does not grow with the state: sizes that a
// header needs in advance and the sums at the end are computed in passes of
// their own. An error of w is wrapped; a state that cannot be an archive is an
// *store.Error of CodeInternal, found before or while writing.
func Write(w io.Writer, img *store.Image, clusterID string) error {
	if err := checkClusterID(clusterID); err != nil {
		return store.Errorf(store.CodeInternal, "write snapshot: %v", err)
	}
	gz, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	gz.ModTime = time.Unix(0, 0) // else the field is derived from year 1
	out := &archiveWriter{blocks: blocks{w: gz}}
	manifest, err := encodeMember(ManifestOf(img, clusterID))
	if err != nil {
		return err
	}
	for m, err := range members(img, manifest) {
		if err == nil {
			err = out.add(m)
		}
		if err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
	}
	if err := out.finish(img, manifest); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := gz.Close(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// member is one file of an archive: its bytes, or a stream that is too long to
// be held. A stream writes the same bytes whenever it is asked.
type member struct {
	name   string
	bytes  []byte
	stream func(io.Writer) error
}

// size is how many bytes the member has. A stream is written once to find out.
func (m *member) size() (int64, error) {
	if m.stream == nil {
		return int64(len(m.bytes)), nil
	}
	c := &counter{w: io.Discard}
	err := m.stream(c)
	return c.n, err
}

// members yields all members but the sums, in the order of the archive.
func members(img *store.Image, manifest []byte) iter.Seq2[*member, error] {
	return func(yield func(*member, error) bool) {
		var m member // reused: a document costs no allocation
		doc := func(name string, b []byte) bool {
			m = member{name: name, bytes: b}
			return yield(&m, nil)
		}
		stream := func(name string, lines iter.Seq[[]byte]) bool {
			m = member{name: name, stream: func(w io.Writer) error { return writeLines(w, lines) }}
			return yield(&m, nil)
		}
		if !doc(manifestName, manifest) {
			return
		}
		for _, prefix := range []string{"tenants/", "keys/", store.SystemPrefix} {
			for d := range img.Scan(prefix) {
				if !doc(d.Path, d.Bytes) {
					return
				}
			}
		}
		counters, err := encodeMember(img.Counters())
		if err != nil {
			yield(nil, err)
			return
		}
		if !doc(countersName, counters) {
			return
		}
		deletions := false
		for s := range img.StagedDocs() {
			if s.Doc == nil {
				deletions = true
			} else if !doc(stagePrefix+s.Path, s.Doc.Bytes) {
				return
			}
		}
		if deletions && !stream(deletionsName, deletionLines(img)) {
			return
		}
		stream(requestsName, requestLines(img))
	}
}

func deletionLines(img *store.Image) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for s := range img.StagedDocs() {
			if s.Doc == nil && !yield([]byte(s.Path+"\n")) {
				return
			}
		}
	}
}

func requestLines(img *store.Image) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for r := range img.Requests() {
			if !yield(r.Line()) {
				return
			}
		}
	}
}

func writeLines(w io.Writer, lines iter.Seq[[]byte]) error {
	for line := range lines {
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}
