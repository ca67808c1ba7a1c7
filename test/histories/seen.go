package histories

import (
	"encoding/json"
	"fmt"

	"github.com/cpctl/cpctl/pkg/store"
)

// Label is the one by which a document bears the value of its last writer.
const Label = "op"

// Labels is the patch of a write that puts a value in.
func Labels(value string) map[string]any {
	return map[string]any{"labels": map[string]string{Label: value}}
}

// Seen is what the bytes of a document show, as a file holds it or as it is shown
// to people.
func Seen(b []byte) (Doc, error) {
	var d struct {
		Revision uint64            `json:"revision"`
		Labels   map[string]string `json:"labels"`
		Keys     []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return Doc{}, err
	}
	return Doc{There: true, Revision: d.Revision, Value: d.Labels[Label], Keys: len(d.Keys)}, nil
}

// written tells whether a document is one that operations are about; the others
// come with these.
func written(path string) bool {
	ref, err := store.ParsePath(path)
	return err == nil && (ref.Kind == "tenant" || ref.Kind == "client" || ref.Kind == "keyset")
}

// Files is what the files of a node show, by path.
func Files(files map[string][]byte) (map[string]Doc, error) {
	docs := map[string]Doc{}
	for path, b := range files {
		if !written(path) {
			continue
		}
		d, err := Seen(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		docs[path] = d
	}
	return docs, nil
}

// Archived is what an archive holds: its documents by path, and what became of
// every request that it remembers, by id.
func Archived(img *store.Image) (docs map[string]Doc, requests map[string]*store.Record, err error) {
	files := map[string][]byte{}
	for _, tree := range []string{"tenants/", "keys/"} {
		for d := range img.Scan(tree) {
			files[d.Path] = d.Bytes
		}
	}
	requests = map[string]*store.Record{}
	for r := range img.Requests() {
		requests[r.ID] = r
	}
	docs, err = Files(files)
	return docs, requests, err
}
