package faults

import (
	"fmt"
	"strings"
)

// What readers may be shown because somebody has asked for it.

// mayBeGone tells whether a document that was there at a revision may have
// disappeared since, because somebody asked for it.
func (b *book) mayBeGone(path string, revision uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range []string{path, tenantOf(path)} {
		if r := b.removals[name]; r != nil && (r.pending > 0 || r.last > revision) {
			return true
		}
	}
	for _, r := range b.restores {
		if r.revision > 0 && r.revision <= revision {
			continue
		}
		// A tenant that was made anew since the archive goes as a whole, before the
		// one in the archive comes back.
		was := b.removals[tenantOf(path)]
		if _, kept := r.archive[path]; !kept || was != nil && (was.pending > 0 || was.last > r.saved) {
			return true
		}
	}
	return false
}

// askedFor is what mayBeGone goes by, for the message of a failure.
func (b *book) askedFor(path string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, name := range []string{path, tenantOf(path)} {
		if r := b.removals[name]; r != nil {
			out = append(out, fmt.Sprintf("%s: %d removals are asked for, the last was at %d", name, r.pending, r.last))
		}
	}
	for _, r := range b.restores {
		_, kept := r.archive[path]
		out = append(out, fmt.Sprintf("restore %d: saved at %d, asked for after %d, done at %d, with this document: %v", r.number, r.saved, r.after, r.revision, kept))
	}
	return strings.Join(out, "; ")
}

// restored returns the restore, later than one of this number, that brings a
// document back at a revision; nil if there is none.
func (b *book) restored(path string, revision uint64, later int) *restore {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.restores {
		if d, there := r.archive[path]; r.number > later && there && d.revision == revision {
			return r
		}
	}
	return nil
}

// crossed tells whether a restore may lie between two revisions.
func (b *book) crossed(from, to uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.restores {
		if (r.revision == 0 || r.revision > from) && r.after < to {
			return true
		}
	}
	return false
}

// published tells whether every restore is over, and in the files whose .applied
// says that they hold a revision. While one is not, the public set may be the
// restored one already and the keyset beside it not yet.
func (b *book) published(revision uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.restores {
		if r.revision == 0 || r.revision > revision {
			return false
		}
	}
	return true
}

// asked is how many restores were asked for so far.
func (b *book) asked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.restores)
}
