package snapshot

import (
	"maps"
	"slices"

	"github.com/cpctl/cpctl/pkg/store"
)

// SealKeyIDs lists the cluster keys under which something in the image is
// sealed, sorted; staged documents and those below system/ count too.
func SealKeyIDs(img *store.Image) []string {
	ids := map[string]bool{}
	note := func(path string, doc []byte) {
		for _, s := range store.SealedIn(path, doc) {
			ids[s.KeyID] = true
		}
	}
	for d := range img.Scan("") {
		note(d.Path, d.Bytes)
	}
	for s := range img.StagedDocs() {
		if s.Doc != nil {
			note(s.Path, s.Doc.Bytes)
		}
	}
	list := slices.AppendSeq(make([]string, 0, len(ids)), maps.Keys(ids)) // never nil
	slices.Sort(list)
	return list
}
