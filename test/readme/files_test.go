package readme_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// readTogether returns files of data/ as they were at one moment. Settled is
// false when the state kept changing: then each file is whole, and no more.
func readTogether(dataDir string, names ...string) (files map[string][]byte, settled bool, err error) {
	for range 5 {
		data, err := os.OpenRoot(filepath.Join(dataDir, "data"))
		if err != nil {
			return nil, false, err
		}
		before := applied(data)
		files = map[string][]byte{}
		for _, name := range names {
			if b, err := data.ReadFile(name); err == nil {
				files[name] = b // a name that is missing is a document that does not exist
			} else if !errors.Is(err, fs.ErrNotExist) {
				data.Close()
				return nil, false, err
			}
		}
		after := applied(data)
		data.Close()
		if before == after && after.State == "done" && after.BootID == bootID() {
			return files, true, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return files, false, nil
}

// marker is the newest record of data/.applied.
type marker struct {
	Sequence uint64 // one more with every record
	State    string `json:"state"` // done, or intent while files are being changed
	Index    uint64 `json:"index"`
	BootID   string `json:"boot_id"`
}

// applied reads .applied: two slots of 512 bytes, written in turn, each one line
// of CRC-32C, sequence and JSON.
func applied(data *os.Root) (newest marker) {
	b, err := data.ReadFile(".applied")
	if err != nil {
		return marker{}
	}
	for slot := range slices.Chunk(b, 512) {
		sum, rest, _ := bytes.Cut(slot, []byte(" "))
		if string(sum) != fmt.Sprintf("%08x", crc32.Checksum(rest, crc32.MakeTable(crc32.Castagnoli))) {
			continue // never written, or being written now
		}
		number, body, _ := bytes.Cut(rest, []byte(" "))
		var m marker
		if json.Unmarshal(body, &m) != nil {
			continue
		}
		if m.Sequence, err = strconv.ParseUint(string(number), 10, 64); err == nil && m.Sequence > newest.Sequence {
			newest = m
		}
	}
	return newest
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}
