package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// A record is a JSON object of which every byte counts, since it says who the
// node is: its last member is a checksum of all that stands before it, in the
// same words in every format version to come.

// recordSum is that member as it stands at the end of the file.
func recordSum(body []byte) []byte {
	return fmt.Appendf(nil, ",\n  \"checksum\": \"%08x\"\n}\n", crc32.Checksum(body, castagnoli))
}

func encodeRecord(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	body := bytes.TrimSuffix(b, []byte("\n}"))
	return append(body, recordSum(body)...), nil
}

func (d *dataDir) saveRecord(name string, v any) error {
	b, err := encodeRecord(v)
	if err != nil {
		return err
	}
	return disk.Save(d.disk, d.file(name), b)
}

// loadRecord decodes a record into v, and reports whether there is one.
func (d *dataDir) loadRecord(name string, v any) (found bool, err error) {
	b, err := os.ReadFile(d.file(name))
	if errors.Is(err, os.ErrNotExist) {
		return false, store.Errorf(store.CodeIntegrity, "%s is missing", d.file(name))
	}
	if err != nil {
		return true, err
	}
	body := b[:max(len(b)-len(recordSum(nil)), 0)]
	if !bytes.Equal(b[len(body):], recordSum(body)) {
		return true, store.Errorf(store.CodeIntegrity, "%s is damaged: its checksum does not match", d.file(name))
	}
	if err := json.Unmarshal(b, v); err != nil {
		return true, store.Errorf(store.CodeIntegrity, "%s cannot be read: %v", d.file(name), err)
	}
	return true, nil
}
