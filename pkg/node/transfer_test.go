package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// transfer asks whoever leads, as package rpc does, until that is settled.
func (c *trio) transfer(req TransferRequest) (*Transferred, error) {
	c.t.Helper()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		t, err := c.leader().Transfer(ctx, req, access.Local("0"))
		cancel()
		if !errors.Is(err, store.ErrUnavailable) {
			return t, err
		}
	}
}

// others are the nodes that do not lead, sorted by name.
func (c *trio) others() (out []*Node) {
	leader := c.leader()
	for _, n := range c.running() {
		if n != leader {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *Node) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

func TestLeadershipGoesToTheVoterThatWasNamed(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	was, to := c.leader(), c.others()[0]
	term := was.Image().Term
	moved, err := c.transfer(TransferRequest{Name: to.Name()})
	if err != nil {
		t.Fatal(err)
	}
	if !moved.Changed || moved.From != was.Name() || moved.Leader != to.Name() || moved.Term <= term || was.Image().Term != moved.Term || was.Image().Index < moved.Index {
		t.Errorf("got %+v, term %d before, %d now", moved, term, was.Image().Term)
	}
	if got := c.leader(); got != to {
		t.Errorf("%s leads", got.Name())
	}
	c.must(tenantNamed("globex"))
	for what, req := range map[string]TransferRequest{
		"who leads already":                      {Name: to.Name()},
		"by its id":                              {Name: to.ID()},
		"away from who no longer leads, a retry": {From: was.Name()},
		"to who leads since the attempt before":  {From: was.Name(), Name: to.Name()},
	} {
		again, err := c.transfer(req)
		if changed := req.From != ""; err != nil || again.Changed != changed || again.Leader != to.Name() || again.Term != moved.Term {
			t.Errorf("%s: %+v, %v", what, again, err)
		}
	}
	third := c.others()[0]
	if third == was {
		third = c.others()[1]
	}
	if _, err := c.transfer(TransferRequest{From: was.Name(), Name: third.Name()}); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), fmt.Sprintf("node %q leads by now", to.Name())) {
		t.Errorf("from who led before, to a third one: %v", err)
	}
	if got := c.leader(); got != to {
		t.Errorf("%s leads after that", got.Name())
	}
}

func TestWhoCannotLeadIsNotHandedLeadership(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.quiet["n4"], c.dirs["n4"] = true, filepath.Join(filepath.Dir(c.dirs["n1"]), "n4")
	c.open("n4", true)
	c.until("n4 is a member", func() error {
		if got := len(c.leader().Members()); got != 4 {
			return fmt.Errorf("%d members", got)
		}
		return nil
	})
	leader := c.leader()
	poor, good := c.others()[0], c.others()[1] // n4 comes last
	refused := func(what, name string, code error, words string) {
		t.Helper()
		_, err := c.transfer(TransferRequest{Name: name})
		if !errors.Is(err, code) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %v with %q", what, err, code, words)
		}
		if got := c.leader(); got != leader {
			t.Fatalf("%s: %s leads now", what, got.Name())
		}
	}
	refused("a stranger", "n9", store.ErrNotFound, `node "n9" is not a member`)
	refused("no voter", "n4", store.ErrRefused, `node "n4" cannot lead: it has no vote`)
	for _, lie := range []struct {
		what, words string
		change      func(*Progress)
	}{
		{"files that cannot be written", "degraded: its files cannot be written (io_error)", func(p *Progress) { p.Degraded, p.Reason = true, "io_error" }},
		{"no key", "does not have the cluster key", func(p *Progress) { p.KeyCheck, p.KeyChecks = "", nil }},
		{"a certificate that has expired", "certificate_expired", func(p *Progress) { p.Standing = "certificate_expired" }},
		{"a clock that is wrong", "off the others' by +1h0m0s", func(p *Progress) { p.SkewMS = time.Hour.Milliseconds() }},
	} {
		c.says.Store(poor.Name(), lie.change)
		refused(lie.what, poor.Name(), store.ErrRefused, lie.words)
	}
	for i := range 2 * ledWithin { // each waits for its own entry
		c.must(tenantNamed(fmt.Sprintf("t%d", i)))
	}
	c.says.Store(poor.Name(), func(p *Progress) { p.Applied = 1 })
	refused("too little of the log", poor.Name(), store.ErrRefused, fmt.Sprintf("too far behind: it has applied entry 1 of %d, and may lack 64", leader.raft().CommitIndex()))

	// The best one is the other one, with a name or without.
	if moved, err := c.transfer(TransferRequest{}); err != nil || moved.Leader != good.Name() {
		t.Errorf("got %+v, %v, want %s to lead", moved, err, good.Name())
	}
	leader = c.leader()
	c.says.Delete(poor.Name())
	c.close(poor.Name())
	refused("one that is away", poor.Name(), store.ErrRefused, "does not answer; it was last heard")
}

func TestNobodyIsLeftToLead(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	leader := c.leader()
	for _, n := range c.others() {
		c.says.Store(n.Name(), func(p *Progress) { p.Degraded, p.Reason = true, "disk_full" })
	}
	_, err := c.transfer(TransferRequest{})
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeRefused || strings.Count(e.Hint, "is degraded: its files cannot be written (disk_full)") != 2 {
		t.Errorf("got %v, hint %q", err, e.Hint)
	}
	// A node that stops hands over all the same: its followers would elect one of them.
	c.close(leader.Name())
	if n := c.leader(); n == leader {
		t.Error("it leads on")
	}
}

func TestAnOnlyVoterLeadsOn(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	if _, err := c.transfer(TransferRequest{}); !errors.Is(err, store.ErrRefused) {
		t.Errorf("got %v, want it refused", err)
	}
	if r, err := c.transfer(TransferRequest{Name: "n1"}); err != nil || r.Changed {
		t.Errorf("to itself: %+v, %v", r, err)
	}
}

// Who asks has to have the right, at the leader.
func TestAReaderMovesNoLeadership(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	_, err := c.leader().Transfer(context.Background(), TransferRequest{Name: "n1"}, access.Actor{Role: access.Reader, Name: "eve"})
	if !errors.Is(err, store.ErrDenied) {
		t.Errorf("got %v, want denied", err)
	}
}

func TestATransferLosesNoWriteAndDoublesNone(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	before := c.must(tenantNamed("acme")).Revision
	quit := make(chan struct{})
	var mu sync.Mutex
	acked := map[string]uint64{}
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-quit:
					return
				default:
				}
				id := fmt.Sprintf("w%d-%d", w, i)
				a, err := c.write(clientNamed("acme", id))
				if err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				mu.Lock()
				acked[id] = a.Revision
				mu.Unlock()
			}
		})
	}
	for range 5 {
		if _, err := c.transfer(TransferRequest{}); err != nil {
			t.Error(err)
		}
	}
	close(quit)
	writers.Wait()
	c.agree()
	img := c.leader().Image()
	for id, revision := range acked {
		if doc := img.Get(store.ClientPath("acme", id)); doc == nil || doc.Revision != revision {
			t.Errorf("%s was acknowledged at revision %d", id, revision)
		}
	}
	if made := img.Revision() - before; made != uint64(len(acked)) {
		t.Errorf("%d changes were made, %d acknowledged", made, len(acked))
	}
}

// While a transfer is under way raft takes no changes, and it is until the voter
// has answered that was asked to lead: one that hangs must not hold everybody up.
func TestAVoterThatHangsDoesNotHoldATransferUp(t *testing.T) {
	t.Parallel()
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	tcp, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, rpcTimeout, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	slow := &transport{tcp, 100 * time.Millisecond}
	began := time.Now()
	err = slow.TimeoutNow("n2", raft.ServerAddress(hangs.Addr().String()), &raft.TimeoutNowRequest{}, &raft.TimeoutNowResponse{})
	if took := time.Since(began); err == nil || took > rpcTimeout/2 {
		t.Errorf("it took %s: %v", took, err)
	}
}
