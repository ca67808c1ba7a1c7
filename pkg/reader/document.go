package reader

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// head is what every document begins with.
type head struct {
	FormatVersion string `json:"format_version"`
	Kind          string `json:"kind"`
}

func (h *head) header() *head { return h }

// document reads a file and what a server needs of it. kind and names are in
// the document too and must be those of its path.
func document[T any, P interface {
	*T
	header() *head
}](v *View, path, kind, name string, names func(P) bool) (P, []byte, error) {
	b, err := v.dir.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, missing(kind, name)
	}
	if err != nil {
		return nil, nil, err
	}
	doc := P(new(T))
	err = json.Unmarshal(b, doc) // what does not fit is passed over, and the head is there
	switch h := doc.header(); {
	case h.FormatVersion != "" && !strings.HasPrefix(h.FormatVersion, "1."): // within a major, fields are only added
		return nil, nil, fmt.Errorf("data/%s has format version %q, and this reader knows 1", path, h.FormatVersion)
	case err != nil:
		return nil, nil, damaged(path, "cannot be read (%v)", err)
	case h.Kind != kind || !names(doc):
		return nil, nil, damaged(path, "holds the document of another path")
	}
	return doc, b, nil
}

func missing(kind, name string) error { return fmt.Errorf("%s/%s: %w", kind, name, ErrNotFound) }
