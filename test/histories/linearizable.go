package histories

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is what came of a look for an order.
type Verdict int

const (
	Explained   Verdict = iota // there is an order
	Unexplained                // there is none: the document was not linearizable
	Undecided                  // time was over
)

func (v Verdict) String() string {
	return [...]string{"explained", "not linearizable", "not decided"}[v]
}

// Linearizable looks for an order of operations on one document, as ByDocument
// gives them, that explains every answer. It gives up after the patience.
func Linearizable(ops []*Op, patience time.Duration) Verdict {
	switch porcupine.CheckOperationsTimeout(model, operations(ops), patience) {
	case porcupine.Ok:
		return Explained
	case porcupine.Illegal:
		return Unexplained
	}
	return Undecided
}

// ByDocument takes a history apart: what one document has to explain. A restore
// is an operation on every document. What says nothing is left out: reads that
// need not be the newest, and what was certainly not done.
func ByDocument(ops []*Op) map[string][]*Op {
	docs := map[string][]*Op{}
	var restores []*Op
	for _, o := range ops {
		switch {
		case o.Kind == Restore && o.Said != Unavailable && o.Said != Conflict:
			restores = append(restores, o)
		case o.Kind == Read && (o.Mode != Newest || o.Said == Unknown), o.Said == Unavailable:
		case o.Said == Conflict && o.If == 0: // it met too many others, and gave up
		case o.Doc != "":
			docs[o.Doc] = append(docs[o.Doc], o)
		}
	}
	for doc := range docs {
		for _, r := range restores {
			of := *r
			of.Doc, of.Found = doc, r.Archive[doc]
			docs[doc] = append(docs[doc], &of)
		}
	}
	for _, d := range slices.Collect(maps.Values(docs)) {
		slices.SortStableFunc(d, func(a, b *Op) int { return cmp.Compare(a.Call, b.Call) })
	}
	return docs
}

// operations is a history in porcupine's words. In its picture every operation
// needs a line that is free at the time, also those that are open for ever.
func operations(ops []*Op) []porcupine.Operation {
	out := make([]porcupine.Operation, 0, len(ops))
	var free []int64 // when each line is
	for _, o := range ops {
		from, to := int64(o.Call), int64(o.Return)
		if o.Said == Unknown {
			to = math.MaxInt64
		}
		line := slices.IndexFunc(free, func(at int64) bool { return at < from })
		if line < 0 {
			line = len(free)
			free = append(free, 0)
		}
		free[line] = to
		out = append(out, porcupine.Operation{ClientId: line, Input: o, Call: from, Output: o, Return: to})
	}
	return out
}
