package node

import (
	"testing"

	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/store"
)

// A start that does not know how far the node had come waits for all that its
// log held, or for an entry of a later term, which comes after all of it.
func TestTheStateIsOldUntilTheLogOfTheStartIsApplied(t *testing.T) {
	for _, c := range []struct {
		fact        string
		index, term uint64 // of the state
		caughtUp    bool
	}{
		{"what the start had", 50, 3, false},
		{"more, of the term in which the log ends", 59, 3, false},
		{"all of the log", 60, 3, true},
		{"more than the log", 61, 3, true},
		{"as far as the start had it, which is all of the log", 60, 2, true},
		{"less, of a later term: the end of the log gave way", 55, 4, true},
	} {
		img, _ := store.NewImage().Begin().Freeze(c.index, c.term)
		n := &Node{fsm: fsm.New(fsm.Config{Image: img}), begun: 50}
		n.ends.index, n.ends.term = 60, 3
		if got := n.caughtUp(); got != c.caughtUp {
			t.Errorf("%s: %v, want %v", c.fact, got, c.caughtUp)
		}
	}
}
