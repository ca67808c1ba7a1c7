package rpc

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// judged is a connection that remembers how reading from it ended. In TLS 1.3
// the handshake of a client is over before the server has judged its
// certificate: a refusal comes with the first read, while the first write may
// just find the connection gone.
type judged struct {
	net.Conn
	heard   atomic.Uint64 // reads that brought something
	unheard atomic.Int64  // bytes that were sent since then
	mu      sync.Mutex
	err     error
}

// verdictWait bounds the wait for the alert of a server that closed on us: it
// was sent before, and is on its way.
const verdictWait = time.Second

func (j *judged) Read(b []byte) (int, error) {
	n, err := j.Conn.Read(b)
	if n > 0 {
		j.heard.Add(1)
		j.unheard.Store(0)
	}
	if err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.err == nil {
			j.err = err
		}
	}
	return n, err
}

func (j *judged) Write(b []byte) (int, error) {
	j.unheard.Add(int64(len(b)))
	return j.Conn.Write(b)
}

// verdict reads a connection that broke to its end, for the reason.
func (j *judged) verdict() error {
	if err := j.Conn.SetReadDeadline(time.Now().Add(verdictWait)); err == nil {
		rest := make([]byte, 4<<10)
		for n := 0; err == nil && n < MaxFrame; {
			var m int
			m, err = j.Read(rest)
			n += m
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// outcome is what came of the last attempt at a server.
type outcome struct {
	refusal  *store.Error // it does not accept us, or we do not accept it
	answered bool         // it took a call
}

// note keeps what came of an attempt that failed, on a connection or, if raw is
// nil, to make one. It reports a refusal, by TLS or a Goodbye: then the server
// has done nothing of what was sent.
func (c *Client) note(server string, raw *judged, err error) *store.Error {
	var o outcome
	var bye *Goodbye
	switch {
	case errors.As(err, &bye) && bye.Unsound:
		e := *bye.Err
		e.Message = "server " + server + ": " + e.Message
		o.refusal = &e
	case errors.As(err, &bye):
		o.refusal = store.Errorf(store.CodeDenied, "server %s: %s", server, bye.Err.Message).
			WithHint("log in anew with a new token: %s", c.login())
	case overdue(err), errors.Is(err, errSilent): // says nothing of the server
		return nil
	case raw == nil:
		o.refusal = c.refused(server, err)
	case errors.Is(err, errBroken):
		o.refusal = c.refused(server, raw.verdict())
	default:
		o.answered = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil {
		c.last = map[string]outcome{}
	}
	c.last[server] = o
	return o.refusal
}

// hopeless is the refusal that stands once every server was asked: one refused,
// and none of the others can be reached. Until then another one may take us.
// That one has no such host, or a state that is not the majority's, tells nothing
// of the others.
func (c *Client) hopeless() *store.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var refusal *store.Error
	missing, unsound, unreached := 0, 0, 0
	for _, server := range c.opts.Servers {
		o, asked := c.last[server]
		switch {
		case !asked || o.answered:
			return nil
		case o.refusal == nil:
			unreached++
		case o.refusal.Code == store.CodeUnavailable:
			missing++
		case o.refusal.Code == store.CodeIntegrity:
			unsound++
		}
		if o.refusal != nil && (refusal == nil || refusal.Code == store.CodeUnavailable) {
			refusal = o.refusal
		}
	}
	if missing > 0 && unreached > 0 && refusal.Code == store.CodeUnavailable {
		return nil
	}
	if unsound > 0 && unreached > 0 && refusal.Code == store.CodeIntegrity { // it may be starting
		return nil
	}
	return refusal
}

// refuses tells whether a server refused us when it was asked last.
func (c *Client) refuses(server string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[server].refusal != nil
}
