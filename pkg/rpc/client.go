package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/rpc"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// Options say whom a client talks to.
type Options struct {
	Servers []string     // "unix:PATH", tried in this order
	Log     *slog.Logger // attempts and answers; nil: nobody wants to know
}

// Client is an operator's end of the wire. It dials when it is first used, and
// goes on asking while the answer is that nothing was proposed. Its calls may
// run at the same time and share one connection.
type Client struct {
	opts Options

	mu   sync.Mutex
	conn *rpc.Client
	at   int // the server in use, or to be tried first
}

// The pauses between attempts: short enough that an election is not made
// longer by them, and growing so that a thousand scripts do not press on it.
const (
	firstPause = 20 * time.Millisecond
	maxPause   = 400 * time.Millisecond
)

// NewClient returns a client that has not dialled yet.
func NewClient(o Options) *Client {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Client{opts: o}
}

// Close ends the connection.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}

// Write carries out a change: exactly once, however often it is sent. It sends
// the same request again while the answer is that nothing was proposed or that
// nobody knows. An empty id becomes a UUIDv7; the seed of a generated secret
// stays with the request, so that every attempt yields the same.
func (c *Client) Write(ctx context.Context, req *mutation.Request) (*mutation.Answer, error) {
	born, err := complete(req)
	if err != nil {
		return nil, err
	}
	unknown := false
	return retry(ctx, c, func(ctx context.Context, conn *rpc.Client) (*mutation.Answer, error) {
		req.AgeUS = max(time.Since(born).Microseconds(), 0)
		return do[mutation.Request, *mutation.Answer](ctx, conn, "Cluster.Write", "", *req)
	}, func(err error) (bool, error) {
		switch {
		case errors.Is(err, errBroken), errors.Is(err, store.ErrUnknown):
			unknown = true
			return true, nil
		case errors.Is(err, store.ErrUnavailable):
			return true, nil
		}
		return false, err
	}, func(last *store.Error) *store.Error {
		if !unknown {
			return last
		}
		e := store.Errorf(store.CodeUnknown, "it is not known whether the change was made (request id %s)", req.ID)
		e.Hint = "the same command with --request-id " + req.ID + " finds out, and makes it at most once"
		if last.Hint != "" {
			e.Hint = last.Hint + "\n" + e.Hint
		}
		return e
	})
}

// complete gives a request its id and seed, and returns when it was first made.
func complete(req *mutation.Request) (born time.Time, err error) {
	born = time.Now() // monotonic from here on
	if req.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return born, err
		}
		req.ID = id.String()
	} else if id, err := uuid.Parse(req.ID); err == nil && id.Version() == 7 && id.String() == req.ID {
		sec, nsec := id.Time().UnixTime()
		born = time.Unix(sec, nsec) // an earlier process may have made it
	} else {
		req.NoTime = true
	}
	if len(req.Seed) == 0 {
		req.Seed = make([]byte, 32)
		rand.Read(req.Seed) // never fails
	}
	return born, nil
}

// Get returns one document as it is shown to people.
func (c *Client) Get(ctx context.Context, args GetArgs) (*GetReply, error) {
	return ask1[GetArgs, *GetReply](ctx, c, "Cluster.Get", args)
}

// List returns the documents of a kind, sorted by name: all of them, or the
// page that Limit and Continue ask for.
func (c *Client) List(ctx context.Context, args ListArgs) (*ListReply, error) {
	var all *ListReply
	limit := args.Limit
	for {
		page, err := ask1[ListArgs, *ListReply](ctx, c, "Cluster.List", args)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = page
		} else {
			all.Items, all.Continue = append(all.Items, page.Items...), page.Continue
		}
		if page.Continue == "" || limit > 0 && len(all.Items) >= limit {
			return all, nil
		}
		if limit > 0 {
			args.Limit = limit - len(all.Items)
		}
		args.Continue = page.Continue
		args.Read.MinIndex = max(args.Read.MinIndex, all.Index) // the pages after the first may be newer, never older
	}
}

// Status tells how every member is, as the server asked sees them.
func (c *Client) Status(ctx context.Context) (*ClusterStatus, error) {
	return ask1[struct{}, *ClusterStatus](ctx, c, "Cluster.Status", struct{}{})
}

// Health tells whether a write would succeed now; with wait it returns as soon
// as one would.
func (c *Client) Health(ctx context.Context, wait bool) (*HealthReply, error) {
	pause := firstPause
	for {
		h, err := ask1[struct{}, *HealthReply](ctx, c, "Cluster.Health", struct{}{})
		if err != nil || h.Ready || !wait {
			return h, err
		}
		if !rest(ctx, &pause) {
			return h, nil
		}
	}
}

// Remove takes a member out of the cluster.
func (c *Client) Remove(ctx context.Context, args RemoveArgs) (*RemoveReply, error) {
	return ask1[RemoveArgs, *RemoveReply](ctx, c, "Cluster.Remove", args)
}

// Enrol asks for the certificate of a new node.
func (c *Client) Enrol(ctx context.Context, args EnrolArgs) (*Enrolment, error) {
	return ask1[EnrolArgs, *Enrolment](ctx, c, "Cluster.Enrol", args)
}

// Admit asks for membership of a node that is enrolled.
func (c *Client) Admit(ctx context.Context, args AdmitArgs) error {
	_, err := ask1[AdmitArgs, struct{}](ctx, c, "Cluster.Admit", args)
	return err
}

// ask1 makes a call that may be repeated however its last attempt ended.
func ask1[A, R any](ctx context.Context, c *Client, method string, args A) (R, error) {
	return retry(ctx, c, func(ctx context.Context, conn *rpc.Client) (R, error) {
		return do[A, R](ctx, conn, method, "", args)
	}, func(err error) (bool, error) {
		again := errors.Is(err, errBroken) || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown)
		return again, err
	}, func(last *store.Error) *store.Error { return last })
}

// retry makes attempts until one settles the matter or the context ends. again
// says whether an error is worth another attempt; final makes the error that
// the caller gets when time is over.
func retry[R any](ctx context.Context, c *Client, attempt func(context.Context, *rpc.Client) (R, error),
	again func(error) (bool, error), final func(*store.Error) *store.Error) (R, error) {
	began, pause := time.Now(), firstPause
	said := map[string]string{} // server -> what it said last
	var zero R
	for {
		conn, server, err := c.connection(ctx)
		if err == nil {
			var v R
			v, err = attempt(ctx, conn)
			if err == nil {
				return v, nil
			}
			more, err2 := again(err)
			if !more {
				return zero, err2
			}
			c.next(conn, errors.Is(err, errBroken))
		}
		if ctx.Err() == nil || said[server] == "" {
			said[server] = reason(err)
		}
		c.opts.Log.Debug("not done yet", "server", server, "error", err)
		if !rest(ctx, &pause) {
			return zero, final(c.timedOut(ctx, said, time.Since(began)))
		}
	}
}

// rest waits before the next attempt. It reports whether there may be one.
func rest(ctx context.Context, pause *time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(*pause):
	}
	*pause = min(*pause*2, maxPause)
	return true
}

// connection returns the connection in use, or dials the servers in turn.
func (c *Client) connection(ctx context.Context) (*rpc.Client, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	server := c.opts.Servers[c.at%len(c.opts.Servers)]
	if c.conn != nil {
		return c.conn, server, nil
	}
	conn, err := dial(ctx, server, ProtocolRPC)
	if err != nil {
		c.at++
		return nil, server, err
	}
	c.opts.Log.Debug("connected", "server", server)
	c.conn = rpc.NewClientWithCodec(clientCodec{codec: newCodec(conn, nil)})
	return c.conn, server, nil
}

// next goes on to the next server, and gives up a connection that broke.
func (c *Client) next(conn *rpc.Client, broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn && (broken || len(c.opts.Servers) > 1) {
		c.conn.Close()
		c.conn = nil
		c.at++
	}
}

// dial connects to the socket of a node and names the protocol.
func dial(ctx context.Context, server, protocol string) (net.Conn, error) {
	path, ok := strings.CutPrefix(server, "unix:")
	if !ok {
		return nil, store.Errorf(store.CodeInvalid, "server %q is not unix:PATH", server)
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, protocol+"\n"); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// reason shortens an error to what tells one server from another.
func reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		parts := strings.Split(op.Err.Error(), ": ")
		return parts[len(parts)-1] // "connection refused", "no such file or directory"
	}
	if errors.Is(err, errBroken) {
		return "the connection broke"
	}
	return err.Error()
}

// timedOut is the error when every server was asked until the time was over.
func (c *Client) timedOut(ctx context.Context, said map[string]string, after time.Duration) *store.Error {
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
	took := after.Round(100 * time.Millisecond).String()
	if reached == "" {
		e := store.Errorf(store.CodeUnavailable, "cannot connect to %s after %s", strings.Join(servers, ", "), took)
		e.Hint = strings.Join(lines, "; ") + "\nis the node running? start it with: cpctl node"
		return e
	}
	e := store.Errorf(store.CodeUnavailable, "no leader among %s after %s", strings.Join(servers, ", "), took)
	e.Hint = strings.Join(lines, "; ") + "\nsee: cpctl cluster status --server " + reached
	return e
}

func isDialError(why string) bool {
	return slices.Contains([]string{"connection refused", "no such file or directory", "permission denied"}, why)
}

// Snapshot streams the state of the cluster as an archive into w.
func (c *Client) Snapshot(ctx context.Context, w io.Writer) (*snapshot.Manifest, error) {
	pause := firstPause
	for {
		sent := int64(0)
		reply, err := c.stream(ctx, streamRequest{Op: "snapshot"}, func(conn net.Conn) (err error) {
			sent, err = io.Copy(w, &chunks{r: stalling{conn}})
			return err
		})
		if err == nil {
			return reply.Manifest, nil
		}
		if sent > 0 || !errors.Is(err, store.ErrUnavailable) || !rest(ctx, &pause) {
			return nil, err
		}
	}
}

// Restore sends an archive and waits until the cluster holds what is in it. The
// same request id makes it at most once; an archive that can be read again from
// its start is sent again while that may help.
func (c *Client) Restore(ctx context.Context, r io.Reader, args RestoreArgs) (*RestoreReply, error) {
	if args.RequestID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, err
		}
		args.RequestID = id.String()
	}
	var reply *streamReply
	pause, unknown := firstPause, false
	for {
		var err error
		if reply, err = c.sendArchive(ctx, r, args); err == nil {
			return reply.Restored, nil
		}
		unknown = unknown || errors.Is(err, errBroken) || errors.Is(err, store.ErrUnknown)
		again, ok := r.(io.Seeker)
		retryable := errors.Is(err, errBroken) || errors.Is(err, store.ErrUnknown) || errors.Is(err, store.ErrUnavailable)
		if ok && retryable && rest(ctx, &pause) {
			if _, err := again.Seek(0, io.SeekStart); err == nil {
				continue
			}
		}
		if unknown && retryable {
			return nil, store.Errorf(store.CodeUnknown, "it is not known whether the restore was made (request id %s): %v", args.RequestID, err).
				WithHint("the same command with --request-id %s finds out, and makes it at most once", args.RequestID)
		}
		return nil, err
	}
}

func (c *Client) sendArchive(ctx context.Context, r io.Reader, args RestoreArgs) (*streamReply, error) {
	return c.stream(ctx, streamRequest{Op: "restore", Restore: args}, func(conn net.Conn) error {
		to := stalling{conn}
		w := newChunkWriter(to)
		if _, err := io.Copy(w, r); err != nil {
			return fmt.Errorf("send the archive: %w", err)
		}
		return w.finish(to)
	})
}

// stream opens a stream to the first server that answers, and returns what the
// server says at its end.
func (c *Client) stream(ctx context.Context, req streamRequest, transfer func(net.Conn) error) (*streamReply, error) {
	conn, err := c.dialStream(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if at, ok := ctx.Deadline(); ok {
		req.TimeoutMS = max(time.Until(at).Milliseconds(), 1)
	}
	if err := writeJSON(stalling{conn}, req); err != nil {
		return nil, store.Errorf(store.CodeUnavailable, "the connection broke: %v", err)
	}
	if err := transfer(conn); err != nil {
		return nil, store.Errorf(store.CodeUnavailable, "the transfer broke: %v", err)
	}
	var reply streamReply
	if err := readReply(ctx, conn, &reply); err != nil {
		return nil, errors.Join(errBroken, err)
	}
	if reply.Err != nil {
		return nil, reply.Err
	}
	return &reply, nil
}

func (c *Client) dialStream(ctx context.Context) (net.Conn, error) {
	began, pause := time.Now(), firstPause
	said := map[string]string{}
	for {
		for _, server := range c.opts.Servers {
			conn, err := dial(ctx, server, ProtocolStream)
			if err == nil {
				return conn, nil
			}
			said[server] = reason(err)
		}
		if !rest(ctx, &pause) {
			return nil, c.timedOut(ctx, said, time.Since(began))
		}
	}
}
