package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Load puts a document of an archive in as it is: a published one or one below
// system/. It is for a state that is being built, not for changes.
func (t *Tx) Load(path string, b []byte) error {
	if !published(path) {
		if strings.HasPrefix(path, "system/requests") || strings.HasPrefix(path, "system/stage/") {
			return fmt.Errorf("%s is not a document", path)
		}
		if !json.Valid(b) {
			return fmt.Errorf("%s is not JSON", path)
		}
		t.putSystem(systemDoc(path, bytes.Clone(b)))
		return nil
	}
	d, err := NewDoc(path, bytes.Clone(b))
	if err != nil {
		return err
	}
	t.put(d)
	return nil
}
