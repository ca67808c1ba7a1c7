package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
)

// streamLayer is how raft reaches its peers: over the port of the Mux, with
// addresses "<node-id>@<host:port>", so that a dialer knows whom it must find at
// the address. Raft itself would talk to whoever answers there.
type streamLayer struct {
	net.Listener
	advertise raftAddr
	dialTLS   func(nodeID string) (*tls.Config, error)
	open      *conns // keeps what was dialled
	hints     *hints // where nodes are that are not where they were
	callers   callers
}

var _ raft.StreamLayer = (*streamLayer)(nil)

// newStreamLayer accepts from l, a listener of the Mux. advertise is what raft
// tells others of itself: they take it for the leader's address, so it should be
// of the form of joinAddress as the others are. dialTLS gives the configuration
// that accepts the node of that id only.
func newStreamLayer(l net.Listener, advertise string, dialTLS func(nodeID string) (*tls.Config, error)) *streamLayer {
	return &streamLayer{Listener: l, advertise: raftAddr(advertise), dialTLS: dialTLS, open: newConns(nil), hints: new(hints)}
}

// Addr is the address that peers dial, not the one that is listened on.
func (s *streamLayer) Addr() net.Addr { return s.advertise }

// Accept gives the next connection of a node. Every unrevoked node certificate
// of the cluster and generation will do: an older configuration must not lock
// out a new leader. The Mux lets in no other role.
func (s *streamLayer) Accept() (net.Conn, error) {
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		id, err := nodeOf(conn)
		if err == nil {
			return s.callers.enter(id.NodeID, conn), nil
		}
		slog.Warn("refused a raft connection", "peer", conn.RemoteAddr().String(), "error", err)
		conn.Close()
	}
}

// Dial connects to the node that address names, and to no other.
func (s *streamLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	nodeID, hostport, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	config, err := s.dialTLS(nodeID)
	if err != nil {
		return nil, fmt.Errorf("dial node %s: %w", nodeID, err)
	}
	if timeout <= 0 {
		timeout = handshakeTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := s.hints.dial(nodeID, hostport, func(address string) (net.Conn, error) { return s.open.dial(ctx, config, address) })
	if err != nil {
		return nil, fmt.Errorf("dial node %s at %s: %w", nodeID, hostport, err)
	}
	return conn, nil
}

// nodeOf is the node at the other end of a connection; nobody else may speak raft.
func nodeOf(conn net.Conn) (pki.Identity, error) {
	secure, ok := conn.(*tls.Conn)
	if !ok {
		return pki.Identity{}, errors.New("not a TLS connection")
	}
	certs := secure.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return pki.Identity{}, errors.New("no certificate")
	}
	id, err := pki.IdentityOf(certs[0])
	if err == nil && id.Role != access.Node {
		err = fmt.Errorf("%s is not a node and may not speak raft", id)
	}
	return id, err
}

// raftAddr is a raft.ServerAddress as a net.Addr.
type raftAddr string

func (a raftAddr) Network() string { return "tcp" }
func (a raftAddr) String() string  { return string(a) }

// joinAddress makes the raft address of a node. The id has no "@".
func joinAddress(nodeID, hostport string) raft.ServerAddress {
	return raft.ServerAddress(nodeID + "@" + hostport)
}

// splitAddress is the inverse of joinAddress.
func splitAddress(address raft.ServerAddress) (nodeID, hostport string, err error) {
	nodeID, hostport, ok := strings.Cut(string(address), "@")
	if !ok || nodeID == "" {
		return "", "", fmt.Errorf("raft address %q is not of the form ID@HOST:PORT", address)
	}
	host, port, err := net.SplitHostPort(hostport)
	if err != nil || host == "" || port == "" {
		return "", "", fmt.Errorf("raft address %q is not of the form ID@HOST:PORT", address)
	}
	return nodeID, hostport, nil
}
