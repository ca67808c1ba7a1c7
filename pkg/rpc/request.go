package rpc

import (
	"context"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// What is known of a request. The last one proves nothing: the request may be on
// its way, have been refused before it came into the log, or be forgotten.
const (
	RequestApplied = "applied"
	RequestRefused = "refused"
	RequestNotSeen = "not seen yet"
)

// RequestArgs names a request by its id.
type RequestArgs struct {
	ID   string      `json:"id"`
	Read ReadOptions `json:"read"`
}

// RequestState is the JSON of `request get`: what the cluster remembers of a
// request, twenty minutes of command time at most.
type RequestState struct {
	FormatVersion string       `json:"format_version"`
	Kind          string       `json:"kind"` // request
	ID            string       `json:"request_id"`
	State         string       `json:"state"`
	Operation     string       `json:"operation"`         // such as client.create; "" if it was not seen
	Time          store.Time   `json:"time"`              // of the command
	Changed       []string     `json:"changed"`           // client/acme/web, ..., the first few
	ChangedTotal  int          `json:"changed_total"`     // how many there were
	Refusal       *store.Error `json:"refusal,omitempty"` // of a refused one
	Index         uint64       `json:"index"`             // of its log entry; 0 if it was not seen
	Revision      uint64       `json:"revision"`          // of the state after it; 0 if it was not seen
	Seen          ReadInfo     `json:"seen"`              // where and how far was looked
}

func (s *RequestState) shownAt() uint64 { return s.Seen.Index }

// Request tells what is remembered of a request id.
func (c *Cluster) Request(call *Call[RequestArgs], reply *Reply[*RequestState]) error {
	return serve(call, reply, func(ctx context.Context) (*RequestState, error) {
		by := call.by()
		if err := store.CheckRequestID(call.Args.ID); err != nil {
			return nil, store.Errorf(store.CodeInvalid, "%v", err)
		}
		if err := access.Check(by, access.Read, by.Tenant); err != nil {
			return nil, err
		}
		img, info, err := c.s.image(ctx, by, call.Args.Read)
		if err != nil {
			return nil, err
		}
		st := &RequestState{FormatVersion: store.FormatVersion, Kind: "request", ID: call.Args.ID, State: RequestNotSeen, Changed: []string{}, Seen: info}
		switch r := img.Request(call.Args.ID); {
		case r != nil:
			err = st.fill(r, by)
		default:
			err = forgotten(img, call.Args.ID)
		}
		return st, err
	})
}

// forgotten is the error of a request that was made before those which are
// remembered: an id that says when that was is refused from now on.
func forgotten(img *store.Image, id string) error {
	born, timeless, err := identify(&id)
	counters := img.Counters()
	horizon := max(counters.Horizon, counters.Time-store.RequestMemory-1)
	if made := store.TimeOf(born); err == nil && !timeless && made <= horizon {
		return store.Errorf(store.CodeRequestReused, "request %s was made at %s, and those made until %s are forgotten: nobody knows whether it was done", id, made, horizon).
			WithHint("look at the object; to make the change now, send it under a new request id")
	}
	return nil
}

// fill adds what is remembered, for those who may read what the request was
// about. Of a refused one nothing is remembered that tells its tenant.
func (s *RequestState) fill(r *store.Record, by access.Actor) error {
	for _, name := range r.Names {
		ref, err := store.ParseRef(name)
		if err != nil {
			ref.Tenant = "" // nothing of a tenant's
		}
		if err := access.Check(by, access.Read, ref.Tenant); err != nil {
			return err
		}
	}
	if len(r.Names) == 0 {
		if err := access.Check(by, access.Read, ""); err != nil {
			return err
		}
	}
	s.State, s.Operation, s.Time, s.Index, s.Revision = RequestApplied, r.Op, r.Time, r.Index, r.Revision
	s.Changed, s.ChangedTotal = append(s.Changed, r.Names...), max(r.Total, len(r.Names))
	if r.Refusal != nil {
		s.State, s.Refusal = RequestRefused, r.Refusal
	}
	return nil
}

// Request asks what is remembered of a request.
func (c *Client) Request(ctx context.Context, args RequestArgs) (*RequestState, error) {
	return repeat[RequestArgs, *RequestState](ctx, c, "Cluster.Request", args)
}
