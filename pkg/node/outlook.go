package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Outlook is what can be made of the directories that are left of a cluster.
//
// An acknowledged change is in the log of a majority. Of all logs that are left,
// the one whose last entry has the highest term, and of these the one that goes
// furthest, holds every committed entry that any of the others holds: a leader of
// a later term had all of them, or it would not have been elected, and a log has
// what its leader had up to there. So that one is the best, provided that it is
// whole. How far a node has shown its state says less: it lags behind its log.
type Outlook struct {
	All      []*Survivor
	Best     *Survivor // nil: none of them is whole
	Why      string
	Voters   int            // of the last configuration that is known
	Missing  []Member       // voters of it of which there is no directory
	Majority bool           // whole directories of a majority of the voters are here: nothing needs to be recovered
	Lost     []Loss         // what the others hold and the best does not
	Unsure   int            // changes that the best holds and that were perhaps never acknowledged
	Differ   [][2]*Survivor // whole, with the same last entry and other states: one of each two is wrong
	Answers  []Answer       // nodes that run, of those that were asked
}

// Loss is a part of a log that a recovery from the best would leave out.
type Loss struct {
	Of       *Survivor
	From, To uint64
	// Acknowledged: somebody was told that this had been done. Else it never was
	// committed, or cannot be known to have been.
	Acknowledged bool
	Never        bool // it never was committed
}

// Judge looks for the best of the directories. It refuses directories that are
// not of one cluster, or not of one generation of it.
func Judge(all []*Survivor) (*Outlook, error) {
	if err := begunOnce(all); err != nil {
		return nil, err
	}
	if err := ofOneCluster(all); err != nil {
		return nil, err
	}
	o := &Outlook{All: all}
	for _, s := range all {
		if s.Begun != 0 { // what it was is decided
			o.Best, o.Why = s, fmt.Sprintf("its recovery as generation %d was begun and has to be finished", s.Begun)
			return o, nil
		}
	}
	ranked := slices.SortedStableFunc(slices.Values(all), func(a, b *Survivor) int {
		return cmp.Or(-cmp.Compare(a.LastTerm, b.LastTerm), -cmp.Compare(a.LastIndex, b.LastIndex), -votes(a, b), -cmp.Compare(a.Shown, b.Shown))
	})
	for _, s := range ranked {
		if s.Whole() {
			o.Best = s
			break
		}
	}
	if o.Best == nil {
		return o, nil
	}
	o.count()
	o.Differ = differing(ranked)
	for _, s := range all {
		o.compare(s)
	}
	o.Why = o.reason()
	return o, nil
}

func votes(a, b *Survivor) int {
	switch {
	case a.Votes() == b.Votes():
		return 0
	case a.Votes():
		return 1
	}
	return -1
}

// count finds who is here of the voters.
func (o *Outlook) count() {
	here, whole := map[string]bool{}, map[string]bool{}
	for _, s := range o.All {
		here[s.NodeID] = true
		whole[s.NodeID] = whole[s.NodeID] || s.Whole()
	}
	able := 0
	for _, m := range o.Best.Members {
		if !m.Voter {
			continue
		}
		o.Voters++
		if whole[m.ID] {
			able++
		}
		if !here[m.ID] {
			o.Missing = append(o.Missing, m)
		}
	}
	o.Majority = able > o.Voters/2
}

// compare finds what a directory holds and the best does not.
func (o *Outlook) compare(s *Survivor) {
	best := o.Best
	if s.raft == nil {
		return
	}
	switch shown := max(s.Shown, s.Snapshot); {
	case shown > best.LastIndex:
		o.Lost = append(o.Lost, Loss{Of: s, From: best.LastIndex + 1, To: shown, Acknowledged: true})
	case s.Shown > 0 && best.raft.has(s.Shown, s.raft.shown.Term):
		best.committed = max(best.committed, s.Shown)
	case s.Shown > 0: // what it has there is another entry
		o.Lost = append(o.Lost, Loss{Of: s, From: s.Shown, To: s.Shown, Acknowledged: true})
	}
	best.committed = max(best.committed, min(s.Snapshot, best.LastIndex))
	o.Unsure = best.unsure(best.committed)
	if s == best || s.Image == nil {
		return
	}
	for _, e := range s.raft.entries {
		if best.raft.has(e.index, e.term) {
			continue
		}
		// Every later log that is here has what was committed before it.
		never := cmp.Or(cmp.Compare(best.LastTerm, s.LastTerm), cmp.Compare(best.LastIndex, s.LastIndex)) >= 0
		if l := (Loss{Of: s, From: max(e.index, o.lostTo(s)+1), To: s.LastIndex, Never: never}); l.From <= l.To {
			o.Lost = append(o.Lost, l)
		}
		return
	}
}

// lostTo is how far what is lost of a directory was acknowledged.
func (o *Outlook) lostTo(s *Survivor) uint64 {
	for _, l := range o.Lost {
		if l.Of == s && l.Acknowledged {
			return l.To
		}
	}
	return 0
}

// reason says why the best is the best.
func (o *Outlook) reason() string {
	b := o.Best
	var damaged []string
	alone, same := true, true
	for _, s := range o.All {
		if s == b {
			continue
		}
		if !s.Whole() {
			damaged = append(damaged, cmp.Or(s.Name, s.Dir))
			continue
		}
		alone = false
		same = same && s.LastTerm == b.LastTerm && s.LastIndex == b.LastIndex
	}
	not := ""
	if len(damaged) > 0 {
		not = "; " + strings.Join(damaged, " and ") + " cannot be used"
	}
	switch {
	case alone && len(damaged) == 0:
		return "it is the only one"
	case alone:
		return "it is the only one that is whole" + not
	case same && len(o.Differ) > 0:
		return fmt.Sprintf("all that are whole end at the same entry (term %d, index %d), and their states differ: it may be the wrong one", b.LastTerm, b.LastIndex) + not
	case same:
		return fmt.Sprintf("all that are whole end at the same entry (term %d, index %d)", b.LastTerm, b.LastIndex) + not
	}
	return fmt.Sprintf("its last entry is the latest (term %d, index %d), so it holds every acknowledged change that any of them holds", b.LastTerm, b.LastIndex) + not
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
