package node

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/store"
)

// applied is the future of an entry that was committed.
type applied struct {
	raft.ApplyFuture
	response any
}

func (a applied) Response() any { return a.response }

// TestWhatTheStateMachineSaysReachesTheCaller: raft's future tells only that an
// entry was committed. Whether a command was accepted is in its response, and
// one that is missing is no acceptance.
func TestWhatTheStateMachineSaysReachesTheCaller(t *testing.T) {
	refused := applier.Result{Refusal: store.Errorf(store.CodeExists, "taken")}
	ask := func(response any, ended error) (got [2]settled) {
		batch := []*proposal{{done: make(chan settled, 1)}, {done: make(chan settled, 1)}}
		answer(batch, ended, applied{response: response})
		for i, p := range batch {
			got[i] = <-p.done
		}
		return got
	}
	got := ask(&fsm.Outcome{Index: 7, Results: []applier.Result{{Revision: 3}, refused}}, nil)
	if got[0].err != nil || got[0].index != 7 || got[0].result.Revision != 3 || got[0].result.Refusal != nil {
		t.Errorf("an accepted command: %+v", got[0])
	}
	if got[1].err != nil || got[1].index != 7 || got[1].result.Refusal != refused.Refusal {
		t.Errorf("a refused command: %+v", got[1])
	}
	for what, c := range map[string]struct {
		response any
		ended    error
		want     error
	}{
		"no response":              {nil, nil, store.ErrUnknown},
		"a stopped state machine":  {fsm.ErrStopped, nil, store.ErrUnknown},
		"a result too few":         {&fsm.Outcome{Results: []applier.Result{{}}}, nil, store.ErrUnknown},
		"leadership that was lost": {nil, raft.ErrLeadershipLost, store.ErrUnknown},
		"a node that does not lead": {
			&fsm.Outcome{Results: make([]applier.Result, 2)}, raft.ErrNotLeader, store.ErrUnavailable},
	} {
		for _, s := range ask(c.response, c.ended) {
			if !errors.Is(s.err, c.want) {
				t.Errorf("%s: %v, want %v", what, s.err, c.want)
			}
		}
	}
}
