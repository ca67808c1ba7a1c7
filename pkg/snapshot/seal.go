package snapshot

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// SealKeyIDs lists the cluster keys under which something in the image is
// sealed, sorted; staged documents and those below system/ count too. A sealed
// value is an object with exactly the members of store.Sealed: in a published
// document the value of a member "private_key" (a keyset's) or "sealed" (in
// settings, which may hold what only looks like one elsewhere), below system/
// anywhere.
func SealKeyIDs(img *store.Image) []string {
	ids := map[string]bool{}
	for d := range img.Scan("") {
		sealedIn(d.Path, d.Bytes, ids)
	}
	for s := range img.StagedDocs() {
		if s.Doc != nil {
			sealedIn(s.Path, s.Doc.Bytes, ids)
		}
	}
	list := make([]string, 0, len(ids))
	for id := range ids {
		list = append(list, id)
	}
	slices.Sort(list)
	return list
}

// sealedIn adds the key ids of one document. Documents without a ciphertext,
// which are most, are not parsed.
func sealedIn(path string, doc []byte, ids map[string]bool) {
	if !bytes.Contains(doc, []byte(`"ciphertext"`)) {
		return
	}
	var v any
	if json.Unmarshal(doc, &v) == nil {
		system := strings.HasPrefix(path, store.SystemPrefix)
		collectSealed(v, system, system, ids)
	}
}

// collectSealed walks a value; here says whether it may itself be a sealed one,
// anywhere whether every value below may.
func collectSealed(v any, here, anywhere bool, ids map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			collectSealed(item, anywhere, anywhere, ids)
		}
	case map[string]any:
		if id, ok := sealedBy(v); ok && here {
			ids[id] = true
			return
		}
		for name, item := range v {
			collectSealed(item, anywhere || name == "sealed" || name == "private_key", anywhere, ids)
		}
	}
}

// sealedBy returns the key id of an object of the form of store.Sealed.
func sealedBy(v map[string]any) (id string, ok bool) {
	for _, name := range []string{"enc", "key_id", "nonce", "ciphertext"} {
		if _, ok := v[name].(string); !ok {
			return "", false
		}
	}
	return v["key_id"].(string), len(v) == 4
}
