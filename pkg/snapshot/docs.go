package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/cpctl/cpctl/pkg/store"
)

// Judging a document takes most of the time of reading an archive, and does not
// depend on any other. So documents are collected, judged on all processors while
// the next are read, and loaded in their order, by which the first fault is the same
// whatever the number of processors.

// A batch ends at either bound.
const (
	batchDocs  = 256
	batchBytes = 4 << 20
)

// pendingDoc is a published document between its member and the state.
type pendingDoc struct {
	path  string
	bytes []byte
	doc   *store.Doc
	jwks  string // of a keyset: the path of its public set
	want  []byte // and what must be there
	err   error
}

// takeDoc takes a published document, whose bytes it keeps.
func (rd *reader) takeDoc(path string, b []byte) error {
	rd.docs = append(rd.docs, &pendingDoc{path: path, bytes: b})
	if rd.docBytes += len(b); len(rd.docs) < batchDocs && rd.docBytes < batchBytes {
		return nil
	}
	return rd.judgeDocs()
}

// judgeDocs has what was collected judged, and loads what was judged before.
func (rd *reader) judgeDocs() error {
	if err := rd.loadJudged(); err != nil {
		return err
	}
	rd.docs, rd.judged, rd.docBytes = rd.judged, rd.docs, 0
	docs, revision := rd.judged, rd.manifest.Revision
	next := new(atomic.Int64)
	for range min(runtime.GOMAXPROCS(0), len(docs)) {
		rd.judges.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(docs)); i = next.Add(1) - 1 {
				docs[i].judge(revision)
			}
		})
	}
	return nil
}

// loadDocs judges and loads everything that was collected.
func (rd *reader) loadDocs() error {
	if err := rd.judgeDocs(); err != nil {
		return err
	}
	return rd.loadJudged()
}

// loadJudged waits for the judges and loads. Its errors name the member.
func (rd *reader) loadJudged() error {
	rd.judges.Wait()
	for _, p := range rd.judged {
		if p.err == nil && p.want != nil {
			p.err = rd.comparePublic(p)
		}
		switch {
		case errors.Is(p.err, store.ErrNewer), errors.Is(p.err, store.ErrIntegrity):
			return p.err
		case p.err != nil:
			return damaged("member %q: %v", p.path, p.err)
		}
		rd.tx.LoadDoc(p.doc)
	}
	rd.judged = rd.judged[:0]
	return nil
}

// judge reads the document by itself.
func (p *pendingDoc) judge(revision uint64) {
	v, err := store.DecodeDoc(p.path, p.bytes)
	if err != nil {
		p.err = err
		return
	}
	if ks, ok := v.(*store.Keyset); ok {
		p.jwks, p.want = store.JWKSPath(ks.Tenant), store.JWKSOf(ks)
	}
	if p.doc, p.err = store.NewDocOf(p.path, p.bytes, v); p.err != nil {
		return
	}
	if d := p.doc; d.Revision > revision || d.CreateRevision > d.Revision {
		p.err = fmt.Errorf("revision %d (created at %d) in a snapshot of revision %d", d.Revision, d.CreateRevision, revision)
	}
}

// comparePublic compares the public set of a keyset, which comes before it.
func (rd *reader) comparePublic(p *pendingDoc) error {
	set := rd.tx.Get(p.jwks)
	if set == nil {
		return fmt.Errorf("%s is missing", p.jwks)
	}
	if !bytes.Equal(set.Bytes, p.want) {
		return damaged("member %q does not hold the public keys of %s", p.jwks, p.path)
	}
	return nil
}
