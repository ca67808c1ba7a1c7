package histories

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/cpctl/cpctl/pkg/store"
)

// Ledger is the state that all writes make, in the order of their revisions. It
// goes on from one part of a history to the next.
type Ledger struct {
	revision uint64 // played so far
	docs     map[string]Doc
	open     map[string]*Op // writes that nobody was told of and that were not done yet, by request id
}

// NewLedger begins with an empty state at a revision.
func NewLedger(revision uint64) *Ledger {
	return &Ledger{revision: revision, docs: map[string]Doc{}, open: map[string]*Op{}}
}

// Play adds a part of a history, at whose end the cluster was at a revision and
// had these requests on record, and returns what cannot be.
func (l *Ledger) Play(ops []*Op, requests map[string]*store.Record, upTo uint64) (found []string) {
	complain := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	var reads, made []*Op
	for _, o := range ops {
		switch {
		case o.write():
			if w := l.settle(o, requests[o.ID], complain); w != nil {
				made = append(made, w)
			}
		case o.Said == Done && o.Revision > 0:
			reads = append(reads, o)
		}
	}
	for id, o := range l.open {
		if r := requests[id]; r != nil {
			delete(l.open, id)
			if did(r) {
				made = append(made, doneAt(o, r.Revision))
			}
		}
	}
	byRevision := func(a, b *Op) int { return cmp.Compare(a.Revision, b.Revision) }
	slices.SortStableFunc(reads, byRevision)
	slices.SortStableFunc(made, byRevision)
	compare := func(upTo uint64) { // what was read before the next write
		for len(reads) > 0 && reads[0].Revision <= upTo {
			if o := reads[0]; o.Found != l.docs[o.Doc] {
				complain("%s; at revision %d it was %s", o, o.Revision, l.docs[o.Doc])
			}
			reads = reads[1:]
		}
	}
	for _, o := range made {
		if o.Revision <= l.revision {
			complain("revision %d was used twice, or is older than what was known: %s", o.Revision, o)
			continue
		}
		compare(o.Revision - 1)
		l.gap(o.Revision, complain)
		l.apply(o, complain)
	}
	compare(upTo)
	for _, o := range reads {
		complain("the cluster is at revision %d, and shown was more: %s", upTo, o)
	}
	if upTo < l.revision {
		complain("the cluster is at revision %d, acknowledged was %d", upTo, l.revision)
	}
	l.gap(upTo+1, complain)
	return found
}

// settle compares what was said of a write with what the request table says. It
// returns the write as it was done, nil if it was not.
func (l *Ledger) settle(o *Op, r *store.Record, complain func(string, ...any)) *Op {
	done := did(r)
	switch {
	case o.Said == Unknown && done:
		return doneAt(o, r.Revision)
	case o.Said == Unknown && r == nil:
		l.open[o.ID] = o
	case o.Said == Unknown:
	case o.Said == Done && !done:
		complain("this was acknowledged, and the request table does not have it: %s", o)
	case o.Said == Done && r.Revision != o.Revision:
		complain("the request table has this at revision %d: %s", r.Revision, o)
	case o.Said != Done && done:
		complain("this was done, at revision %d by the request table: %s", r.Revision, o)
		return doneAt(o, r.Revision)
	}
	if o.Said == Done {
		return o
	}
	return nil
}

func doneAt(o *Op, revision uint64) *Op {
	w := *o
	w.Said, w.Revision = Done, revision
	return &w
}

// did tells whether a request that is on record has changed something: that it was
// refused, or that there was nothing to change, is on record as well.
func did(r *store.Record) bool {
	return r != nil && r.Refusal == nil && (len(r.Names) > 0 || r.Op == string(Restore))
}

// gap notes revisions before the next one that no write has.
func (l *Ledger) gap(next uint64, complain func(string, ...any)) {
	if next > l.revision+1 {
		complain("revisions %d to %d were made, and nobody has asked for that", l.revision+1, next-1)
		l.revision = next - 1
	}
}

// apply makes one write, and complains if it could not be accepted.
func (l *Ledger) apply(o *Op, complain func(string, ...any)) {
	before := l.revision
	l.revision = o.Revision
	if o.Kind == Restore {
		l.docs = maps.Clone(o.Archive)
		return
	}
	was := l.docs[o.Doc]
	may, after := state{was, before}.step(o)
	if !may {
		complain("%s; it was %s", o, was)
	}
	if l.docs[o.Doc] = after.Doc; !after.There {
		delete(l.docs, o.Doc)
	}
}

// Differ compares what a node shows with what the writes made.
func (l *Ledger) Differ(where string, shown map[string]Doc) (found []string) {
	for _, path := range slices.Sorted(maps.Keys(l.docs)) {
		if shown[path] != l.docs[path] {
			found = append(found, fmt.Sprintf("%s: %s is %s, and was made %s", where, path, shown[path], l.docs[path]))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(shown)) {
		if !l.docs[path].There {
			found = append(found, fmt.Sprintf("%s: %s is %s, and nobody has made it, or it was deleted", where, path, shown[path]))
		}
	}
	return found
}

// Open is how many writes there are that nobody was told of, and that were not
// done.
func (l *Ledger) Open() int { return len(l.open) }
