package node

import (
	"cmp"
	"slices"
)

// Loss is a part of a log that a recovery would leave out.
type Loss struct {
	Of       *Survivor
	From, To uint64
	// Acknowledged: somebody was told that this had been done. Else it never was
	// committed, or cannot be known to have been.
	Acknowledged bool
	Never        bool // it never was committed
}

// Choose takes another than the best, and finds anew what that would cost.
func (o *Outlook) Choose(s *Survivor) {
	if s == o.Best || s.Begun != 0 {
		return
	}
	o.Chosen, o.Lost, o.Unsure = s, nil, 0
	for _, other := range o.All {
		o.compare(other)
	}
}

// From is the one to go on from.
func (o *Outlook) From() *Survivor { return cmp.Or(o.Chosen, o.Best) }

// compare finds what a directory holds and the one to go on from does not.
func (o *Outlook) compare(s *Survivor) {
	from := o.From()
	if s.raft == nil {
		return
	}
	lacks, apart := from.lacks(s)
	acknowledged := uint64(0) // up to which what it lacks was
	switch shown := max(s.Shown, s.Snapshot); {
	case shown > from.LastIndex:
		first := from.LastIndex + 1
		if apart {
			first = min(first, lacks.index)
		}
		acknowledged = shown
		if s.Image != nil && s.raft.has(from.LastIndex, from.LastTerm) {
			from.committed = from.LastIndex
		}
		o.Lost = append(o.Lost, Loss{Of: s, From: first, To: shown, Acknowledged: true})
	case s.Shown > 0 && from.raft.has(s.Shown, s.raft.shown.Term):
		from.committed = max(from.committed, s.Shown)
	case s.Shown > 0: // what it has there is another entry
		first := s.Shown
		if apart {
			first = min(first, lacks.index)
		}
		acknowledged = s.Shown
		o.Lost = append(o.Lost, Loss{Of: s, From: first, To: s.Shown, Acknowledged: true})
	}
	from.committed = max(from.committed, min(s.Snapshot, from.LastIndex))
	o.Unsure = from.unsure(from.committed)
	if !apart {
		return
	}
	// Every later log that is here has what was committed before it. The best is the
	// latest of the whole ones only.
	never := !s.later(from) || !s.later(o.Best) && s != o.Best && !o.Best.raft.has(lacks.index, lacks.term)
	if l := (Loss{Of: s, From: max(lacks.index, acknowledged+1), To: s.LastIndex, Never: never}); l.From <= l.To {
		o.Lost = append(o.Lost, l)
	}
}

// lacks is the first entry of another log that this one does not have.
func (s *Survivor) lacks(other *Survivor) (first entryMark, found bool) {
	if s == other || other.Image == nil {
		return first, false
	}
	for _, e := range other.raft.entries {
		if !s.raft.has(e.index, e.term) {
			return e, true
		}
	}
	return first, false
}

// later reports whether the last entry is a later one than another's.
func (s *Survivor) later(than *Survivor) bool {
	return cmp.Or(cmp.Compare(s.LastTerm, than.LastTerm), cmp.Compare(s.LastIndex, than.LastIndex)) > 0
}

// Costs reports whether something would be lost that was acknowledged.
func (o *Outlook) Costs() bool {
	return slices.ContainsFunc(o.Lost, func(l Loss) bool { return l.Acknowledged })
}

// unsure counts the changes behind an index that is known to be committed.
func (s *Survivor) unsure(committed uint64) (count int) {
	for _, e := range s.raft.entries {
		if e.command && e.index > committed {
			count++
		}
	}
	return count
}
