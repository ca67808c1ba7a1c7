package node

import (
	"testing"

	"github.com/hashicorp/raft"
)

// A node that has not asked for votes for a while kept connections to processes
// that are gone: their successors give theirs all the same.
func TestVotesAreAskedForOverConnectionsThatHold(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.agree()
	asks, away := c.leader(), ""
	for _, n := range c.running() {
		if n != asks {
			away = n.Name()
		}
	}
	tr := asks.newTransport() // a pool of its own, which nobody else uses
	defer tr.Close()
	vote := func() error {
		n := c.nodes[away]
		at := joinAddress(n.self.NodeID, n.Address())
		args := &raft.RequestVoteRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(asks.self.NodeID), Addr: []byte(at)}} // of term 0: refused
		if err := tr.RequestVote(raft.ServerID(n.self.NodeID), at, args, &raft.RequestVoteResponse{}); err != nil {
			return err
		}
		pre := &raft.RequestPreVoteRequest{RPCHeader: args.RPCHeader}
		return tr.RequestPreVote(raft.ServerID(n.self.NodeID), at, pre, &raft.RequestPreVoteResponse{})
	}
	if err := vote(); err != nil {
		t.Fatal(err)
	}
	c.close(away)
	c.open(away, false)
	if err := vote(); err != nil {
		t.Errorf("after it was started again: %v", err)
	}
}
