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
	Chosen   *Survivor // gone on from instead of the best; nil: the best it is
	Why      string
	Voters   int            // of the last configuration that is known
	Missing  []Member       // voters of it of which there is no directory
	Majority bool           // directories of a majority of the voters are here that could start as they are: nothing needs to be recovered
	Lost     []Loss         // what the others hold and the one to go on from does not
	Unsure   int            // changes that this one holds and that were perhaps never acknowledged
	Differ   [][2]*Survivor // whole, with the same last entry and other states: one of each two is wrong
	Answers  []Answer       // nodes that run, of those that were asked
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
	here, starts := map[string]bool{}, map[string]bool{}
	for _, s := range o.All {
		here[s.NodeID] = true
		starts[s.NodeID] = starts[s.NodeID] || s.Starts()
	}
	able := 0
	for _, m := range o.Best.Members {
		if !m.Voter {
			continue
		}
		o.Voters++
		if starts[m.ID] {
			able++
		}
		if !here[m.ID] {
			o.Missing = append(o.Missing, m)
		}
	}
	o.Majority = able > o.Voters/2
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
	if slices.ContainsFunc(o.All, func(s *Survivor) bool { return s.later(b) }) {
		return fmt.Sprintf("of those that are whole its last entry is the latest (term %d, index %d)", b.LastTerm, b.LastIndex) + not
	}
	return fmt.Sprintf("its last entry is the latest (term %d, index %d), so it holds every acknowledged change that any of them holds", b.LastTerm, b.LastIndex) + not
}
