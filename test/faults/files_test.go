package faults

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// shown is what a file says of itself.
func shown(b []byte) doc {
	var d struct {
		UID            string            `json:"uid"`
		CreateRevision uint64            `json:"create_revision"`
		Revision       uint64            `json:"revision"`
		Labels         map[string]string `json:"labels"`
		Keys           []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(b, &d) != nil {
		return doc{}
	}
	return doc{create: d.CreateRevision, revision: d.Revision, uid: d.UID, label: d.Labels[labelled], keys: len(d.Keys)}
}

// whole judges all files of a node that rests: each one by itself, the public
// sets against their keysets, and all together by their digest. It returns what
// they say.
func whole(f *findings, node string, files map[string][]byte, digest string) map[string]doc {
	docs := map[string]doc{}
	tx := store.NewImage().Begin()
	for path, b := range files {
		v, err := store.DecodeDoc(path, b)
		if err == nil {
			err = tx.Load(path, b)
		}
		if err != nil {
			f.add(torn, "node %s: %s is not whole: %v\n%.200q", node, path, err, b)
			continue
		}
		if ks, ok := v.(*store.Keyset); ok && !bytes.Equal(files[store.JWKSPath(ks.Tenant)], store.JWKSOf(ks)) {
			f.add(torn, "node %s: the public set of %s is not that of its keyset", node, ks.Tenant)
		}
		if !strings.HasSuffix(path, "/jwks.json") {
			docs[path] = shown(b)
		}
	}
	if img, _ := tx.Freeze(1, 1); img.DataDigest() != digest {
		f.add(torn, "node %s: the files have digest %s, the state has %s", node, img.DataDigest(), digest)
	}
	return docs
}
