package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/histories"
	"github.com/cpctl/cpctl/test/live"
)

// settle notes the answer to a write. What nobody was told of stays so until it
// is answered: that a later attempt was certainly not made says nothing of the
// first.
func (c *caller) settle(a *asked, ans *mutation.Answer, err error) {
	o := a.op
	said := saidOf(err)
	o.Return = c.p.m.now()
	if err != nil {
		o.Why = err.Error()
		if said == "" {
			c.p.wrong("%s: this was to be done, refused, or not be known: %v", o, err)
			said = histories.Unavailable
		}
		if said == histories.Unavailable && a.sent {
			said = histories.Unknown
		}
		if said == histories.Unknown && !a.sent && c.rng.IntN(2) == 0 {
			c.doubt = append(c.doubt, a)
		}
		a.sent = true
		o.Said = said
		if said == histories.NotFound {
			c.p.saw(o.Doc, histories.Doc{})
		}
		return
	}
	o.Said, o.Index, o.Replayed = histories.Done, ans.Index, ans.Replayed
	if ans.Outcome == mutation.Unchanged {
		o.Said = histories.Unchanged
		return
	}
	o.Revision = ans.Revision
	c.index = max(c.index, ans.Index)
	c.answered(o, ans.Document)
}

// answered notes the document that a write was answered with.
func (c *caller) answered(o *histories.Op, document json.RawMessage) {
	if o.Kind == histories.Delete {
		c.p.saw(o.Doc, histories.Doc{})
		return
	}
	if len(document) == 0 { // it has changed since
		return
	}
	d, err := histories.Seen(document)
	if err != nil || d.Revision != o.Revision || o.Kind != histories.Rotate && d.Value != o.Value {
		c.p.wrong("%s: answered with %s, %v", o, d, err)
		return
	}
	c.p.saw(o.Doc, d)
}

// saidOf is what an error says of an operation, "" if it should not be.
func saidOf(err error) histories.Said {
	for _, e := range []struct {
		class error
		said  histories.Said
	}{
		{store.ErrExists, histories.Exists},
		{store.ErrNotFound, histories.NotFound},
		{store.ErrConflict, histories.Conflict},
		{store.ErrUnavailable, histories.Unavailable},
		{store.ErrDenied, histories.Unavailable}, // by a node that was removed
		{store.ErrRefused, histories.Unavailable},
		{store.ErrUnknown, histories.Unknown},
	} {
		if errors.Is(err, e.class) {
			return e.said
		}
	}
	return ""
}

// read reads a document at a node.
func (c *caller) read(path string, mode histories.Mode, patience time.Duration) {
	n := c.node()
	o := c.p.op(&histories.Op{Client: c.name, Node: n.Name, Doc: path, Kind: histories.Read, Mode: mode})
	ref, err := store.ParsePath(path)
	if err != nil {
		panic(err) // one that the part made
	}
	args := rpc.GetArgs{Kind: ref.Kind, Tenant: ref.Tenant, Name: ref.Name}
	switch {
	case ref.Kind == "tenant":
		args.Name = ref.Tenant
	case mode == histories.Stale:
		args.Read.Stale = true
	case mode == histories.MinIndex:
		args.Read.MinIndex = c.index
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	got, err := c.conn(n).Get(ctx, args)
	o.Return = c.p.m.now()
	if err != nil {
		o.Why = err.Error()
		if o.Said = saidOf(err); o.Said != histories.NotFound && o.Said != histories.Unavailable {
			c.p.wrong("%s: a read is answered, or is not: %v", o, err)
		}
		if o.Said == histories.NotFound && mode == histories.Newest {
			c.p.saw(path, histories.Doc{})
		}
		if patience == live.Patience && o.Said == histories.Unavailable {
			c.p.wrong("%s, and the cluster was whole: %v", o, err)
		}
		return
	}
	o.Said, o.Revision, o.Index = histories.Done, got.Revision, got.Index
	if o.Found, err = histories.Seen(got.Document); err != nil || got.Node != n.Name {
		c.p.wrong("%s: answered by %s, %v", o, got.Node, err)
	}
	if mode == histories.MinIndex && got.Index < args.Read.MinIndex {
		c.p.wrong("%s: asked for index %d, answered from %d", o, args.Read.MinIndex, got.Index)
	}
	if mode == histories.Newest {
		c.p.saw(path, o.Found)
	}
}

// settleBy is how long a restore may take.
const settleBy = 20 * time.Second
