package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/store"
)

// snapMeta is the meta.json of a snapshot. The archive in state.bin has sums of
// its own; what raft believes about it stands here alone.
type snapMeta struct {
	Meta  raft.SnapshotMeta `json:"meta"`
	State string            `json:"state_sha256"` // of state.bin, hex
	Sum   string            `json:"sum"`          // SHA-256 of this file with an empty sum, hex
}

const (
	stateFile   = "state.bin"
	metaFile    = "meta.json"
	maxSnapMeta = 1 << 20 // bytes; a configuration of thousands of members
)

// encode returns the bytes of the file, with its sum.
func (m snapMeta) encode() ([]byte, error) {
	m.Sum = ""
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	m.Sum = hex.EncodeToString(sum[:])
	b, err = json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}

// decodeSnapMeta reads a meta.json. Only the bytes that encode would write are
// taken: whatever bit has changed, either the sum comes out as another or the form.
func decodeSnapMeta(b []byte) (*snapMeta, error) {
	m := new(snapMeta)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, store.Errorf(store.CodeIntegrity, "%s cannot be read: %v", metaFile, err)
	}
	if again, err := m.encode(); err != nil || !bytes.Equal(b, again) {
		return nil, store.Errorf(store.CodeIntegrity, "%s is damaged: its checksum does not match", metaFile)
	}
	return m, nil
}

// readSnapMeta reads the meta of the snapshot in a directory that bears its id.
func readSnapMeta(dir string) (*snapMeta, error) {
	f, err := os.Open(filepath.Join(dir, metaFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSnapMeta))
	if err != nil {
		return nil, err
	}
	m, err := decodeSnapMeta(b)
	if err != nil {
		return nil, err
	}
	if m.Meta.ID != filepath.Base(dir) {
		return nil, store.Errorf(store.CodeIntegrity, "%s is of snapshot %s", metaFile, m.Meta.ID)
	}
	if m.Meta.Version < raft.SnapshotVersionMin || m.Meta.Version > raft.SnapshotVersionMax {
		return nil, fmt.Errorf("%s has version %d of raft's snapshots, which this build does not know", metaFile, m.Meta.Version)
	}
	return m, nil
}
