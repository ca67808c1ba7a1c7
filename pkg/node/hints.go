package node

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
)

// hints say where members are that are not where the configuration says.
type hints struct {
	mu     sync.Mutex
	known  map[string]hint // by node id
	asking bool
	last   time.Time
}

type hint struct {
	instead string // of this address, as long as the configuration has it
	is      string
}

// at is where a member is to be dialled.
func (h *hints) at(nodeID, address string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if k, ok := h.known[nodeID]; ok && k.instead == address {
		return k.is
	}
	return address
}

// dial tries where a member was found, and then where the configuration says. A hint
// is kept until the member is there again: a node that is slow or restarts must
// not be lost, since nobody may be left who would say where it is.
func (h *hints) dial(nodeID, address string, dial func(address string) (net.Conn, error)) (net.Conn, error) {
	at := h.at(nodeID, address)
	conn, err := dial(at)
	if err == nil || at == address {
		return conn, err
	}
	if conn, _ := dial(address); conn != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.known, nodeID)
		return conn, nil
	}
	return nil, err
}

const (
	seekAfter = 3 * time.Second // without a leader
	seekEvery = 2 * time.Second
)

// seek looks for other members where --join says when this node has had no leader
// for a while: all of them may have moved at once. Whoever answers there proves by
// its certificate which member it is.
func (n *Node) seek(all []Member) {
	if len(n.cfg.Seek) == 0 || len(all) < 2 || n.Leads() {
		return
	}
	if s := n.SinceContact(); s >= 0 && s < seekAfter {
		return
	}
	n.hints.mu.Lock()
	defer n.hints.mu.Unlock()
	if n.hints.asking || time.Since(n.hints.last) < seekEvery {
		return
	}
	n.hints.asking = true
	n.goRun(func() {
		for _, address := range n.cfg.Seek {
			n.seekAt(all, address)
		}
		n.hints.mu.Lock()
		defer n.hints.mu.Unlock()
		n.hints.asking, n.hints.last = false, time.Now()
	})
}

func (n *Node) seekAt(all []Member, address string) {
	conn, err := n.dial(context.Background(), "", address, ProtocolRPC)
	if err != nil {
		n.cfg.Log.Debug("nobody is found", "address", address, "error", err)
		return
	}
	defer conn.Close()
	if t, ok := conn.(*tls.Conn); ok {
		if id, err := pki.IdentityOf(t.ConnectionState().PeerCertificates[0]); err == nil {
			n.introduce(n.foundAt(all, id.NodeID, address))
		}
	}
}

// introduce tells a member that was just found where this node is: it may know
// nobody else, and the leader may not know where to find it.
func (n *Node) introduce(m Member) {
	if m.ID == "" || n.cfg.Move == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), moveWait)
	defer cancel()
	if err := n.cfg.Move(ctx, m, AdmitRequest{NodeID: n.self.NodeID, Address: n.self.Advertise, Moved: true}); err != nil {
		n.cfg.Log.Debug("a member was told where this node is, and knows of no leader yet", "name", m.Name, "error", err)
	}
}

// heardOf notes where a member says that it is, if it is there: without a leader
// nobody changes the configuration, and this node may be the one that has to lead.
func (n *Node) heardOf(ctx context.Context, req AdmitRequest) {
	conn, err := n.dial(ctx, req.NodeID, req.Address, ProtocolRPC)
	if err != nil {
		n.cfg.Log.Debug("a member is not where it says", "node", req.NodeID, "address", req.Address, "error", err)
		return
	}
	conn.Close()
	n.foundAt(n.Members(), req.NodeID, req.Address)
}

// foundAt notes where a member is, which has proved who it is. It returns who that
// is, if it was not known.
func (n *Node) foundAt(all []Member, nodeID, address string) (found Member) {
	for _, m := range all {
		if m.ID != nodeID || nodeID == n.self.NodeID || n.hints.at(m.ID, m.Address) == address {
			continue
		}
		n.hints.mu.Lock()
		n.hints.known[m.ID] = hint{instead: m.Address, is: address}
		n.hints.mu.Unlock()
		n.cfg.Log.Info("found a member at another address", "name", m.Name, "address", address, "known", m.Address)
		found = m
	}
	return found
}
