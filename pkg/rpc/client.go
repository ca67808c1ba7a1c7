package rpc

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// Options say whom a client talks to.
type Options struct {
	Servers     []string                  // "unix:PATH" or "HOST:PORT", tried in this order
	Credentials *pki.Credentials          // who the caller is, for HOST:PORT; nil: nobody
	Login       string                    // the command that makes new credentials, for hints; "": in general terms
	Met         func(server pki.Identity) // told who a server has shown to be, over the network; nil: nobody wants to know
	Waiting     func(server, why string)  // told once when a call has waited for a while; nil: nobody wants to know
	Log         *slog.Logger              // attempts and answers; nil: nobody wants to know
}

// Client is an operator's end of the wire. It dials when it is first used, and
// goes on asking while the answer is that nothing was proposed. Its calls may
// run at the same time and share one connection.
type Client struct {
	opts Options

	mu   sync.Mutex
	conn *link
	at   int                // the server in use, or to be tried first
	last map[string]outcome // by server
	told bool               // that a call waits
}

// The pauses between attempts: short enough that an election is not made
// longer by them, and growing so that scripts that wait do not press on it.
const (
	firstPause = 20 * time.Millisecond
	maxPause   = 100 * time.Millisecond
)

// longWait is how long a call waits before somebody is told what for.
const longWait = 2500 * time.Millisecond

// waiting tells once that a call that began then still waits.
func (c *Client) waiting(began time.Time, server, why string) {
	c.mu.Lock()
	first := !c.told && c.opts.Waiting != nil && time.Since(began) >= longWait
	c.told = c.told || first
	c.mu.Unlock()
	if first {
		c.opts.Waiting(server, why)
	}
}

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
	return c.hangUp()
}

// hangUp gives up the connection in use, if there is one. The caller holds mu.
func (c *Client) hangUp() error {
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
// stays with the request, so that every attempt yields the same. An id that is
// given may be that of an earlier call, whose attempts may be on their way still.
func (c *Client) Write(ctx context.Context, req *mutation.Request) (*mutation.Answer, error) {
	given := req.ID != ""
	born, timeless, err := identify(&req.ID)
	if err != nil {
		return nil, err
	}
	req.NoTime = timeless
	req.Again = req.Again || given
	if len(req.Seed) == 0 {
		req.Seed = make([]byte, 32)
		rand.Read(req.Seed) // never fails
	}
	unknown := false
	unsettled := func(last *store.Error) *store.Error {
		if !unknown {
			return last
		}
		e := store.Errorf(store.CodeUnknown, "it is not known whether the change was made (request id %s)", req.ID)
		e.Hint = last.Hint
		if !errors.Is(last, store.ErrUnavailable) { // a first attempt went out, and then nobody took us any more
			e.Hint = strings.Trim(last.Hint+"\n"+last.Message, "\n")
		}
		return e
	}
	return retry(ctx, c, func(ctx context.Context, conn *link) (*mutation.Answer, error) {
		req.AgeUS = max(time.Since(born).Microseconds(), 0)
		return do[mutation.Request, *mutation.Answer](ctx, conn, "Cluster.Write", nil, *req)
	}, func(err error) (bool, error) {
		switch {
		case errors.Is(err, errBroken), errors.Is(err, store.ErrUnknown):
			unknown, req.Again = true, true
			return true, nil
		case errors.Is(err, store.ErrUnavailable):
			return true, nil
		case unknown && !judges(err):
			return len(c.opts.Servers) > 1, unsettled(typed(err)) // another server may know
		}
		return false, err
	}, unsettled)
}

// judges tells whether an error is what the cluster says of a request, or only of
// an attempt: a node that was removed meanwhile, or cannot go on, does not know
// what became of one before.
func judges(err error) bool {
	for _, attempt := range []error{store.ErrDenied, store.ErrIntegrity, store.ErrNewer, store.ErrInternal} {
		if errors.Is(err, attempt) {
			return false
		}
	}
	return true
}

// identify makes an id for a request that has none, and returns when the request
// was first made; timeless if its id, given by the caller, does not tell.
func identify(id *string) (born time.Time, timeless bool, err error) {
	born = time.Now() // monotonic from here on
	if *id == "" {
		made, err := uuid.NewV7()
		*id = made.String()
		return born, false, err
	}
	given, err := uuid.Parse(*id)
	if err != nil || given.Version() != 7 || given.String() != *id {
		return born, true, nil
	}
	sec, nsec := given.Time().UnixTime()
	return time.Unix(sec, nsec), false, nil // an earlier process may have made it
}

// Get returns one document as it is shown to people.
func (c *Client) Get(ctx context.Context, args GetArgs) (*GetReply, error) {
	r, err := repeat[GetArgs, *GetReply](ctx, c, "Cluster.Get", args)
	return r, args.Read.instead(err)
}

// instead adds to the error of a read that found no leader what would do without.
func (o ReadOptions) instead(err error) error {
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeUnavailable || o.Stale || !strings.HasPrefix(e.Message, noLeader) {
		return err
	}
	return e.WithHint("%s\nwhat a node knew last: the same command with --stale", e.Hint)
}

// List returns the documents of a kind, sorted by name: all of them, or the
// page that Limit and Continue ask for.
func (c *Client) List(ctx context.Context, args ListArgs) (*ListReply, error) {
	var all *ListReply
	limit := args.Limit
	for {
		page, err := repeat[ListArgs, *ListReply](ctx, c, "Cluster.List", args)
		if err != nil {
			return nil, args.Read.instead(err)
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
	return repeat[struct{}, *ClusterStatus](ctx, c, "Cluster.Status", struct{}{})
}

// Health tells whether a write would succeed now; with wait it returns as soon
// as one would.
func (c *Client) Health(ctx context.Context, wait bool) (*HealthReply, error) {
	const method = "Cluster.Health"
	if !wait {
		return once[struct{}, *HealthReply](ctx, c, method, struct{}{})
	}
	pause := firstPause
	for {
		h, err := repeat[struct{}, *HealthReply](ctx, c, method, struct{}{})
		if err != nil || h.Ready {
			return h, err
		}
		if !rest(ctx, &pause, 0) {
			return h, nil
		}
	}
}

// Check has every member check itself.
func (c *Client) Check(ctx context.Context, args CheckArgs) (*CheckReport, error) {
	return repeat[CheckArgs, *CheckReport](ctx, c, "Cluster.Check", args)
}

// Export asks for the private part of a signing key. Each attempt is on record
// as an export of its own.
func (c *Client) Export(ctx context.Context, args ExportArgs) (*ExportReply, error) {
	return repeat[ExportArgs, *ExportReply](ctx, c, "Cluster.Export", args)
}

// Enrol asks for the certificate of a new node.
func (c *Client) Enrol(ctx context.Context, args EnrolArgs) (*Enrolment, error) {
	return repeat[EnrolArgs, *Enrolment](ctx, c, "Cluster.Enrol", args)
}

// Admit asks for membership of a node that is enrolled.
func (c *Client) Admit(ctx context.Context, args AdmitArgs) error {
	_, err := repeat[AdmitArgs, struct{}](ctx, c, "Cluster.Admit", args)
	return err
}

// Join asks for membership of the node whose credentials the client has.
func (c *Client) Join(ctx context.Context, args AdmitArgs) error {
	_, err := repeat[AdmitArgs, struct{}](ctx, c, "Peer.Join", args)
	return err
}
