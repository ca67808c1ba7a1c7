package enrol

import (
	"net"
	"sync"
	"testing"

	"github.com/cpctl/cpctl/test/live"
)

// deaf stands between a newcomer and the port of a member. It passes on all that
// the newcomer says, and of the member only its part of the handshake: what
// comes after the newcomer's second word is the answer, and is kept.
type deaf struct {
	ln   net.Listener
	to   string
	done sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	kept  int // bytes of answers
}

func newDeaf(t *testing.T, to string) *deaf {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &deaf{ln: ln, to: to}
	d.done.Go(d.accept)
	t.Cleanup(d.close)
	return d
}

func (d *deaf) address() string { return d.ln.Addr().String() }

func (d *deaf) close() {
	d.ln.Close()
	d.mu.Lock()
	for _, c := range d.conns {
		c.Close()
	}
	d.mu.Unlock()
	d.done.Wait()
}

func (d *deaf) answers() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kept
}

func (d *deaf) accept() {
	for {
		from, err := d.ln.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", d.to)
		if err != nil {
			from.Close()
			continue
		}
		d.mu.Lock()
		d.conns = append(d.conns, from, to)
		d.mu.Unlock()
		words := 0 // of the newcomer
		d.done.Go(func() {
			d.pass(to, from, func(int) bool {
				d.mu.Lock()
				defer d.mu.Unlock()
				words++
				return true
			})
		})
		d.done.Go(func() {
			d.pass(from, to, func(n int) bool {
				d.mu.Lock()
				defer d.mu.Unlock()
				if words < 2 {
					return true
				}
				d.kept += n
				return false
			})
		})
	}
}

// pass passes on what it may until one side ends, and then ends both.
func (d *deaf) pass(to, from net.Conn, may func(n int) bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 && may(n) {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		} else if n > 0 {
			// The connection stays open without a word, as when the network fails.
			continue
		}
		if err != nil {
			return
		}
	}
}

// The leader is killed when the token is used and nobody has heard of it: the
// newcomer asks the next one, and gets the certificate that is on record.
func TestALeaderThatDiesBeforeItsAnswerCostsNoToken(t *testing.T) {
	c := live.Found(t, 3)
	leader := c.Leader()
	rest := c.Followers()
	file := token(t, c, leader, "node", "n4")
	d := newDeaf(t, address(t, c, leader))
	n4 := c.Add("--join", d.address()+","+address(t, c, rest[0])+","+address(t, c, rest[1]), "--token-file", file)
	n4.Start()
	live.Until(t, "the token is used and the answer kept", func() bool {
		return d.answers() > 0 && state(t, c, rest[0], "n4").State == "used"
	})
	leader.Kill()
	d.close()
	c.Await(n4)
	leader.Start()
	c.Await(leader)
	c.Voting()
	c.Identical()
	id, serial := identity(t, n4).NodeID, state(t, c, n4, "n4").Serial
	for _, m := range c.Status().Nodes {
		if m.Name == "n4" && m.ID != id {
			t.Errorf("n4 is a member as %s, and calls itself %s", m.ID, id)
		}
	}
	if serial == "" {
		t.Error("the token has no certificate on record")
	}
}

// A newcomer that is killed before it hears the answer asks again with the key
// that it had.
func TestANewcomerThatDiesBeforeTheAnswerKeepsItsToken(t *testing.T) {
	c := one(t)
	n1 := c.Nodes[0]
	file := token(t, c, n1, "node", "n2")
	at := address(t, c, n1)
	d := newDeaf(t, at)
	n2 := c.Add("--join", d.address(), "--token-file", file)
	n2.Start()
	live.Until(t, "the answer is kept", func() bool { return d.answers() > 0 })
	used := state(t, c, n1, "n2")
	if used.State != "used" {
		t.Fatalf("the token is %s", used.State)
	}
	n2.Kill()
	n2.Flags = []string{"--join", at, "--token-file", file}
	n2.Start()
	c.Await(n2)
	c.Voting()
	c.Identical()
	if now := state(t, c, n2, "n2"); now != used {
		t.Errorf("the token is %+v, and was %+v", now, used)
	}
}
