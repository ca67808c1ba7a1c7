package fsm

import (
	"sync"

	"github.com/cpctl/cpctl/pkg/store"
)

// pastLength is how many log indexes back a state can still be compared with
// that of another node. Nodes are milliseconds apart.
const pastLength = 1024

// past remembers the sums of the states behind the last entries, each in the
// place of its index: what another node says of an index is found at once, also
// of one within a batch, and batches are each node's own.
type past struct {
	mu sync.Mutex
	at [pastLength]moment
}

type moment struct {
	index uint64 // 0: none
	sum   store.StateSum
}

// note costs a copy: it is on the way of every entry.
func (p *past) note(index uint64, sum store.StateSum) {
	p.mu.Lock()
	p.at[index%pastLength] = moment{index, sum}
	p.mu.Unlock()
}

// restart forgets the states before another one that did not come of them.
func (p *past) restart(img *store.Image) {
	p.mu.Lock()
	p.at = [pastLength]moment{}
	p.mu.Unlock()
	p.note(img.Index, img.StateSum())
}

// DigestAt returns the digest of the state that this node had at a log index, if
// the index is that of a recent entry and has come.
func (f *FSM) DigestAt(index uint64) (string, bool) {
	p := &f.past
	p.mu.Lock()
	m := p.at[index%pastLength]
	p.mu.Unlock()
	if index == 0 || m.index != index {
		return "", false
	}
	return m.sum.String(), true
}
