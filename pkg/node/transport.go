package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

func (n *Node) newTransport() *transport {
	layer := newStreamLayer(n.mux.Listener(ProtocolRaft), string(joinAddress(n.self.NodeID, n.self.Advertise)), func(nodeID string) (*tls.Config, error) {
		return n.dialTLS(nodeID, ProtocolRaft)
	})
	layer.open, layer.hints = n.open, &n.hints
	return &transport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: layer, MaxPool: maxPool, Timeout: rpcTimeout,
		MaxRPCsInFlight: callsInFlight, Logger: raftLogger(n.cfg.Log)}), n.cfg.ElectionTimeout}
}

// transport does not let a leader wait for the answer of a voter that it asks to
// lead: raft takes no changes until that call has ended, also when it has given
// the transfer up, which is after an election timeout.
type transport struct {
	*raft.NetworkTransport
	patience time.Duration
}

// TimeoutNow asks a voter to lead.
func (t *transport) TimeoutNow(id raft.ServerID, at raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	answered := make(chan error, 1)
	go func() { answered <- t.NetworkTransport.TimeoutNow(id, at, args, new(raft.TimeoutNowResponse)) }() // what it answers nobody reads
	select {
	case err := <-answered:
		return err
	case <-time.After(t.patience):
		return fmt.Errorf("no answer within %s", t.patience)
	}
}

// RequestVote asks a voter for its vote.
func (t *transport) RequestVote(id raft.ServerID, at raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return onceMore(func() error { return t.NetworkTransport.RequestVote(id, at, args, resp) })
}

// RequestPreVote asks a voter whether it would give its vote.
func (t *transport) RequestPreVote(id raft.ServerID, at raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return onceMore(func() error { return t.NetworkTransport.RequestPreVote(id, at, args, resp) })
}

// onceMore repeats a call that found a connection at its end: raft keeps those that
// are not in use, and a voter that was started again has ended them. A candidate asks
// once in its term, so that without this its first election would be lost on them, and
// a leadership that was handed to it with it. A vote may be asked for twice.
func onceMore(call func() error) (err error) {
	for range maxPool + 1 {
		if err = call(); !ended(err) {
			return err
		}
	}
	return err
}

func ended(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
