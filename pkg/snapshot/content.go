package snapshot

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// take puts the content of one member into the state that is being built. An
// error that is no *store.Error of CodeIntegrity says what is wrong with it; the
// caller adds the name.
func (rd *reader) take(s section, name string, body io.Reader) error {
	if s != tenantDocs && s != keyDocs {
		if err := rd.docs.finish(); err != nil {
			return err
		}
	}
	switch s {
	case deletionsMember:
		return rd.takeDeletions(body)
	case requestsMember:
		return rd.takeRequests(body)
	}
	rd.buf.Reset() // grows with what arrives, not with what the header claims
	if _, err := rd.buf.ReadFrom(body); err != nil {
		return err
	}
	b := rd.buf.Bytes()
	switch s {
	case manifestMember:
		return rd.takeManifest(b)
	case tenantDocs, keyDocs:
		return rd.takeDoc(name, bytes.Clone(b))
	case systemDocs:
		return rd.takeSystem(name, b)
	case countersMember:
		var c store.Counters
		if err := decodeMember(b, &c); err != nil {
			return err
		}
		rd.tx.SetCounters(c)
		return nil
	case stagedDocs:
		return rd.takeStaged(strings.TrimPrefix(name, stagePrefix), b)
	}
	return fmt.Errorf("is in no section") // place gives no other
}

func (rd *reader) takeManifest(b []byte) error {
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		var version struct {
			FormatVersion string `json:"format_version"`
			Kind          string `json:"kind"`
		}
		if json.Unmarshal(b, &version) != nil || version.Kind != kind || !rd.newerMajor(version.FormatVersion) {
			return err
		}
		return nil // a newer manifest may differ in all but these two
	}
	if m.Kind != kind {
		return damaged("the manifest is of kind %q, not %q; this is not a cpctl snapshot", m.Kind, kind)
	}
	rd.manifest, rd.shown = *m, m
	major, minor, err := parseVersion(m.FormatVersion)
	switch {
	case err != nil || major < formatMajor:
		return fmt.Errorf("format version %q is none of cpctl's", m.FormatVersion)
	case rd.newerMajor(m.FormatVersion):
		return nil
	case m.Level > rd.lim.MaxLevel:
		rd.newer = newerThan("level %d", m.Level, "reads up to level %d", rd.lim.MaxLevel)
		return nil
	}
	if err := checkClusterID(m.ClusterID); err != nil {
		return err
	}
	if m.SealKeyIDs == nil {
		return fmt.Errorf("has no seal_key_ids")
	}
	if minor > 0 {
		return nil // it may have fields that this build does not know
	}
	return decodeMember(b, m)
}

// newerMajor notes that the archive is of a newer major format version, if it is.
func (rd *reader) newerMajor(version string) bool {
	major, _, err := parseVersion(version)
	if err == nil && major > formatMajor {
		rd.newer = newerThan("format version %s", version, "reads %d", formatMajor)
	}
	return rd.newer != nil
}

func newerThan(has string, it any, reads string, ours any) error {
	return store.Errorf(store.CodeNewer, "the snapshot has "+has+"; this build "+reads, it, ours).WithHint("%s", newerHint)
}

// parseVersion reads "major.minor", plain decimals.
func parseVersion(s string) (major, minor int, err error) {
	a, b, ok := strings.Cut(s, ".")
	if !ok {
		return 0, 0, fmt.Errorf("no version")
	}
	if major, err = strconv.Atoi(a); err != nil {
		return 0, 0, err
	}
	if minor, err = strconv.Atoi(b); err != nil {
		return 0, 0, err
	}
	if s != fmt.Sprintf("%d.%d", major, minor) || major < 0 || minor < 0 {
		return 0, 0, fmt.Errorf("no version")
	}
	return major, minor, nil
}
