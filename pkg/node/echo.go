package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/store"
)

// electorate asks the voters whether this node still leads. An answer counts if its
// voter was asked after the round began. raft's VerifyLeader counts every answer
// that comes in: a leader that stood still while another one was elected, or whose
// line did, finds answers to what it sent before, and would believe them.
type electorate struct {
	ask func(s raft.Server, term uint64) error // nil: the voter was in this term when it was asked, and follows

	mu     sync.Mutex
	voters map[raft.ServerID]*confirmer // one call to a voter at a time
}

// echoWait bounds one call to a voter. One that takes longer goes on, and the
// next is made beside it: its connection may have been lost without a word.
const echoWait = time.Second

// errLater is the answer of a voter that knows of a later term.
var errLater = errors.New("a voter is in a later term")

// askAgain is how long a round waits before it asks a voter again that could not
// be asked: connections that were lost are made anew.
const askAgain = 20 * time.Millisecond

// lookAgain is how often a round that waits looks whether it asks the right ones.
const lookAgain = 100 * time.Millisecond

// errOthers ends a round whose voters are no longer those of the cluster.
var errOthers error = store.Errorf(store.CodeUnavailable, "the members changed while leadership was confirmed")

// confirm returns nil once a majority, with this node, has answered as it should.
// It gives up when a majority knows better, or when over is closed: a leader that
// reaches no majority soon leads no longer. It also does when others are asked by
// then: who was removed meanwhile never answers. Nil for others: they stay the same.
func (e *electorate) confirm(self raft.ServerID, servers []raft.Server, term uint64, over <-chan struct{}, others func() bool) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	answers := make(chan error)
	voters, left, missing := 0, 0, 0
	for _, s := range servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if s.ID == self {
			continue
		}
		left++
		go func() {
			err := e.answer(ctx, s, term)
			select {
			case answers <- err:
			case <-ctx.Done():
			}
		}()
	}
	missing = voters/2 + 1 - (voters - left)
	var last error
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for missing > 0 {
		if left < missing {
			return store.Errorf(store.CodeUnavailable, "too few voters confirm that this node leads: %v", last)
		}
		select {
		case err := <-answers:
			if left--; err == nil {
				missing--
			} else {
				last = err
			}
		case <-tick.C:
			if others != nil && others() {
				return errOthers
			}
		case <-over:
			return ErrNotLeader
		}
	}
	return nil
}

// answer is what a voter says, asked until it says something.
func (e *electorate) answer(ctx context.Context, s raft.Server, term uint64) error {
	for {
		round := e.voter(s.ID).enter(func() (uint64, error) { return 0, e.ask(s, term) })
		select {
		case <-round.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if round.err == nil || errors.Is(round.err, errLater) {
			return round.err
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// voter is the calls to one voter.
func (e *electorate) voter(id raft.ServerID) *confirmer {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.voters == nil {
		e.voters = map[raft.ServerID]*confirmer{}
	}
	if e.voters[id] == nil {
		e.voters[id] = new(confirmer)
	}
	return e.voters[id]
}

// echo sends a voter what raft sends it all the time, as the leader of a term that
// this node has led, and wants the answer of a follower in that term: it has voted
// for nobody in a later one.
func (t *transport) echo(self raft.ServerID, s raft.Server, term uint64) error {
	from := t.EncodePeer(self, t.LocalAddr())
	req := raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(self), Addr: from}, Term: term}
	answered := make(chan error, 1)
	go func() {
		var resp raft.AppendEntriesResponse
		err := t.AppendEntries(s.ID, s.Address, &req, &resp)
		if err == nil && (!resp.Success || resp.Term != term) {
			err = fmt.Errorf("%w: %d, and not %d", errLater, resp.Term, term)
		}
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case <-time.After(echoWait):
		return fmt.Errorf("no answer within %s", echoWait)
	}
}
