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

	open  context.Context // ends with Close, and with it every call
	close context.CancelFunc

	guests  *guests
	turning chan struct{} // room for those who are told why they are refused

	mu    sync.Mutex
	conns map[net.Conn]bool
	done  sync.WaitGroup
}

// NewServer returns a server for the node. Serve starts it.
func NewServer(node Node, log *slog.Logger) (*Server, error) {
	s := &Server{node: node, log: log, peers: newPeers(node), local: rpc.NewServer(), between: rpc.NewServer(),
		newcomers: newNewcomers(), guests: newGuests(), turning: make(chan struct{}, maxTurnedAway), conns: map[net.Conn]bool{}}
	s.open, s.close = context.WithCancel(context.Background())
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
	s.accept(socket, maxConnections, s.serveLocal)
	s.accept(s.node.Listener(ProtocolRPC), 0, func(conn net.Conn) { s.servePeer(conn, ProtocolRPC) })
	s.accept(s.node.Listener(ProtocolStream), 0, func(conn net.Conn) { s.servePeer(conn, ProtocolStream) })
	s.accept(s.node.Listener(ProtocolEnrol), enrolConnections, s.serveNewcomer)
	return nil
}

// Close ends every connection.
func (s *Server) Close() error {
	s.close()
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

// accept serves the connections of a listener, at most so many at once; 0 is for
// one whose connections are counted otherwise.
func (s *Server) accept(l net.Listener, most int, serve func(net.Conn)) {
	s.done.Add(1)
	var open chan struct{}
	if most > 0 {
		open = make(chan struct{}, most)
	}
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
			leave := func() {}
			if open != nil {
				select {
				case open <- struct{}{}:
					leave = func() { <-open }
				default:
					s.log.Warn("too many connections", "address", l.Addr().String(), "limit", most)
					conn.Close()
					continue
				}
			}
			if !s.enter(conn) {
				conn.Close()
				return
			}
			s.done.Add(1)
			go func() {
				defer s.done.Done()
				defer leave()
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
	guest, leave, full := s.guests.enter(caller.By, "", conn)
	protocol, err := readPreamble(conn)
	switch {
	case full != nil:
		if err == nil {
			s.turnAway(conn, protocol, full)
		}
		return
	case err != nil:
		leave()
		s.log.Debug("a connection to the socket that says nothing we know", "error", err)
		return
	}
	defer leave()
	caller.guest = guest
	s.serve(conn, protocol, caller, s.local)
}

// serve serves somebody who is known, with the methods that are theirs.
func (s *Server) serve(conn net.Conn, protocol string, caller *Caller, methods *rpc.Server) {
	if protocol == ProtocolStream {
		s.stream(conn, caller.By)
		return
	}
	caller.gone, caller.leave = context.WithCancel(s.open)
	methods.ServeCodec(serverCodec{newCodec(conn, caller)})
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
// the port: another node, or a person. The error is a *Goodbye for one to whom a
// reason is due.
func (s *Server) peerCaller(conn net.Conn) (*Caller, error) {
	t, ok := conn.(*tls.Conn)
	if !ok || len(t.ConnectionState().PeerCertificates) == 0 {
		return nil, errors.New("no certificate")
	}
	id, err := pki.IdentityOf(t.ConnectionState().PeerCertificates[0])
	if err != nil {
		return nil, err
	}
	if why, removed := s.node.Farewell(id.Serial, id.NodeID); why != nil {
		bye := &Goodbye{Err: why, Removed: removed}
		s.Refused(id.Actor(conn.RemoteAddr().String()), t.ConnectionState().NegotiatedProtocol, bye)
		return nil, bye
	}
	return &Caller{By: id.Actor(conn.RemoteAddr().String()), nodeID: id.NodeID, server: s}, nil
}

// servePeer serves another node, or a person who is not turned away.
func (s *Server) servePeer(conn net.Conn, protocol string) {
	caller, err := s.peerCaller(conn)
	if err != nil {
		s.log.Warn("refused a connection", "from", conn.RemoteAddr().String(), "error", err)
		var bye *Goodbye
		if errors.As(err, &bye) {
			s.turnAway(conn, protocol, bye)
		}
		return
	}
	guest, leave, err := s.guests.enter(caller.By, protocol, conn)
	if err != nil {
		s.turnAway(conn, protocol, err)
		return
	}
	defer leave()
	methods := s.local
	if caller.By.Role == access.Node {
		methods = s.between
	}
	caller.guest = guest
	s.serve(conn, protocol, caller, methods)
}

// Probe asks another member how it is.
func (s *Server) Probe(ctx context.Context, m Member) (Progress, error) {
	return ask[struct{}, Progress](ctx, s.peers, m, progressMethod, nil, struct{}{})
}
