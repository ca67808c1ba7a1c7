package histories

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// state is what a document is between two operations. No write that follows has
// a revision that is not higher than last.
type state struct {
	Doc
	last uint64
}

// model is one document. An operation that nobody was told of takes effect if
// it may, wherever it is put; it never has to be put before anything that was
// answered later, so that one that never took effect is put at the end.
var model = porcupine.Model{
	Init: func() any { return state{} },
	Step: func(s, in, _ any) (bool, any) { return s.(state).step(in.(*Op)) },
	DescribeOperation: func(in, _ any) string {
		return in.(*Op).String()
	},
	DescribeState: func(s any) string {
		return fmt.Sprintf("%s, revisions up to %d are taken", s.(state).Doc, s.(state).last)
	},
}

// step says whether the document can give this answer, and what it is then.
func (s state) step(o *Op) (bool, state) {
	if o.Kind == Read {
		return s.reads(o)
	}
	expected := o.If == 0 || o.If == s.Revision
	switch o.Said {
	case Exists:
		return o.Kind == Create && s.There, s
	case NotFound:
		return (o.Kind == Update || o.Kind == Delete) && !s.There, s
	case Conflict:
		return s.There && !expected, s
	case Unchanged:
		if o.Kind == Restore {
			return s.shows(o.Found)
		}
		return o.Kind == Update && s.There && expected && s.Value == o.Value, s
	}
	may := true
	after := state{Doc{There: true, Revision: o.Revision, Value: o.Value}, max(s.last, o.Revision)}
	switch o.Kind {
	case Create:
		may = !s.There
	case Update:
		may = s.There && expected && s.Value != o.Value
	case Delete:
		may = s.There && expected
		after.Doc = Doc{}
	case Rotate:
		after.Keys = max(s.Keys+1, 2) // the first makes an active one and the next
	case Restore:
		after.Doc = o.Found
	}
	if o.Said == Unknown {
		if !may { // refused, or nothing to change
			return true, s
		}
		return true, after
	}
	return may && o.Revision > s.last, after
}

// reads is step for a read.
func (s state) reads(o *Op) (bool, state) {
	if o.Said == NotFound {
		return !s.There, s
	}
	return s.shows(o.Found)
}

// shows says whether the document can be shown as this. Whoever sees what nobody
// was told of learns its revision.
func (s state) shows(d Doc) (bool, state) {
	if s.There && s.Revision == 0 && d.Revision > s.last {
		s.Revision, s.last = d.Revision, d.Revision
	}
	return s.Doc == d, s
}
