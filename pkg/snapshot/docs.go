package snapshot

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/cpctl/cpctl/pkg/store"
)

// pendingDoc is a published document between its member and the state.
type pendingDoc struct {
	path     string
	bytes    []byte
	revision uint64 // of the archive
	doc      *store.Doc
	jwks     string // of a keyset: the path of its public set
	want     []byte // and what must be there
	err      error
}

// takeDoc takes a published document, whose bytes it keeps.
func (rd *reader) takeDoc(path string, b []byte) error {
	return rd.docs.take(&pendingDoc{path: path, bytes: b, revision: rd.manifest.Revision}, len(b))
}

// loadDoc loads a document that was judged. Its errors name the member.
func (rd *reader) loadDoc(p *pendingDoc) error {
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
	return nil
}

// judge reads the document by itself.
func (p *pendingDoc) judge() {
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
	if d := p.doc; d.Revision > p.revision || d.CreateRevision > d.Revision {
		p.err = fmt.Errorf("revision %d (created at %d) in a snapshot of revision %d", d.Revision, d.CreateRevision, p.revision)
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
