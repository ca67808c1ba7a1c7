package live

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
)

// wires is a network of namespaces: each node has one for itself, in which a TUN
// device is all there is beside lo. This process holds the other ends and is the
// switch between them. When it ends, however it does, nothing is left: devices go
// with their descriptors, and namespaces with their last thread or process.
type wires struct {
	net *Network

	mu    sync.Mutex
	ports []*port
}

// port is where a node is plugged in.
type port struct {
	node    *Node
	address netip.Addr
	thread  thread
	tun     *os.File
	left    chan struct{}      // closed when nothing is read any more
	out     map[*port]*packets // guarded by wires.mu
}

func newWires(w *Network) *wires { return &wires{net: w} }

func (s *wires) String() string { return "network namespaces" }

func (s *wires) join(n *Node) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := len(s.ports) + 1
	if k > 254 {
		return errors.New("there is no address left")
	}
	p := &port{node: n, address: netip.AddrFrom4([4]byte{10, 0, 0, byte(k)}), thread: newThread(), left: make(chan struct{}), out: map[*port]*packets{}}
	if err := p.thread.do(func() (err error) { p.tun, err = unshareNetwork(p.address); return err }); err != nil {
		close(p.thread)
		return err
	}
	for _, other := range s.ports {
		p.out[other] = newPackets(s.net.link(n, other.node), other.put)
		other.out[p] = newPackets(s.net.link(other.node, n), p.put)
	}
	s.ports = append(s.ports, p)
	n.thread, n.address = p.thread, fmt.Sprintf("%s:%d", p.address, 7700)
	go s.forward(p)
	return nil
}

// forward takes what a node sends to where it belongs.
func (s *wires) forward(from *port) {
	defer close(from.left)
	b := make([]byte, 1<<16)
	for {
		n, err := from.tun.Read(b)
		if err != nil {
			return // it is closed
		}
		if n < 20 || b[0]>>4 != 4 { // the node's kernel also looks for IPv6 routers
			continue
		}
		to := netip.AddrFrom4([4]byte(b[16:20]))
		s.mu.Lock()
		var out *packets
		for p, way := range from.out {
			if p.address == to {
				out = way
			}
		}
		s.mu.Unlock()
		if out != nil {
			out.send(b[:n])
		}
	}
}

// put gives a packet to the node's kernel. One that is not taken is lost.
func (p *port) put(b []byte) { p.tun.Write(b) }

func (s *wires) close() error {
	s.mu.Lock()
	ports := s.ports
	s.mu.Unlock()
	var errs []error
	for _, p := range ports {
		errs = append(errs, p.tun.Close())
		<-p.left
		close(p.thread)
	}
	s.net.endLinks()
	for _, p := range ports {
		for _, way := range p.out {
			way.close()
		}
	}
	return errors.Join(errs...)
}
