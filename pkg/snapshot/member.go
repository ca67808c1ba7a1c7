package snapshot

import (
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// section is a part of an archive. Sections come in this order, and the members
// of one in the order of their names.
type section int

const (
	manifestMember section = iota
	tenantDocs
	keyDocs
	systemDocs
	countersMember
	stagedDocs
	deletionsMember
	requestsMember
	sumsMember
)

const (
	manifestName  = "manifest.json"
	countersName  = "system/counters.json"
	stagePrefix   = "system/stage/"
	deletionsName = "system/stage-deletions.txt"
	requestsName  = "system/requests.jsonl"
	sumsName      = "SHA256SUMS"
)

// place says to which section a member of that name belongs and how many bytes
// it may have. It is the whole list of names that an archive can hold.
func place(name string) (s section, most int64, err error) {
	switch name {
	case manifestName:
		return manifestMember, maxOwnMember, nil
	case countersName:
		return countersMember, maxOwnMember, nil
	case deletionsName:
		return deletionsMember, maxSize, nil
	case requestsName:
		return requestsMember, maxSize, nil
	case sumsName:
		return sumsMember, maxSize, nil
	}
	if path, ok := strings.CutPrefix(name, stagePrefix); ok {
		ref, err := store.ParsePath(path)
		if err != nil {
			return 0, 0, notOurs(name)
		}
		return stagedDocs, int64(store.DocumentLimit(ref.Kind)), nil
	}
	if systemPath(name) {
		return systemDocs, maxSystemDoc, nil
	}
	ref, err := store.ParsePath(name)
	if err != nil {
		return 0, 0, notOurs(name)
	}
	if strings.HasPrefix(name, "keys/") {
		return keyDocs, int64(store.DocumentLimit(ref.Kind)), nil
	}
	return tenantDocs, int64(store.DocumentLimit(ref.Kind)), nil
}

func notOurs(name string) error {
	if !localName(name) {
		return damaged("member %q has a hostile name", name)
	}
	return damaged("member %q is not part of a snapshot", name)
}

// systemPath reports whether name is that of a document below system/. Which
// ones there are is not this package's; their names are plain.
func systemPath(name string) bool {
	if !localName(name) || !strings.HasSuffix(name, ".json") {
		return false
	}
	rest, ok := strings.CutPrefix(name, store.SystemPrefix)
	return ok && !strings.HasPrefix(rest, "requests") && !strings.HasPrefix(rest, ".")
}

// localName reports whether a name stays where it is put on every system: parts
// of plain characters that neither are empty nor begin with a dot. The archive
// of a newer build may have names that this one does not know, but no others.
func localName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' {
			return false
		}
		for i := range len(part) {
			if c := part[i]; !plain(c) {
				return false
			}
		}
	}
	return true
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-~%", c) >= 0
}
