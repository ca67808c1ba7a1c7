package node

import (
	"fmt"
	"strings"
	"time"
)

// quorum is the arithmetic of a removal: who would be left to vote, and who of
// them answers.
type quorum struct {
	without string // the member that would be gone
	there   bool   // which answers
	now     int    // voters
	answer  []string
	silent  []string
}

// after is how many voters would be left.
func (q *quorum) after() int { return len(q.answer) + len(q.silent) }

// needed is how many of them decide.
func (q *quorum) needed() int { return q.after()/2 + 1 }

// holds reports whether those that answer could decide.
func (q *quorum) holds() bool { return len(q.answer) >= q.needed() }

// canLose is how many more of them may fail.
func (q *quorum) canLose() int { return max(len(q.answer)-q.needed(), 0) }

// String is the arithmetic in words: "there are 3 voters; without node "n3" there
// would be 2, of which 1 answers (n1) and 1 does not (n2), and 2 are needed to decide".
func (q *quorum) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "there %s; without node %q there would be %d", tally(q.now, "is 1 voter", "are %d voters"), q.without, q.after())
	fmt.Fprintf(&b, ", of which %s", tally(len(q.answer), "1 answers", "%d answer"))
	if len(q.answer) > 0 {
		fmt.Fprintf(&b, " (%s)", strings.Join(q.answer, ", "))
	}
	if len(q.silent) > 0 {
		fmt.Fprintf(&b, " and %s (%s)", tally(len(q.silent), "1 does not", "%d do not"), strings.Join(q.silent, ", "))
	}
	fmt.Fprintf(&b, ", and %s needed to decide", tally(q.needed(), "1 is", "%d are"))
	return b.String()
}

func tally(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, n)
}

// quorumWithout counts who would be left without a member. It asks them all: a
// leader of a moment ago has heard nobody yet, and one that was heard a moment
// ago may be gone.
func (n *Node) quorumWithout(all []Member, gone Member) *quorum {
	const rounds = 3 // for those that were heard a moment ago, and are only slow
	answered := map[string]bool{n.self.NodeID: true}
	for range rounds {
		began := time.Now()
		if n.cfg.Probe != nil {
			n.probeAll()
		}
		slow := false
		for _, m := range all {
			p, ok := n.peers.state(m.ID)
			answered[m.ID] = answered[m.ID] || ok && !p.Seen.Before(began)
			slow = slow || !answered[m.ID] && ok && p.fresh() && m.Voter && m.ID != gone.ID
		}
		if !slow {
			break
		}
	}
	q := &quorum{without: nameOf(gone), there: answered[gone.ID]}
	for _, m := range all {
		switch {
		case !m.Voter:
			continue
		case m.ID == gone.ID:
		case answered[m.ID]:
			q.answer = append(q.answer, nameOf(m))
		default:
			q.silent = append(q.silent, nameOf(m))
		}
		q.now++
	}
	return q
}

// nameOf is how an operator knows a member: of one that is not on record yet
// there is only the id.
func nameOf(m Member) string {
	if m.Name == "" {
		return m.ID
	}
	return m.Name
}
