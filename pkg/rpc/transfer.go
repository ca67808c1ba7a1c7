package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// Snapshot streams the state of the cluster as an archive into w.
func (c *Client) Snapshot(ctx context.Context, w io.Writer) (*snapshot.Manifest, error) {
	pause := firstPause
	var said error // by a server, last
	for {
		sent := int64(0)
		to := &destination{w: w}
		reply, err := c.stream(ctx, streamRequest{Op: "snapshot"}, func(conn net.Conn) (err error) {
			sent, err = io.Copy(to, &chunks{r: stalling{conn}})
			return err
		})
		if to.err != nil {
			return nil, to.err
		}
		if err == nil {
			return reply.Manifest, nil
		}
		if said == nil || !spent(ctx) { // that the time is over says less
			said = err
		}
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, errBroken) || sent > 0 && !rewound(w) || !rest(ctx, &pause, 0) {
			return nil, lookAt(said)
		}
	}
}

// lookAt adds to an error that says why nothing was done where to look.
func lookAt(err error) error {
	var e *store.Error
	if errors.As(err, &e) && e.Code == store.CodeUnavailable && e.Hint == "" {
		return e.WithHint("see: cpctl cluster status")
	}
	return err
}

// rewound makes a destination forget what it has of an archive whose rest will not
// come, such as one of a node that was stopped. One that others read cannot.
func rewound(w io.Writer) bool {
	to, ok := w.(interface{ Rewind() error })
	return ok && to.Rewind() == nil
}

// destination remembers that writing has failed: that is the caller's disk, and
// neither the connection nor the server.
type destination struct {
	w   io.Writer
	err error
}

func (d *destination) Write(b []byte) (n int, err error) {
	n, err = d.w.Write(b)
	d.err = errors.Join(d.err, err)
	return n, err
}

// Restore sends an archive and waits until the cluster holds what is in it. The
// same request id makes it at most once; an archive that can be read again from
// its start is sent again while that may help.
func (c *Client) Restore(ctx context.Context, r io.Reader, args RestoreArgs) (*RestoreReply, error) {
	born, timeless, err := identify(&args.RequestID)
	if err != nil {
		return nil, err
	}
	args.NoTime = timeless
	var reply *streamReply
	var said error // by a server, last
	pause, unknown := firstPause, false
	archive := &origin{r: r}
	for {
		args.AgeUS = max(time.Since(born).Microseconds(), 0)
		if reply, err = c.sendArchive(ctx, archive, args); err == nil {
			return reply.Restored, nil
		}
		if archive.err != nil && !unknown {
			return nil, fmt.Errorf("read the archive: %w", archive.err) // no server has all of it
		}
		var cut cutOff
		switch {
		case !errors.As(err, &cut):
			if !errors.Is(err, errBroken) {
				said = err
			}
		case !spent(ctx):
		case said != nil: // that its time is over says less
			err = said
		default:
			err = store.Errorf(store.CodeUnavailable, "the time was over before the archive was sent; nothing was changed").WithHint("give it more with --timeout, at most 1h")
		}
		lost := errors.Is(err, errBroken) || errors.Is(err, store.ErrUnknown)
		unknown = unknown || lost
		again, ok := r.(io.Seeker)
		retryable := lost || errors.Is(err, store.ErrUnavailable)
		if unknown && (!judges(err) || errors.Is(err, store.ErrConflict) && args.ExpectRevision == nil) {
			retryable = true // another restore is under way, say: that says nothing of ours
		}
		if ok && retryable && (unknown || said == nil || timeFor(ctx)) && rest(ctx, &pause, 0) {
			if _, err := again.Seek(0, io.SeekStart); err == nil {
				continue
			}
		}
		if unknown && retryable {
			return nil, store.Errorf(store.CodeUnknown, "it is not known whether the restore was made (request id %s): %v", args.RequestID, err)
		}
		return nil, lookAt(err)
	}
}

// timeFor tells whether there is time for an answer to another attempt. Of one
// that is cut off by the end of the time nobody knows what became of it, and what
// was said before it is known.
func timeFor(ctx context.Context) bool {
	at, ok := ctx.Deadline()
	return !ok || time.Until(at) > 5*answerTime
}

// origin remembers that reading has failed: that is the caller's file, and neither
// the connection nor the server.
type origin struct {
	r   io.Reader
	err error
}

func (o *origin) Read(b []byte) (n int, err error) {
	n, err = o.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		o.err = err
	}
	return n, err
}

// cutOff is a transfer that ended before its end: the server does not have all of it.
type cutOff struct{ why *store.Error }

func cutShort(what string, err error) error {
	return cutOff{store.Errorf(store.CodeUnavailable, "%s: %v", what, err)}
}

func (e cutOff) Error() string { return e.why.Error() }
func (e cutOff) Unwrap() error { return e.why }

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
	conn, server, err := c.dialStream(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	reply, err := exchange(ctx, conn, req, transfer)
	if err == nil && reply.Gone == goneUnsound {
		return nil, c.elsewhere(c.note(server, conn, &Goodbye{Err: reply.Err, Unsound: true}))
	}
	if err != nil || errors.Is(reply.failure(), store.ErrUnavailable) {
		c.turn() // the next attempt begins with another server
	}
	switch {
	case err == nil && reply.Err != nil:
		return nil, reply.Err
	case err == nil:
		return reply, nil
	case ctx.Err() != nil:
		return nil, err
	}
	if refusal := c.note(server, conn, errBroken); refusal != nil {
		return nil, c.elsewhere(refusal)
	}
	return nil, err
}

// elsewhere is the error after a refusal: another server may take us, if there
// is one.
func (c *Client) elsewhere(refusal *store.Error) error {
	if final := c.hopeless(); final != nil {
		return final
	}
	return store.Errorf(store.CodeUnavailable, "%s", refusal.Message)
}

// exchange sends the request and what goes with it, and waits for the reply.
func exchange(ctx context.Context, conn net.Conn, req streamRequest, transfer func(net.Conn) error) (*streamReply, error) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if at, ok := ctx.Deadline(); ok {
		left := time.Until(at)
		req.TimeoutMS = max((left - min(left/10, answerTime)).Milliseconds(), 1)
	}
	if err := writeJSON(stalling{conn}, req); err != nil {
		return nil, cutShort("the connection broke", err)
	}
	if err := transfer(conn); err != nil {
		return nil, cutShort("the transfer broke", err)
	}
	var reply streamReply
	if err := readReply(ctx, conn, &reply); err != nil {
		return nil, errors.Join(errBroken, err)
	}
	return &reply, nil
}

// inTurn are the servers, beginning with the one that is in use.
func (c *Client) inTurn() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at % len(c.opts.Servers)
	return slices.Concat(c.opts.Servers[at:], c.opts.Servers[:at])
}

// turn makes the next server the first. Calls that are under way over the one in
// use are made again.
func (c *Client) turn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.opts.Servers) > 1 {
		c.hangUp()
		c.at++
	}
}

// dialStream connects to the first server that gives a sign of life and has not
// refused us.
func (c *Client) dialStream(ctx context.Context) (*judged, string, error) {
	if err := c.alive(ctx); err != nil {
		return nil, "", err
	}
	began, pause := time.Now(), firstPause
	said := map[string]string{}
	for {
		for _, server := range c.inTurn() {
			if c.refuses(server) {
				continue
			}
			conn, err := c.dial(ctx, server, ProtocolStream)
			if err == nil {
				return &judged{Conn: conn}, server, nil
			}
			if errors.Is(err, store.ErrInvalid) {
				return nil, server, err
			}
			c.note(server, nil, err)
			said[server] = reason(err)
		}
		if refusal := c.hopeless(); refusal != nil {
			return nil, "", refusal
		}
		if !rest(ctx, &pause, 0) {
			return nil, "", c.timedOut(said, time.Since(began))
		}
	}
}
