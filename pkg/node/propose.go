package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/fsm"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// How commands become entries. Syncing the log costs the same for one command
// as for many, so those that arrive while earlier entries are on their way
// share the next one; no timer holds a command back.
const (
	entriesInFlight = 4
	batchBytes      = 256 << 10
	waitingCommands = 4096            // callers beyond these wait in Go's scheduler
	enqueueTimeout  = 2 * time.Second // for raft to take an entry; then it was certainly not proposed
)

// proposal is one command on its way into the log.
type proposal struct {
	command []byte
	charged uint64       // of the ledger
	done    chan settled // gets one value
}

// release says that commands which were charged are in the log, or never will be.
func (p *proposer) release(batch ...*proposal) {
	for _, pr := range batch {
		p.ledger.settled.Add(pr.charged)
	}
}

// settled is what became of a command.
type settled struct {
	index  uint64
	result applier.Result
	err    error // *store.Error: unavailable (certainly not proposed) or unknown_outcome
}

// proposer joins commands to log entries and hands them to raft, in the order
// of their times.
type proposer struct {
	running  func() *running
	now      func() time.Time
	charge   func(c *mutation.Command, size int) (uint64, error)
	before   func(c *mutation.Command) // is told of each command before it is proposed; may be nil
	ledger   *ledger
	queue    chan *proposal
	quit     chan struct{}
	ended    chan struct{} // closed when every command that was taken is answered
	pending  sync.WaitGroup
	inFlight inFlight

	mu   sync.Mutex
	last store.Time // of the newest command in the queue
}

func newProposer(n *Node) *proposer {
	return &proposer{running: n.running.Load, now: n.commandTime, charge: n.charge, before: n.cfg.before, ledger: &n.ledger,
		queue: make(chan *proposal, waitingCommands), quit: make(chan struct{}), ended: make(chan struct{})}
}

func (p *proposer) close() { close(p.quit) }

// time returns a time for a command that is being completed: the clock's (see commandTime), or
// just after the newest command's. Command time never falls, whatever the clock does.
func (p *proposer) time() store.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.next()
}

func (p *proposer) next() store.Time { return max(store.TimeOf(p.now()), p.last+1) }

// notBefore makes all later times greater than t: that of the newest command
// in the state, when a node begins to lead.
func (p *proposer) notBefore(t store.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = max(p.last, t)
}

// propose puts a command into the log and waits for its result. build completes
// it, for a time not before the one given; it is called again, with others kept
// waiting, when a later command was faster into the queue.
func (p *proposer) propose(ctx context.Context, build func(now store.Time) (*mutation.Command, error)) settled {
	pr := &proposal{done: make(chan settled, 1)}
	if err := p.enqueue(ctx, pr, build); err != nil {
		return settled{err: err}
	}
	select {
	case s := <-pr.done:
		return s
	case <-ctx.Done():
		return settled{err: unknownOutcome("the command was proposed, but its outcome is not known yet")}
	case <-p.ended:
	}
	select {
	case s := <-pr.done:
		return s
	default: // nobody took it from the queue
		return settled{err: notProposed("this node is stopping")}
	}
}

func (p *proposer) enqueue(ctx context.Context, pr *proposal, build func(store.Time) (*mutation.Command, error)) error {
	if ctx.Err() != nil {
		return notProposed(givenUp)
	}
	c, err := build(p.time())
	if err != nil {
		return err
	}
	if p.before != nil {
		p.before(c)
	}
	b := mutation.AppendCommand(nil, c)
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Time <= p.last {
		if c, err = build(p.next()); err != nil {
			return err
		}
		b = mutation.AppendCommand(b[:0], c)
	}
	if len(b) > mutation.MaxCommand {
		return store.Errorf(store.CodeInvalid, "the change is %d KiB, at most %d KiB fit into one command", len(b)>>10, mutation.MaxCommand>>10)
	}
	if err := mutation.Readable(b); err != nil { // committed, it would stop every node
		return store.Errorf(store.CodeInvalid, "the change cannot be carried by the log: %v", err)
	}
	if pr.charged, err = p.charge(c, len(b)); err != nil {
		return err
	}
	pr.command = b
	select {
	case p.queue <- pr:
		p.last = c.Time
		return nil
	case <-ctx.Done():
		err = notProposed("the leader is busy")
	case <-p.quit:
		err = notProposed("this node is stopping")
	}
	p.release(pr)
	return err
}

// run drains the queue until the proposer is closed. Then every command that
// waits is answered: it was not proposed.
func (p *proposer) run() {
	inFlight := make(chan struct{}, entriesInFlight)
	var left *proposal // did not fit into the last entry
	defer close(p.ended)
	for {
		batch := p.batch(left, inFlight)
		if batch == nil {
			break
		}
		left = nil
		if n := len(batch) - 1; n > 0 && size(batch) > batchBytes {
			batch, left = batch[:n], batch[n]
		}
		commands := make([][]byte, len(batch))
		for i, pr := range batch {
			commands[i] = pr.command
		}
		r, end := p.running(), p.inFlight.begin()
		future := r.raft.Apply(mutation.EncodeEntry(commands), enqueueTimeout)
		p.pending.Add(1)
		go func() {
			defer p.pending.Done()
			answer(batch, r.await(future.Error), future)
			end()
			p.release(batch...)
			<-inFlight
		}()
	}
	for {
		select {
		case pr := <-p.queue:
			pr.done <- settled{err: notProposed("this node is stopping")}
			p.release(pr)
		default:
			p.pending.Wait()
			return
		}
	}
}

// batch waits for room and for the first command, and takes with it those that
// are there already. Nil when the proposer is closed.
func (p *proposer) batch(left *proposal, inFlight chan struct{}) []*proposal {
	var batch []*proposal
	if left != nil {
		batch = append(batch, left)
	}
	select {
	case inFlight <- struct{}{}:
	case <-p.quit:
		for _, pr := range batch {
			pr.done <- settled{err: notProposed("this node is stopping")}
			p.release(pr)
		}
		return nil
	}
	if left == nil {
		select {
		case pr := <-p.queue:
			batch = append(batch, pr)
		case <-p.quit:
			return nil
		}
	}
	for len(batch) < mutation.MaxBatch && size(batch) <= batchBytes {
		select {
		case pr := <-p.queue:
			batch = append(batch, pr)
		default:
			return batch
		}
	}
	return batch
}

func size(batch []*proposal) (n int) {
	for _, pr := range batch {
		n += len(pr.command)
	}
	return n
}

// answer waits for an entry and tells each of its callers what became of it.
func answer(batch []*proposal, ended error, future raft.ApplyFuture) {
	err := classify(ended)
	var outcome *fsm.Outcome
	if err == nil {
		var ok bool
		if outcome, ok = future.Response().(*fsm.Outcome); !ok || len(outcome.Results) != len(batch) {
			err = unknownOutcome("the entry was committed, but this node has stopped before applying it")
		}
	}
	for i, pr := range batch {
		if err != nil {
			pr.done <- settled{err: err}
			continue
		}
		pr.done <- settled{index: outcome.Index, result: outcome.Results[i]}
	}
}

// classify tells what raft's error says of an entry: certainly not proposed, or
// nobody knows.
func classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrEnqueueTimeout):
		return errNotTaken
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return notProposed(err.Error())
	}
	return unknownOutcome(err.Error())
}

// errNotTaken is the answer when raft was too busy to take an entry.
var errNotTaken = notProposed(raft.ErrEnqueueTimeout.Error())

// level is the level of rules that the state is at.
func (n *Node) level() uint32 { return max(n.Image().Counters().Level, 1) }

const givenUp = "the caller has given up"

func notProposed(why string) *store.Error {
	return store.Errorf(store.CodeUnavailable, "%s%s", nothingChanged, why)
}

const nothingChanged = "nothing was changed: "

func unknownOutcome(why string) *store.Error {
	return store.Errorf(store.CodeUnknown, "it is not known whether the change was made: %s", why)
}
