package node

import (
	"context"
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

const (
	moveWait  = 3 * time.Second // for one attempt to tell the leader
	movePause = time.Second     // between attempts
)

// keepAddress tells the leader where this node is when the cluster looks for it
// somewhere else: it was started with another address than before. The leader
// looks whether it is there, and changes the address in the configuration. A node
// whose heartbeats go astray knows of no leader: any member will pass it on.
func (n *Node) keepAddress() {
	all, _, err := n.configuration()
	if err != nil {
		return
	}
	n.seek(all)
	known := ""
	for _, m := range all {
		if m.ID == n.self.NodeID {
			known = m.Address
		}
	}
	if known == "" || known == n.self.Advertise || !n.moving.CompareAndSwap(false, true) {
		return
	}
	n.goRun(func() {
		defer n.moving.Store(false)
		n.tellAddress(all, known)
	})
}

func (n *Node) tellAddress(all []Member, known string) {
	if n.moved.IsZero() {
		n.moved = time.Now()
		n.cfg.Log.Info("this node is at another address than the cluster knows; telling the leader", "known", known, "now", n.self.Advertise)
	}
	err := n.tellLeader(all)
	switch {
	case err == nil:
		n.moved = time.Time{}
	case n.unmoved.changed(err):
		var typed *store.Error
		hint := "it goes on trying; if the others have moved, too, start this node with --join HOST:PORT[,HOST:PORT], where they are now"
		if errors.As(err, &typed) && typed.Hint != "" && !errors.Is(err, store.ErrUnavailable) { // by the leader, who knows better
			hint = typed.Hint
		}
		n.cfg.Log.Warn("the cluster still looks for this node where it was", "known", known, "now", n.self.Advertise, "error", err, "hint", hint)
	}
	select {
	case <-time.After(movePause):
	case <-n.closing:
	}
}

var errNobodyThere = errors.New("no other member answers where this node knows it to be")

// tellLeader asks whoever may pass it on: the leader, if it is known, else everybody.
func (n *Node) tellLeader(all []Member) error {
	ctx, cancel := context.WithTimeout(context.Background(), moveWait)
	defer cancel()
	req := AdmitRequest{NodeID: n.self.NodeID, Address: n.self.Advertise, Moved: true}
	err := n.Admit(ctx, req)
	if !errors.Is(err, store.ErrUnavailable) || n.Leads() || n.cfg.Move == nil {
		return err
	}
	ask := all
	if leader, known := n.Leader(); known && leader.ID != n.self.NodeID {
		ask = append([]Member{leader}, all...)
	}
	err = errNobodyThere
	for _, m := range ask {
		if m.ID == n.self.NodeID {
			continue
		}
		switch e := n.cfg.Move(ctx, m, req); {
		case e == nil:
			return nil
		case errors.Is(e, store.ErrUnavailable) && err != errNobodyThere, ctx.Err() != nil:
		default:
			err = e
		}
	}
	return err
}
