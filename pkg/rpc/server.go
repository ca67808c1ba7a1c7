package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
)

// Server answers operators on the unix socket and other nodes on the port.
type Server struct {
	node  Node
	log   *slog.Logger
	peers *peers

	local, between *rpc.Server
	socket         net.Listener
	record         record
	newcomers      *newcomers

	mu    sync.Mutex
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

// maxConnections bounds the connections to one listener: each costs memory
// before it asks anything.
const maxConnections = 512

// NewServer returns a server for the node. Serve starts it.
func NewServer(node Node, log *slog.Logger) (*Server, error) {
	s := &Server{node: node, log: log, peers: newPeers(node), local: rpc.NewServer(), between: rpc.NewServer(), newcomers: newNewcomers(), conns: map[net.Conn]bool{}}
	if err := s.local.RegisterName("Cluster", &Cluster{s}); err != nil {
		return nil, err
	}
	return s, s.between.RegisterName("Peer", &Peer{s})
}

// Serve listens on the socket at path, which it replaces, and takes over the
// node's port. It returns when both answer.
func (s *Server) Serve(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}) // the directory is 0700
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(err, socket.Close())
	}
	s.socket = socket
	s.accept(socket, s.serveLocal)
	s.accept(s.node.Listener(ProtocolRPC), s.servePeer)
	s.accept(s.node.Listener(ProtocolStream), s.servePeerStream)
	s.accept(s.node.Listener(ProtocolEnrol), s.serveNewcomer)
	return nil
}

// Close ends every connection.
func (s *Server) Close() error {
	err := s.socket.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.peers.close()
	s.done.Wait()
	return err
}

func (s *Server) accept(l net.Listener, serve func(net.Conn)) {
	s.done.Add(1)
	room := make(chan struct{}, maxConnections)
	go func() {
		defer s.done.Done()
		for {
			conn, err := l.Accept()
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				s.log.Warn("accept", "address", l.Addr().String(), "error", err)
				time.Sleep(50 * time.Millisecond) // out of descriptors: do not spin
				continue
			}
			select {
			case room <- struct{}{}:
			default:
				s.log.Warn("too many connections", "address", l.Addr().String(), "limit", maxConnections)
				conn.Close()
				continue
			}
			if !s.enter(conn) {
				conn.Close()
				return
			}
			s.done.Add(1)
			go func() {
				defer s.done.Done()
				defer func() { <-room }()
				defer s.leave(conn)
				serve(conn)
			}()
		}
	}()
}

func (s *Server) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return false
	}
	s.conns[conn] = true
	return true
}

func (s *Server) leave(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// serveLocal serves an operator on this machine. Whoever may open the socket
// and is root or the node's own user is an administrator.
func (s *Server) serveLocal(conn net.Conn) {
	uid, err := peerUID(conn)
	if err != nil || uid != 0 && uid != uint32(os.Geteuid()) {
		s.log.Warn("refused a connection to the socket", "uid", uid, "error", err)
		return
	}
	caller := &Caller{By: access.Local(strconv.FormatUint(uint64(uid), 10)), server: s}
	protocol, err := readPreamble(conn)
	if err != nil {
		s.log.Debug("a connection to the socket that says nothing we know", "error", err)
		return
	}
	if protocol == ProtocolStream {
		s.stream(conn, caller.By)
		return
	}
	caller.gone, caller.leave = context.WithCancel(context.Background())
	s.local.ServeCodec(serverCodec{newCodec(conn, caller)})
}

func peerUID(conn net.Conn) (uint32, error) {
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}

// peerCaller is who holds the certificate at the other end of a connection to
// the port: another node, or a person.
func (s *Server) peerCaller(conn net.Conn) (*Caller, error) {
	t, ok := conn.(*tls.Conn)
	if !ok || len(t.ConnectionState().PeerCertificates) == 0 {
		return nil, errors.New("no certificate")
	}
	id, err := pki.IdentityOf(t.ConnectionState().PeerCertificates[0])
	if err != nil {
		return nil, err
	}
	return &Caller{By: id.Actor(conn.RemoteAddr().String()), nodeID: id.NodeID, revoked: func() bool { return s.node.Revoked(id.Serial) }, server: s}, nil
}

func (s *Server) servePeer(conn net.Conn) {
	caller, err := s.peerCaller(conn)
	if err != nil {
		s.log.Warn("refused a connection", "from", conn.RemoteAddr().String(), "error", err)
		return
	}
	caller.gone, caller.leave = context.WithCancel(context.Background())
	methods := s.local
	if caller.By.Role == access.Node {
		methods = s.between
	}
	methods.ServeCodec(serverCodec{newCodec(conn, caller)})
}

func (s *Server) servePeerStream(conn net.Conn) {
	caller, err := s.peerCaller(conn)
	if err != nil {
		s.log.Warn("refused a stream", "from", conn.RemoteAddr().String(), "error", err)
		return
	}
	s.stream(conn, caller.By)
}

// Probe asks another member how it is.
func (s *Server) Probe(ctx context.Context, m Member) (Progress, error) {
	return ask[struct{}, Progress](ctx, s.peers, m, progressMethod, nil, struct{}{})
}
