package snapshot

import (
	"bytes"
	"iter"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// Change is one document in which two states differ.
type Change struct {
	Op   byte   // '+' only in the second, '-' only in the first, '~' in both with other bytes
	Path string // below data/
}

func (c Change) String() string { return string(c.Op) + " " + c.Path }

// Diff yields what must change in tenants/ and keys/ to come from a to b, in the
// order of the paths (so keys/ first). The states themselves do not change.
func Diff(a, b *store.Image) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		nextA, stopA := iter.Pull(documents(a))
		defer stopA()
		nextB, stopB := iter.Pull(documents(b))
		defer stopB()
		da, inA := nextA()
		db, inB := nextB()
		for inA || inB {
			switch {
			case !inB || inA && da.Path < db.Path:
				if !yield(Change{'-', da.Path}) {
					return
				}
				da, inA = nextA()
			case !inA || db.Path < da.Path:
				if !yield(Change{'+', db.Path}) {
					return
				}
				db, inB = nextB()
			default:
				if da != db && !bytes.Equal(da.Bytes, db.Bytes) && !yield(Change{'~', da.Path}) {
					return
				}
				da, inA = nextA()
				db, inB = nextB()
			}
		}
	}
}

// documents yields what is published, in the order of the paths.
func documents(img *store.Image) iter.Seq[*store.Doc] {
	return func(yield func(*store.Doc) bool) {
		for d := range img.Scan("") {
			if !strings.HasPrefix(d.Path, store.SystemPrefix) && !yield(d) {
				return
			}
		}
	}
}
