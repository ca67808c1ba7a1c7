package cluster

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/test/live"
)

// lossy stands between commands and the socket of a node. It passes everything
// on, but ends the connection in place of the first answer to a write: the
// change is made and nobody is told.
type lossy struct {
	ln   net.Listener
	to   string // path of the node's socket
	done sync.WaitGroup

	mu      sync.Mutex
	lost    *mutation.Answer // the answer that was dropped
	writes  int              // requests to write that were passed on
	trouble error
	conns   map[net.Conn]bool
}

// dropAnswer starts a proxy to a node; its address is for --server.
func dropAnswer(t *testing.T, n *live.Node) (*lossy, string) {
	t.Helper()
	path := n.Dir + ".proxy" // gone when the listener is closed
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &lossy{ln: ln, to: strings.TrimPrefix(n.Server(), "unix:"), conns: map[net.Conn]bool{}}
	p.done.Go(p.accept)
	t.Cleanup(p.close)
	return p, "unix:" + path
}

func (p *lossy) close() {
	p.ln.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
}

// seen tells what became of the writes so far.
func (p *lossy) seen(t *testing.T) (lost *mutation.Answer, writes int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trouble != nil {
		t.Fatal(p.trouble)
	}
	return p.lost, p.writes
}

func (p *lossy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.done.Go(func() {
			if err := p.serve(client); err != nil {
				p.mu.Lock()
				p.trouble = errors.Join(p.trouble, err)
				p.mu.Unlock()
			}
		})
	}
}

func (p *lossy) serve(client net.Conn) error {
	node, err := net.Dial("unix", p.to)
	if err != nil {
		client.Close()
		return err
	}
	p.mu.Lock()
	p.conns[client], p.conns[node] = true, true
	p.mu.Unlock()
	defer client.Close()
	defer node.Close()

	var mu sync.Mutex
	writes := map[uint64]bool{} // calls that are writes
	p.done.Go(func() {
		defer node.Close()
		from := bufio.NewReader(client)
		line, err := from.ReadBytes('\n') // the protocol
		if err != nil {
			return
		}
		if _, err := node.Write(line); err != nil {
			return
		}
		for {
			f, err := readFrame(from)
			if err != nil {
				return
			}
			if f.method() == "Cluster.Write" {
				mu.Lock()
				writes[f.seq()] = true
				mu.Unlock()
				p.mu.Lock()
				p.writes++
				p.mu.Unlock()
			}
			if _, err := node.Write(f.raw); err != nil {
				return
			}
		}
	})
	from := bufio.NewReader(node)
	for {
		f, err := readFrame(from)
		if err != nil {
			return nil // one of them has ended the connection
		}
		mu.Lock()
		write := writes[f.seq()]
		mu.Unlock()
		if write {
			if first, err := p.drop(f); first {
				return err
			}
		}
		if _, err := client.Write(f.raw); err != nil {
			return nil
		}
	}
}

// drop keeps the first answer to a write.
func (p *lossy) drop(f frame) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost != nil {
		return false, nil
	}
	var reply struct {
		Err   json.RawMessage  `json:"err"`
		Value *mutation.Answer `json:"value"`
	}
	if err := json.Unmarshal(f.body(), &reply); err != nil {
		return true, err
	}
	if reply.Value == nil {
		return true, errors.New("the write was refused: " + string(reply.Err))
	}
	p.lost = reply.Value
	return true, nil
}

// frame is a call or an answer as it travels: a length (uint32), the number of
// the call (uint64), a name with one byte of length, JSON, documents behind it.
type frame struct{ raw []byte }

func (f frame) seq() uint64    { return binary.BigEndian.Uint64(f.raw[4:]) }
func (f frame) method() string { return string(f.raw[13 : 13+int(f.raw[12])]) }

// body is the JSON, without documents.
func (f frame) body() []byte {
	b, _, _ := bytes.Cut(f.raw[13+int(f.raw[12]):], []byte{0})
	return b
}

func readFrame(r io.Reader) (frame, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil {
		return frame{}, err
	}
	n := binary.BigEndian.Uint32(head)
	if n < 9 || n > 1<<20 {
		return frame{}, errors.New("not a frame of cpctl")
	}
	raw := append(head, make([]byte, n)...)
	if _, err := io.ReadFull(r, raw[4:]); err != nil {
		return frame{}, err
	}
	if 13+int(raw[12]) > len(raw) {
		return frame{}, errors.New("not a frame of cpctl")
	}
	return frame{raw}, nil
}

// newFrame makes a call.
func newFrame(seq uint64, method string, body any) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	raw := binary.BigEndian.AppendUint32(nil, uint32(9+len(method)+len(b)))
	raw = binary.BigEndian.AppendUint64(raw, seq)
	raw = append(raw, byte(len(method)))
	return append(append(raw, method...), b...), nil
}
