package attacks

import (
	"net"
	"sync"
	"testing"
)

// tap is somebody on the line in front of a node: it passes everything on, and
// keeps it.
type tap struct {
	ln   net.Listener
	to   string
	done sync.WaitGroup

	mu    sync.Mutex
	heard []byte
	conns []net.Conn
}

// newTap listens at an address of this machine for a node that will be at to.
func newTap(t *testing.T, to string) *tap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{ln: ln, to: to}
	p.done.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *tap) address() string { return p.ln.Addr().String() }

func (p *tap) close() {
	p.ln.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
}

func (p *tap) accept() {
	for {
		in, err := p.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.to)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.mu.Unlock()
		for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
			p.done.Go(func() {
				defer way[0].Close()
				defer way[1].Close()
				var said []byte // one direction of one connection, in one piece
				b := make([]byte, 32<<10)
				for {
					n, err := way[0].Read(b)
					said = append(said, b[:n]...)
					if _, werr := way[1].Write(b[:n]); err != nil || werr != nil {
						break
					}
				}
				p.mu.Lock()
				p.heard = append(p.heard, said...)
				p.mu.Unlock()
			})
		}
	}
}

// all is what was heard, once every connection has ended.
func (p *tap) all() []byte {
	p.close()
	return p.heard
}
