package live

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// proxies is a network for processes that may have no namespaces: at the address
// that a node advertises stands a proxy, which finds out who has dialled. What is
// lost on a real network waits here until the link is mended, since a stream
// cannot have holes; to both ends it looks alike while it lasts.
type proxies struct {
	net *Network

	mu     sync.Mutex
	doors  []net.Listener
	conns  map[net.Conn]bool
	closed bool
	busy   sync.WaitGroup
}

func newProxies(w *Network) *proxies { return &proxies{net: w, conns: map[net.Conn]bool{}} }

func (s *proxies) String() string { return "a proxy per link" }

// join puts a proxy in front of a node.
func (s *proxies) join(n *Node) error {
	// An address that nobody else uses: its port is free once this one is closed.
	free, err := net.Listen("tcp", loopback())
	if err != nil {
		return err
	}
	address := free.Addr().String()
	door, err := net.Listen("tcp", loopback())
	if err = errors.Join(err, free.Close()); err != nil {
		return err
	}
	n.address, n.advertise = address, door.Addr().String()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doors = append(s.doors, door)
	s.busy.Go(func() {
		for {
			conn, err := door.Accept()
			if err != nil {
				return
			}
			s.busy.Go(func() { s.carry(conn, n) })
		}
	})
	return nil
}

// carry joins a connection to the node that it is meant for.
func (s *proxies) carry(caller net.Conn, to *Node) {
	defer caller.Close()
	if !s.keep(caller) {
		return
	}
	defer s.drop(caller)
	from := s.net.dialler(caller.RemoteAddr().(*net.TCPAddr).AddrPort())
	there, back := newLink(), newLink() // of somebody who is no node: always whole
	if from != nil {
		there, back = s.net.link(from, to), s.net.link(to, from)
	}
	if !there.pass(time.Now(), 0, true) { // the first packet
		return
	}
	node, err := net.Dial("tcp", to.address)
	if err != nil {
		return // it does not listen
	}
	defer node.Close()
	if !s.keep(node) {
		return
	}
	defer s.drop(node)
	var pumps sync.WaitGroup
	pumps.Go(func() { pump(caller, node, there) })
	pumps.Go(func() { pump(node, caller, back) })
	pumps.Wait()
}

// chunk is a part of a stream under way. Without bytes it is its end.
type chunk struct {
	sent time.Time
	b    []byte
	end  error
}

// mostChunks wait for one stream; who sends more has to wait.
const mostChunks = 64

// pump carries one direction of a connection, and its end.
func pump(from, to net.Conn, l *link) {
	queue := make(chan chunk, mostChunks)
	gone := make(chan struct{})
	go func() {
		defer close(queue)
		for {
			b := make([]byte, 4096)
			n, err := from.Read(b)
			select {
			case queue <- chunk{time.Now(), b[:n], err}:
			case <-gone:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		close(gone)
		for range queue { // its reader ends with the connection
		}
	}()
	for c := range queue {
		if !l.pass(c.sent, len(c.b), true) {
			break
		}
		if len(c.b) > 0 {
			if _, err := to.Write(c.b); err != nil {
				break
			}
		}
		if c.end != nil {
			if errors.Is(c.end, io.EOF) {
				to.(*net.TCPConn).CloseWrite()
				return
			}
			break
		}
	}
	// What ends otherwise ends both ways, as a reset does.
	from.Close()
	to.Close()
}

// keep notes a connection that close has to end.
func (s *proxies) keep(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[c] = true
	}
	return !s.closed
}

func (s *proxies) drop(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *proxies) close() error {
	s.net.endLinks()
	s.mu.Lock()
	s.closed = true
	var errs []error
	for _, door := range s.doors {
		errs = append(errs, door.Close())
	}
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.busy.Wait()
	return errors.Join(errs...)
}

// dialler is the node whose process holds the socket with this address; nil if
// none does.
func (w *Network) dialler(source netip.AddrPort) *Node {
	inode := socketInode(source)
	if inode == "" {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		if n.Running() && holdsSocket(n.PID(), inode) {
			return n
		}
	}
	return nil
}
