package node

import (
	"context"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/store"
)

// Admit makes an enrolled node a member without a vote, if it answers at the
// address. The vote follows once it has caught up (promote). A member that is at
// another address than before gets that put right, and stays what it is: it is
// never taken out and put in again.
func (n *Node) Admit(ctx context.Context, req AdmitRequest) error {
	if _, err := n.leading(ctx); err != nil {
		if req.Moved {
			n.heardOf(ctx, req)
		}
		return err
	}
	record, ok := n.records()[req.NodeID]
	if !ok || record.Revoked { // looked at again under the lock below
		return store.Errorf(store.CodeDenied, "node %s has no good certificate of this cluster", req.NodeID).
			WithHint("start it with an empty data directory and --join")
	}
	m := Member{ID: req.NodeID, Name: record.Name, Address: req.Address}
	conn, err := n.dial(ctx, m.ID, m.Address, ProtocolRPC)
	if err != nil {
		return store.Errorf(store.CodeUnavailable, "node %q does not answer at %s: %v", m.Name, m.Address, err).
			WithHint("check its --listen and --advertise; nothing was changed")
	}
	conn.Close()
	if err := n.twice(ctx, m); err != nil {
		return err
	}

	if err := n.members.take(ctx, membersBusy); err != nil {
		return err
	}
	defer n.members.give()
	img := n.Image()
	if l := departures(img); n.records()[req.NodeID].Revoked || l.Of(req.NodeID) != nil {
		return store.Errorf(store.CodeDenied, "node %q was removed meanwhile", m.Name)
	}
	all, index, err := n.configuration()
	if err != nil {
		return err
	}
	was := ""
	for _, is := range all {
		if is.ID == m.ID {
			was = is.Address
		}
	}
	if was == m.Address {
		return nil
	}
	// Of a server that is there already this changes the address and nothing else.
	if err := n.reconfigure(func(r *raft.Raft) raft.IndexFuture {
		return r.AddNonvoter(raft.ServerID(m.ID), joinAddress(m.ID, m.Address), index, changeTimeout)
	}); err != nil {
		return err
	}
	if was != "" {
		n.cfg.Log.Info("a member is at another address now", "name", m.Name, "address", m.Address, "before", was)
		return nil
	}
	n.cfg.Log.Info("admitted a node without a vote", "name", m.Name, "address", m.Address)
	return nil
}

// twice refuses to move a member that still is where it was: whoever asks runs on a
// copy of its data directory, and both would be moved back and forth. A node that
// can be reached at either address says which one it means.
func (n *Node) twice(ctx context.Context, m Member) error {
	all, _, err := n.configuration()
	is, known := memberNamed(all, m.ID)
	if err != nil || !known || is.Address == m.Address || n.cfg.Probe == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, moveWait/3)
	defer cancel()
	p, err := n.cfg.Probe(ctx, is)
	if err != nil || p.Address != is.Address {
		return nil
	}
	refusal := store.Errorf(store.CodeRefused, "node %q runs at %s and at %s: one of them on a copy of the other's data directory", nameOf(is), is.Address, m.Address).
		WithHint("stop one of them for good, and empty its directory; the cluster goes on with the one at %s", is.Address)
	if n.copied.changed(refusal) {
		n.cfg.Log.Warn("a member runs twice; it is not moved", "name", nameOf(is), "at", is.Address, "and_at", m.Address, "hint", refusal.Hint)
	}
	return refusal
}
