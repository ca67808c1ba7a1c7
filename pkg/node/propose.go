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
	time    store.Time
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
	*queue
	running  func() *running
	charge   func(c *mutation.Command, size int) (uint64, error)
	before   func(c *mutation.Command) // is told of each command before it is proposed; may be nil
	ledger   *ledger
	quit     chan struct{}
	ended    chan struct{} // closed when every command that was taken is answered
	pending  sync.WaitGroup
	inFlight inFlight
}

func newProposer(n *Node) *proposer {
	return &proposer{queue: newQueue(func() store.Time { return store.TimeOf(n.commandTime()) }),
		running: n.running.Load, charge: n.charge, before: n.cfg.before, ledger: &n.ledger,
		quit: make(chan struct{}), ended: make(chan struct{})}
}

func (p *proposer) close() { close(p.quit) }

// propose puts a command into the log and waits for its result. build completes it
// for the time given; it is called again when a later command was faster into the
// log.
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
	var c *mutation.Command
	complete := func(now store.Time) (err error) {
		if c, err = build(now); err != nil {
			return err
		}
		return pr.carry(c)
	}
	if err := complete(p.time()); err != nil {
		return err
	}
	if p.before != nil {
		p.before(c)
	}
	select {
	case p.room <- struct{}{}:
	case <-ctx.Done():
		return notProposed("the leader is busy")
	case <-p.quit:
		return notProposed("this node is stopping")
	}
	admit := func() (err error) {
		pr.charged, err = p.charge(c, len(pr.command))
		return err
	}
	late, err := p.put(pr, admit)
	for tries := 0; late && err == nil; tries++ {
		if tries == lateTries {
			late, err = false, p.putLast(pr, complete, admit)
		} else if err = complete(p.time()); err == nil {
			late, err = p.put(pr, admit)
		}
	}
	if err != nil {
		<-p.room
	}
	return err
}

// lateTries is how often a command is completed anew beside others before they wait
// for it.
const lateTries = 2

// carry takes the bytes of a completed command, if the log can carry them.
func (pr *proposal) carry(c *mutation.Command) error {
	b := mutation.AppendCommand(pr.command[:0], c)
	if len(b) > mutation.MaxCommand {
		return store.Errorf(store.CodeInvalid, "the change is %d KiB, at most %d KiB fit into one command", len(b)>>10, mutation.MaxCommand>>10)
	}
	if err := mutation.Readable(b); err != nil { // committed, it would stop every node
		return store.Errorf(store.CodeInvalid, "the change cannot be carried by the log: %v", err)
	}
	pr.command, pr.time = b, c.Time
	return nil
}

// run takes commands from the queue until the proposer is closed. Then every command
// that waits is answered: it was not proposed.
func (p *proposer) run() {
	inFlight := make(chan struct{}, entriesInFlight)
	defer close(p.ended)
	for batch := p.batch(inFlight); batch != nil; batch = p.batch(inFlight) {
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
	p.refuse(p.hold(), notProposed("this node is stopping"))
	p.pending.Wait()
}

// refuse answers commands that were not proposed.
func (p *proposer) refuse(waited []*proposal, err error) {
	for _, pr := range waited {
		pr.done <- settled{err: err}
		p.release(pr)
	}
}

// batch waits for room in the log and for the first command, and takes with it
// those that are there already. Nil when the proposer is closed.
func (p *proposer) batch(inFlight chan struct{}) []*proposal {
	select {
	case inFlight <- struct{}{}:
	case <-p.quit:
		return nil
	}
	for {
		select {
		case <-p.some:
		case <-p.quit:
			return nil
		}
		if batch := p.take(); batch != nil {
			return batch
		}
	}
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
