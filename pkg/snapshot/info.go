package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/cpctl/cpctl/pkg/store"
)

// Info is what `snapshot inspect` shows of an archive, as its JSON has it.
type Info struct {
	FormatVersion string       `json:"format_version"` // of this document
	Kind          string       `json:"kind"`           // "snapshot_info"
	File          string       `json:"file"`
	Size          int64        `json:"size"`   // of the archive, in bytes
	SHA256        string       `json:"sha256"` // of the archive's bytes, in hex
	Intact        bool         `json:"intact"`
	ClusterID     string       `json:"cluster_id"`
	Index         uint64       `json:"index"`
	Term          uint64       `json:"term"`
	Revision      uint64       `json:"revision"`
	CreatedAt     store.Time   `json:"created_at"`
	Level         uint32       `json:"level"`
	Digest        string       `json:"digest"`
	StateDigest   string       `json:"state_digest"`
	SealKeyIDs    []string     `json:"seal_key_ids"`
	Counts        store.Counts `json:"counts"`
	Tenants       []string     `json:"tenants"` // slugs, sorted
}

// Info describes a verified archive; file is the name to show for it.
func (c *Contents) Info(file string) *Info {
	i := infoOf(&c.Manifest, file)
	i.Size, i.SHA256, i.Intact = c.Size, c.SHA256, true
	for d := range c.Image.Scan("tenants/") {
		if t, ok := d.Head.(*store.Tenant); ok {
			i.Tenants = append(i.Tenants, t.Slug)
		}
	}
	return i
}

func infoOf(m *Manifest, file string) *Info {
	i := &Info{
		FormatVersion: store.FormatVersion, Kind: "snapshot_info", File: file,
		ClusterID: m.ClusterID, Index: m.Index, Term: m.Term, Revision: m.Revision, CreatedAt: m.CreatedAt,
		Level: m.Level, Digest: m.Digest, StateDigest: m.StateDigest, SealKeyIDs: m.SealKeyIDs, Counts: m.Counts,
		Tenants: []string{},
	}
	if i.SealKeyIDs == nil {
		i.SealKeyIDs = []string{}
	}
	return i
}

// Inspect reads and verifies the archive at path, with no node. The errors are
// those of Read, and an *store.Error of CodeInvalid for a path that is no file.
// With an error it still returns what the manifest claims, not Intact, with the
// size and sum of the file, if the manifest could be read; otherwise nil.
func Inspect(path string) (*Info, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, c, err := read(f, Limits{})
	switch {
	case err == nil:
		return c.Info(path), nil
	case m == nil:
		return nil, err
	}
	i := infoOf(m, path)
	h := sha256.New()
	if _, seek := f.Seek(0, io.SeekStart); seek == nil {
		if n, copied := io.Copy(h, f); copied == nil {
			i.Size, i.SHA256 = n, hex.EncodeToString(h.Sum(nil))
		}
	}
	return i, err
}

// Verify is Inspect that returns either a whole description or an error.
func Verify(path string) (*Info, error) {
	i, err := Inspect(path)
	if err != nil {
		return nil, err
	}
	return i, nil
}

func openFile(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, store.Errorf(store.CodeInvalid, "there is no file %q", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	if st, err := f.Stat(); err == nil && st.IsDir() {
		f.Close()
		return nil, store.Errorf(store.CodeInvalid, "%q is a directory, not a snapshot", path)
	}
	return f, nil
}
