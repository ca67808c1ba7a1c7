package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// trails are the audit logs of the members.
type trails struct {
	env   *Env
	c     auditor
	since time.Time
	all   []*trail
	look  time.Duration // followLook; tests are in a hurry
}

// trail is the log of one member, a page of it at a time.
type trail struct {
	node   rpc.NodeStatus
	behind audit.Cursor
	lines  []string // that were not shown yet
	at     time.Time
	more   bool
	silent bool // it did not answer
	gone   bool // it is no member any more
	told   bool // that it was said
	end    bool // it has yet to say where its log ends
}

// The waiting of --follow: the server holds a call until there is a line.
const (
	followWait  = 25 * time.Second
	followPause = time.Second      // before a member that did not answer is asked again
	followLook  = 10 * time.Second // between two looks at who is a member
)

// openTrails asks all members at once for their first pages, or where they end.
func (e *Env) openTrails(ctx context.Context, c auditor, nodes []rpc.NodeStatus, since *time.Time) (*trails, error) {
	t := &trails{env: e, c: c, look: cmp.Or(e.followLook, followLook)}
	if since != nil {
		t.since = *since
	}
	var asked sync.WaitGroup
	first := make([]page, len(nodes))
	for i, n := range nodes {
		one := &trail{node: n, end: since == nil}
		t.all = append(t.all, one)
		asked.Go(func() { first[i] = t.ask(ctx, one, rpc.AuditArgs{}) })
	}
	asked.Wait()
	for _, p := range first {
		if err := t.take(p); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// page is an answer for one member.
type page struct {
	of    *trail
	reply *rpc.AuditReply
	err   error // from the node asked, about all members
}

// ask asks for the next lines of a member.
func (t *trails) ask(ctx context.Context, one *trail, args rpc.AuditArgs) page {
	args.Node, args.Behind, args.Since, args.End = one.node.ID, one.behind, t.since, one.end
	r, err := t.c.Audit(ctx, args)
	return page{one, r, err}
}

// take takes an answer, and says what is missing: once, if a member is silent.
func (t *trails) take(p page) error {
	if errors.Is(p.err, store.ErrNotFound) { // removed meanwhile; the others are worth reading
		if !p.of.told { // a server that is behind may name it once more
			t.env.note("node %q is no member any more: its audit log is not read here", p.of.node.Name)
		}
		p.of.gone, p.of.told, p.of.lines, p.of.more = true, true, nil, false
		return nil
	}
	if p.err != nil {
		return p.err
	}
	one, r := p.of, p.reply
	if r.Silent != "" {
		if !one.silent {
			t.env.note("the audit log of node %q is missing here: %s", one.node.Name, r.Silent)
		}
		one.silent, one.lines, one.more = true, nil, false
		return nil
	}
	one.silent, one.end, one.behind, one.lines, one.more = false, false, r.Next, r.Lines, r.More
	one.head()
	if r.Damaged > 0 {
		t.env.note("node %q: %s left out; see: cpctl audit --verify", one.node.Name, plural(r.Damaged, "damaged line"))
	}
	return nil
}

// head notes the time of the next line.
func (o *trail) head() {
	if len(o.lines) > 0 {
		o.at = timeOf(o.lines[0])
	}
}

func timeOf(line string) time.Time {
	var l audit.Line
	if json.Unmarshal([]byte(line), &l) != nil {
		return time.Time{}
	}
	return l.Time
}

// merged shows what there is by now, by time.
func (t *trails) merged(ctx context.Context, show func(string) error) error {
	for {
		var next *trail
		for _, one := range t.all {
			if len(one.lines) > 0 && (next == nil || one.at.Before(next.at)) {
				next = one
			}
		}
		if next == nil {
			return ctx.Err()
		}
		if err := show(next.lines[0]); err != nil {
			return err
		}
		if next.lines = next.lines[1:]; len(next.lines) == 0 && next.more {
			if err := t.take(t.ask(ctx, next, rpc.AuditArgs{})); err != nil {
				return err
			}
		}
		next.head()
	}
}

// follow shows what comes, until the context ends.
func (t *trails) follow(ctx context.Context, c statuser, show func(string) error) error {
	ctx, cancel := context.WithCancel(ctx)
	pages, members := make(chan page), make(chan []rpc.NodeStatus)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	ask := func(one *trail) {
		own := *one
		asked.Go(func() { t.keepAsking(ctx, own, one, pages) })
	}
	for _, one := range t.all {
		if !one.gone {
			ask(one)
		}
	}
	asked.Go(func() { t.keepLooking(ctx, c, members) })
	for {
		select {
		case nodes := <-members:
			for _, n := range nodes {
				one := t.of(n.ID)
				if one != nil && !one.gone {
					continue
				}
				if one == nil { // all that it has on record is new
					one = &trail{node: n}
					t.all = append(t.all, one)
				}
				one.gone = false
				ask(one)
			}
		case p := <-pages:
			if err := t.take(p); err != nil {
				return err
			}
			for _, line := range p.of.lines {
				if err := show(line); err != nil {
					return err
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// keepLooking passes on who the members are now. A server that cannot say is
// asked again, and those that ask for pages find out what is wrong.
func (t *trails) keepLooking(ctx context.Context, c statuser, members chan<- []rpc.NodeStatus) {
	for {
		select {
		case <-time.After(t.look):
		case <-ctx.Done():
			return
		}
		st, err := c.Status(ctx)
		if err != nil {
			continue
		}
		select {
		case members <- st.Nodes:
		case <-ctx.Done():
		}
	}
}

// keepAsking passes on the pages of one member; it has a trail of its own. It
// ends with the membership.
func (t *trails) keepAsking(ctx context.Context, one trail, shared *trail, pages chan<- page) {
	for ctx.Err() == nil {
		p := t.ask(ctx, &one, rpc.AuditArgs{WaitMS: followWait.Milliseconds()})
		pause := followPause
		if p.err == nil && p.reply.Silent == "" {
			one.end, one.behind, pause = false, p.reply.Next, 0
		}
		p.of = shared
		select {
		case pages <- p:
		case <-ctx.Done():
		}
		if p.err != nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// of is the trail of a member, nil if it has none yet.
func (t *trails) of(id string) *trail {
	if i := slices.IndexFunc(t.all, func(o *trail) bool { return o.node.ID == id }); i >= 0 {
		return t.all[i]
	}
	return nil
}
