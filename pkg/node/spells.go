package node

import (
	"sync"
	"time"
)

// spells is for how long, without a break, members have been well or silent. Only
// a leader looks often enough to say, and only what it has seen itself counts: one
// that was elected a moment ago, or was not running for a while, knows nothing yet.
type spells struct {
	mu      sync.Mutex
	of      *leadership // by whom was looked
	began   time.Time   // when that began
	looked  time.Time   // when it looked last
	members map[string]spell
}

// spell is one member's; one of the two at most is not zero.
type spell struct{ well, silent time.Time }

// round notes what a leader has just seen: who answered, and who of them is well.
func (s *spells) round(l *leadership, now time.Time, all []Member, answered, well map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of != l || now.Sub(s.looked) > lostAfter {
		s.of, s.began, s.members = l, now, map[string]spell{}
	}
	s.looked = now
	next := map[string]spell{}
	for _, m := range all {
		is := s.members[m.ID]
		switch {
		case well[m.ID]:
			is = spell{well: since(is.well, now)}
		case answered[m.ID]:
			is = spell{}
		default:
			is = spell{silent: since(is.silent, now)}
		}
		next[m.ID] = is
	}
	s.members = next
}

func since(begun, now time.Time) time.Time {
	if begun.IsZero() {
		return now
	}
	return begun
}

// well is for how long a member has been, as far as this leader has seen.
func (s *spells) well(l *leadership, nodeID string) time.Duration {
	return s.span(l, func() time.Time { return s.members[nodeID].well })
}

// silent is for how long it has not answered.
func (s *spells) silent(l *leadership, nodeID string) time.Duration {
	return s.span(l, func() time.Time { return s.members[nodeID].silent })
}

// watching is for how long this leader has looked without a break.
func (s *spells) watching(l *leadership) time.Duration {
	return s.span(l, func() time.Time { return s.began })
}

// span ends with the last look: what came after it was not seen.
func (s *spells) span(l *leadership, begun func() time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := begun(); l != nil && s.of == l && !at.IsZero() {
		return s.looked.Sub(at)
	}
	return 0
}
