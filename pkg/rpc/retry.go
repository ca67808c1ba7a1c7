package rpc

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// repeat makes a call that may be repeated however its last attempt ended. Of one
// that changes something nobody knows the outcome when the time is over and an
// attempt went out whose answer did not come.
func repeat[A, R any](ctx context.Context, c *Client, method string, args A) (R, error) {
	return repeatEach[A, R](ctx, c, method, func() A { return args })
}

// repeatEach is repeat for arguments that are other ones with each attempt.
func repeatEach[A, R any](ctx context.Context, c *Client, method string, args func() A) (R, error) {
	unknown := false
	var told *store.Error // by a server that does not know, or knows that it is not done yet
	unsettled := func(last *store.Error) *store.Error {
		if !unknown {
			return last
		}
		e := store.Errorf(store.CodeUnknown, "it is not known whether this was done: it was sent, and no answer came")
		next := "the same command again does what is not done yet"
		if method == "Cluster.CreateToken" {
			next = "run it again; a token that nobody got shows in cpctl token list, and can be revoked"
		}
		said := last.Hint
		if !errors.Is(last, store.ErrUnavailable) { // a first attempt went out, and then nobody took us any more
			said += "\n" + last.Message
		}
		if told != nil {
			if e = told; !strings.HasPrefix(told.Message, "it ") { // it was decided, it is not known
				e = store.Errorf(store.CodeUnknown, "it is not known whether this was done: %s", told.Message)
			}
			if strings.Contains(said, told.Message) { // nothing else has happened since
				said = told.Hint
			}
		}
		return e.WithHint("%s", strings.TrimLeft(said+"\n"+next, "\n"))
	}
	return retry(ctx, c, func(ctx context.Context, conn *link) (R, error) {
		return do[A, R](ctx, conn, method, nil, args())
	}, func(err error) (bool, error) {
		lost := errors.Is(err, errBroken) || errors.Is(err, store.ErrUnknown)
		if errors.Is(err, store.ErrUnknown) {
			told = typed(err)
		}
		unknown = unknown || lost && !slices.Contains(reads, method) && method != "Cluster.Check" // which tells what is wrong, repaired or not
		switch {
		case lost, errors.Is(err, store.ErrUnavailable):
			return true, err
		case unknown && !judges(err):
			return len(c.opts.Servers) > 1, unsettled(typed(err)) // another server may know
		}
		return false, err
	}, unsettled)
}

// once makes a call to the first server that can be reached, and no second one.
func once[A, R any](ctx context.Context, c *Client, method string, args A) (R, error) {
	began, said := time.Now(), map[string]string{}
	var zero R
	for range c.opts.Servers {
		conn, server, err := c.connection(ctx)
		if err == nil {
			var v R
			if v, err = do[A, R](ctx, conn, method, nil, args); err == nil {
				return v, nil
			}
			if refusal := c.note(server, conn.raw, err); refusal == nil && !errors.Is(err, errBroken) {
				return v, err
			}
			c.next(conn, true)
		} else if errors.Is(err, store.ErrInvalid) {
			return zero, err
		} else {
			c.note(server, nil, err)
		}
		said[server] = reason(err)
	}
	if refusal := c.hopeless(); refusal != nil {
		return zero, refusal
	}
	return zero, c.timedOut(said, time.Since(began))
}

// retry makes attempts until one settles the matter or the context ends. again
// says whether an error is worth another attempt; final makes the error that
// the caller gets when time is over or every attempt would be refused.
func retry[R any](ctx context.Context, c *Client, attempt func(context.Context, *link) (R, error),
	again func(error) (bool, error), final func(*store.Error) *store.Error) (R, error) {
	began, pause := time.Now(), firstPause
	said := map[string]string{} // server -> what it said last
	var zero R
	for {
		attempted := time.Now()
		conn, server, err := c.connection(ctx)
		if err == nil {
			var v R
			v, err = attempt(ctx, conn)
			if err == nil {
				return v, nil
			}
			refusal := c.note(server, conn.raw, err)
			if refusal == nil { // else nothing was done
				more, err2 := again(err)
				if !more {
					return zero, err2
				}
			}
			c.next(conn, refusal != nil || errors.Is(err, errBroken))
		} else if errors.Is(err, store.ErrInvalid) {
			return zero, err // no later attempt fares better
		} else {
			c.note(server, nil, err)
		}
		if refusal := c.hopeless(); refusal != nil {
			return zero, final(refusal)
		}
		if !spent(ctx) || said[server] == "" {
			said[server] = reason(err)
		}
		c.opts.Log.Debug("not done yet", "server", server, "error", err)
		if !spent(ctx) {
			c.waiting(began, server, said[server])
		}
		if !rest(ctx, &pause, time.Since(attempted)) {
			return zero, final(c.timedOut(said, time.Since(began)))
		}
	}
}

// spent tells whether the time of a call is over: what an attempt says then is
// that it was cut off, and what the one before said is worth more. A dial may
// notice the deadline before the context does.
func spent(ctx context.Context) bool {
	at, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(at)
}

// rest waits before the next attempt. It reports whether there may be one. There is
// none that could not be answered in time, if it takes as long as the last one took:
// cut off in the middle, it would make unknown what was certain.
func rest(ctx context.Context, pause *time.Duration, took time.Duration) bool {
	if at, ok := ctx.Deadline(); ok && time.Until(at) <= *pause+min(max(2*took, maxPause/2), maxPause) {
		<-ctx.Done()
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(*pause):
	}
	*pause = min(*pause*2, maxPause)
	return true
}

// connection returns the connection in use, or dials the servers in turn.
func (c *Client) connection(ctx context.Context) (*link, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	server := c.opts.Servers[c.at%len(c.opts.Servers)]
	if c.conn != nil {
		return c.conn, server, nil
	}
	within, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	conn, err := c.dial(within, server, ProtocolRPC)
	if err != nil {
		c.at++
		return nil, server, err
	}
	c.opts.Log.Debug("connected", "server", server)
	c.conn = newLink(conn, nil, noteStamps(c.opts.Log, server))
	return c.conn, server, nil
}

// patience is how long one attempt to connect may take: where there are others
// to ask, not long in the first round, and longer in each, for slow links.
func (c *Client) patience() time.Duration {
	if len(c.opts.Servers) == 1 {
		return dialWait
	}
	return min(firstDial<<min(c.at/len(c.opts.Servers), 8), dialWait)
}

// next goes on to the next server, and gives up a connection that broke.
func (c *Client) next(conn *link, broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn && (broken || len(c.opts.Servers) > 1) {
		c.hangUp()
		c.at++
	}
}

// leave gives up a connection whose other side has turned us away, and stays at the
// server: what is sent over it is not read, and its outcome would be unknown.
func (c *Client) leave(conn *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn {
		c.hangUp()
	}
}

// noLeader begins the error of a call that found servers and no leader.
const noLeader = "no leader among"

// noAnswer is what is told of a server that took a call and says nothing.
const noAnswer = "gives no answer"

// reason shortens an error to what tells one server from another.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		if op.Op == "remote error" {
			return "refuses our certificate"
		}
		parts := strings.Split(op.Err.Error(), ": ")
		return parts[len(parts)-1] // "connection refused", "no such file or directory"
	}
	switch {
	case errors.Is(err, errSilent), errors.Is(err, errBroken) && overdue(err):
		return noAnswer
	case errors.Is(err, errBroken):
		return "the connection broke"
	}
	return err.Error()
}

// timedOut is the error when every server was asked until the time was over.
func (c *Client) timedOut(said map[string]string, after time.Duration) *store.Error {
	servers := slices.Clone(c.opts.Servers)
	var lines []string
	reached := ""
	for _, s := range servers {
		why := said[s]
		if why == "" {
			continue
		}
		lines = append(lines, s+" "+why)
		if !isDialError(why) {
			reached = s
		}
	}
	took := ""
	if d := after.Round(100 * time.Millisecond); d > 0 {
		took = " after " + d.String()
	}
	if reached == "" && slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, " "+noAnswer) }) {
		e := store.Errorf(store.CodeUnavailable, "no answer from %s%s", strings.Join(servers, ", "), took)
		e.Hint = strings.Join(lines, "; ") + "\nit is connected and silent: its process stands still, or the network is cut; ask another member with --server"
		return e
	}
	if reached == "" {
		e := store.Errorf(store.CodeUnavailable, "cannot connect to %s%s", strings.Join(servers, ", "), took)
		e.Hint = strings.Join(lines, "; ") + "\n" + notThere(servers)
		return e
	}
	what := noLeader
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "lead") || strings.Contains(l, "elected") }) {
		what = "not done by" // the lines say what it waits for
	}
	e := store.Errorf(store.CodeUnavailable, "%s %s%s", what, strings.Join(servers, ", "), took)
	e.Hint = strings.Join(lines, "; ") + "\nsee: cpctl cluster status --server " + reached
	if slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "knows of no leader") }) {
		e.Hint += "\nif a majority of the voters is lost for good: cpctl recover plan --help"
	}
	return e
}

// notThere is the advice where no server can be connected to. A socket names the
// data directory of its node.
func notThere(servers []string) string {
	for _, s := range servers {
		if path, ok := strings.CutPrefix(s, "unix:"); ok {
			return "is the node running? start it with: cpctl node --data-dir " + filepath.Dir(path)
		}
	}
	return "are the nodes running, and do they listen there? see: cpctl context show"
}

func isDialError(why string) bool {
	return slices.Contains([]string{noAnswer, "connection refused", "no such file or directory", "permission denied", "i/o timeout", "no route to host", "network is unreachable", "host is unreachable", "no such host"}, why)
}
