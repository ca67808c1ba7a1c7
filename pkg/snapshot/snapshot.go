// Package snapshot is a whole state as bytes: one .tgz for raft and for people.
// It writes an image as an archive, reads an archive back into an image after
// verifying all of it, and compares two images. It opens files only for Inspect
// and Verify. How a state becomes files under data/ is package publish's; what
// is done with an archive is decided above.
//
// An archive is one gzip stream of one tar stream of regular members:
//
//	manifest.json                 first: what the archive holds
//	tenants/...                   documents, sorted by path
//	keys/...                      documents, sorted by path
//	system/...                    documents, sorted by path
//	system/counters.json          revision, time, level, sequence, horizon
//	system/stage/<path>           what the open stage puts at <path>, sorted
//	system/stage-deletions.txt    paths the open stage deletes, one a line, sorted;
//	                              only if there are any
//	system/requests.jsonl         the request table, one record a line
//	SHA256SUMS                    last: sha256sum(1) lines of all other members
//
// The same state gives the same bytes. Members have time 0, owner 0 and mode
// 0600; their headers and padding have one form (tar.go), which is this
// package's own so that neither a release of Go nor a tool changes it. Names of
// more than 100 bytes have a PAX record. gzip is level 1, fed in fixed blocks.
//
// A reader refuses everything that is not exactly this, as it comes, under
// limits. Content that it cannot know, because the manifest says that a newer
// build wrote it, is judged newer only after the sums hold. Within format
// version 1 a later writer may add fields to the manifest and nothing else;
// whatever changes documents or members raises the level or the major version.
//
// Write refuses a state whose archive Read would refuse by name or size.
package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// FormatVersion is the version of the archives that this build writes.
const FormatVersion = "1.0"

// formatMajor is the only major version that this build reads.
const formatMajor = 1

// kind is the manifest's, by which an archive of something else is told apart.
const kind = "snapshot"

// Manifest says what an archive holds. It is the member manifest.json.
type Manifest struct {
	FormatVersion string       `json:"format_version"`
	Kind          string       `json:"kind"` // "snapshot"
	Level         uint32       `json:"level"`
	ClusterID     string       `json:"cluster_id"`
	Index         uint64       `json:"index"` // raft's: last command or configuration entry applied
	Term          uint64       `json:"term"`  // of that entry
	Revision      uint64       `json:"revision"`
	CreatedAt     store.Time   `json:"created_at"` // time of the last command; null before the first
	Counts        store.Counts `json:"counts"`
	Digest        string       `json:"digest"`       // of tenants/ and keys/, 64 hex digits
	StateDigest   string       `json:"state_digest"` // of everything replicated
	SealKeyIDs    []string     `json:"seal_key_ids"` // see SealKeyIDs
}

// ManifestOf is the manifest of the archive that Write makes of the image.
func ManifestOf(img *store.Image, clusterID string) Manifest {
	c := img.Counters()
	return Manifest{
		FormatVersion: FormatVersion, Kind: kind,
		Level: c.Level, ClusterID: clusterID, Index: img.Index, Term: img.Term,
		Revision: c.Revision, CreatedAt: c.Time, Counts: img.Counts(),
		Digest: img.DataDigest(), StateDigest: img.StateDigest(), SealKeyIDs: SealKeyIDs(img),
	}
}

// encodeMember writes one of the archive's own JSON members.
func encodeMember(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// decodeMember is the inverse; it takes the one form that encodeMember writes.
func decodeMember(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return err
	}
	again, err := encodeMember(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("is not in canonical form")
	}
	return nil
}

// differs names the first field in which the manifest disagrees with what was
// found in the archive, "" if none does.
func (m *Manifest) differs(found *Manifest) string {
	for _, f := range []struct {
		name  string
		equal bool
	}{
		{"level", m.Level == found.Level},
		{"revision", m.Revision == found.Revision},
		{"created_at", m.CreatedAt == found.CreatedAt},
		{"counts", m.Counts == found.Counts},
		{"digest", m.Digest == found.Digest},
		{"state_digest", m.StateDigest == found.StateDigest},
		{"seal_key_ids", slices.Equal(m.SealKeyIDs, found.SealKeyIDs)},
	} {
		if !f.equal {
			return f.name
		}
	}
	return ""
}

// checkClusterID refuses ids that could not be shown on a line of their own.
func checkClusterID(id string) error {
	if len(id) > 128 {
		return fmt.Errorf("cluster id of %d bytes", len(id))
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return fmt.Errorf("cluster id %q is not visible ASCII", id)
		}
	}
	return nil
}

// damaged is the refusal of an archive: an *store.Error of CodeIntegrity with
// one line. Its result has the interface type, so that it is never a typed nil.
func damaged(format string, args ...any) error {
	return store.Errorf(store.CodeIntegrity, "%s", oneLine(fmt.Sprintf(format, args...)))
}

// oneLine bounds a message that quotes what a stranger wrote, in bytes.
func oneLine(s string) string {
	const most = 400
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
