package node

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// leadership is one time of leading, from winning an election until losing it.
type leadership struct {
	ready chan struct{} // closed once the epoch entry is applied: everything before is, too
	over  chan struct{} // closed when it ends
}

// actorSystem is the actor of commands that no operator asked for.
const actorSystem = "system"

// leading returns once this node leads and has applied an entry of its own
// term. It does not wait for an election: another node may win it.
func (n *Node) leading(ctx context.Context) (*leadership, error) {
	l := n.lead.Load()
	if l == nil {
		return nil, ErrNotLeader
	}
	if n.Drifted() != nil { // what it would decide is decided from a wrong state
		return nil, errDrifted
	}
	select {
	case <-l.ready:
		return l, nil
	default:
	}
	select {
	case <-l.ready:
		return l, nil
	case <-l.over:
		return nil, ErrNotLeader
	case <-ctx.Done():
		return nil, store.Errorf(store.CodeUnavailable, "node %s was just elected and is not ready yet", n.self.Name)
	}
}

// ErrNotLeader is the answer of a node that cannot decide: nothing was
// proposed, and another node may be asked.
var ErrNotLeader = store.Errorf(store.CodeUnavailable, "this node is not the leader")

// errDrifted is the answer of a leader that is about to hand over.
var errDrifted = store.Errorf(store.CodeUnavailable, "the state of the leader is not that of the majority; another node is about to lead")

// follow turns raft's notes of leadership into epochs. Raft waits for nobody
// who reads them slowly: the channel is deep, and nothing here blocks.
func (n *Node) follow(birth *founding) {
	for {
		select {
		case leads := <-n.notes:
			if old := n.lead.Swap(nil); old != nil {
				close(old.over)
			}
			n.proposer.refuse(n.proposer.hold(), errLeadsNoLonger)
			if leads {
				l := &leadership{ready: make(chan struct{}), over: make(chan struct{})}
				n.lead.Store(l)
				n.goRun(func() { n.begin(l, birth) })
			}
		case <-n.closing:
			if old := n.lead.Swap(nil); old != nil {
				close(old.over)
			}
			return
		}
	}
}

// begin writes the epoch entry: once it is applied, everything that earlier
// leaders committed is applied as well. The founder puts the cluster on record
// in the same entry's command.
func (n *Node) begin(l *leadership, birth *founding) {
	if birth == nil {
		n.hearTheTime(l)
	}
	for {
		err := n.epoch(birth)
		if err == nil {
			break
		}
		n.cfg.Log.Warn("the first entry of this term was not committed", "error", err)
		select {
		case <-l.over:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
	n.proposer.open(n.Image().Counters().Time)
	close(l.ready)
	select {
	case n.look <- struct{}{}: // what it knew of the others' disks as a follower is older than the last leader's writes
	default:
	}
	n.cfg.Log.Info("this node leads", "term", n.raft().CurrentTerm())
	if n.self.Phase == phaseFounding {
		if err := n.dir.founded(n.self); err != nil {
			n.cfg.Log.Error("the founding could not be noted", "error", err)
		}
	}
	n.tend(l)
}

// hearTheTime asks the voters for their clocks before the first command of a leader
// that has heard too few: command time never falls, so that one that is years ahead
// would count for ever. Who can commit is heard soon; a voter that takes entries
// and does not say how it is holds this up no longer than clockPatience.
func (n *Node) hearTheTime(l *leadership) {
	for until := time.Now().Add(clockPatience); n.unjudged() && time.Now().Before(until); {
		n.askAround()
		if !n.unjudged() {
			return
		}
		select {
		case <-l.over:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// clockPatience is how long a new leader waits for the clocks of a majority.
const clockPatience = 2 * time.Second

func (n *Node) epoch(birth *founding) error {
	payload, err := json.Marshal(mutation.Epoch{Node: n.self.NodeID, Term: n.raft().CurrentTerm()})
	if err != nil {
		return err
	}
	c := &mutation.Command{Op: string(mutation.SysEpoch), Actor: actorSystem, Level: n.level(),
		Time:      max(store.TimeOf(n.commandTime()), n.Image().Counters().Time+1),
		Mutations: []mutation.Mutation{{Kind: mutation.SysEpoch, Payload: payload}}}
	if birth != nil && n.Image().Get(applier.ClusterPath) == nil {
		first, err := birth.mutations()
		if err != nil {
			return err
		}
		c.Mutations = append(first, c.Mutations...)
	}
	r := n.running.Load()
	future := r.raft.Apply(mutation.EncodeEntry([][]byte{mutation.AppendCommand(nil, c)}), enqueueTimeout)
	if err := r.await(future.Error); err != nil {
		return err
	}
	if o, ok := future.Response().(*fsm.Outcome); !ok {
		return fsm.ErrStopped
	} else if refusal := o.Results[0].Refusal; refusal != nil {
		return refusal
	}
	return nil
}

// system proposes a command of the cluster's own and returns its result.
func (n *Node) system(ctx context.Context, id, actor string, ms ...mutation.Mutation) (applier.Result, uint64, error) {
	s := n.proposer.propose(ctx, func(now store.Time) (*mutation.Command, error) {
		return &mutation.Command{ID: id, Op: string(ms[0].Kind), Actor: actor, Time: now, Level: n.level(), Mutations: ms}, nil
	})
	if s.err != nil {
		return applier.Result{}, 0, s.err
	}
	if s.result.Refusal != nil {
		return s.result, s.index, s.result.Refusal
	}
	return s.result, s.index, nil
}

// tend does a leader's chores until its leadership ends.
func (n *Node) tend(l *leadership) {
	tick := time.NewTicker(chores)
	defer tick.Stop()
	var failed time.Time // when retiring keys were last refused
	var again reluctance
	for {
		select {
		case <-l.over:
			return
		case <-tick.C:
		}
		if n.raft().State() != raft.Leader {
			continue
		}
		if n.Drifted() != nil {
			n.yield(&again)
			continue
		}
		if time.Since(failed) > retireBackoff && !n.retireKeys(l) {
			failed = time.Now()
		}
		n.finishRemovals()
		n.dropForsaken()
		n.promote()
		n.removeLost(l)
		n.succeed()
		n.yield(&again)
	}
}

// chores is how often the leader looks for keys whose time is over, members to
// promote, and whether another node should lead.
const (
	chores        = 250 * time.Millisecond
	retireBackoff = 5 * time.Second
)
