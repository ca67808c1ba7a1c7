package rpc

import (
	"context"
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/store"
)

// AuditArgs asks for the audit log of one member, or the next page of it.
type AuditArgs struct {
	Node   string       `json:"node,omitempty"` // id; the node asked if empty
	Behind audit.Cursor `json:"behind"`         // the line after which to go on
	Since  time.Time    `json:"since"`          // older lines are left out
	End    bool         `json:"end,omitempty"`  // nothing but where the log ends now
	WaitMS int64        `json:"wait_ms,omitempty"`
}

// AuditReply is a page of it.
type AuditReply struct {
	audit.Page
	Silent string `json:"silent,omitempty"` // why that member did not answer
}

// AuditCheckArgs asks for the chain of one member to be followed.
type AuditCheckArgs struct {
	Node string `json:"node,omitempty"` // id; the node asked if empty
}

// AuditCheckReply says whether it is whole.
type AuditCheckReply struct {
	audit.Report
	Silent string `json:"silent,omitempty"`
}

const (
	auditPage  = 256 << 10        // of lines, well below MaxFrame: a line travels as a string, its quotes escaped
	auditAsk   = 5 * time.Second  // for another member to answer
	auditWait  = 30 * time.Second // at most, for a line to come
	auditCheck = 2 * time.Minute  // to follow half a gigabyte on a slow disk
)

// Audit returns lines of the audit log of a member. With WaitMS it waits that
// long for one.
func (c *Cluster) Audit(call *Call[AuditArgs], reply *Reply[*AuditReply]) error {
	return serve(call, reply, func(ctx context.Context) (*AuditReply, error) {
		a := call.Args
		r, silent, err := onMember(ctx, c.s, a.Node, auditAsk+wait(a.WaitMS), c.s.audit, "Peer.Audit", call.by(), a)
		if silent != "" {
			r = &AuditReply{Page: audit.Page{Lines: []string{}, Next: a.Behind}, Silent: silent}
		}
		return r, err
	})
}

// AuditCheck follows the chain of the audit log of a member.
func (c *Cluster) AuditCheck(call *Call[AuditCheckArgs], reply *Reply[*AuditCheckReply]) error {
	return serve(call, reply, func(ctx context.Context) (*AuditCheckReply, error) {
		r, silent, err := onMember(ctx, c.s, call.Args.Node, auditCheck, c.s.auditCheck, "Peer.AuditCheck", call.by(), call.Args)
		if silent != "" {
			r = &AuditCheckReply{Silent: silent}
		}
		return r, err
	})
}

// Audit is Cluster.Audit of this node, for one that another node authenticated.
func (p *Peer) Audit(call *Call[AuditArgs], reply *Reply[*AuditReply]) error {
	return serve(call, reply, func(ctx context.Context) (*AuditReply, error) { return p.s.audit(ctx, call.by(), call.Args) })
}

// AuditCheck is Cluster.AuditCheck of this node.
func (p *Peer) AuditCheck(call *Call[AuditCheckArgs], reply *Reply[*AuditCheckReply]) error {
	return serve(call, reply, func(ctx context.Context) (*AuditCheckReply, error) { return p.s.auditCheck(ctx, call.by(), call.Args) })
}

// onMember asks a member that is named by its id. One that does not answer is
// silent, which is no error: the others' logs are worth reading.
func onMember[A, R any](ctx context.Context, s *Server, id string, within time.Duration,
	here func(context.Context, access.Actor, A) (R, error), method string, by access.Actor, args A) (r R, silent string, err error) {
	if id == "" || id == s.node.ID() {
		if r, err = here(ctx, by, args); err != nil && !errors.Is(err, store.ErrDenied) {
			return r, err.Error(), nil
		}
		return r, "", err
	}
	if err := s.allowed(ctx, by, access.Auditing); err != nil {
		return r, "", err
	}
	for _, m := range s.node.Members() {
		if m.ID != id {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		if r, err = ask[A, R](ctx, s.peers, m, method, &by, args); err != nil {
			return r, err.Error(), nil
		}
		return r, "", nil
	}
	return r, "", store.Errorf(store.CodeNotFound, "there is no member with the id %q", id).WithHint("see: cpctl cluster members -o json")
}

func wait(ms int64) time.Duration {
	return min(time.Duration(max(ms, 0))*time.Millisecond, auditWait)
}

func (s *Server) audit(ctx context.Context, by access.Actor, a AuditArgs) (*AuditReply, error) {
	if err := s.audits(ctx, by); err != nil {
		return nil, err
	}
	if a.End {
		return &AuditReply{Page: audit.Page{Lines: []string{}, Next: s.record.End()}}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait(a.WaitMS))
	defer cancel()
	for {
		p, err := s.record.Read(a.Behind, a.Since, auditPage)
		if err != nil {
			return nil, err
		}
		if len(p.Lines) > 0 || p.More || ctx.Err() != nil {
			return &AuditReply{Page: *p}, nil
		}
		a.Behind = p.Next
		s.record.Wait(ctx, p.Next.Seq)
	}
}

func (s *Server) auditCheck(ctx context.Context, by access.Actor, _ AuditCheckArgs) (*AuditCheckReply, error) {
	if err := s.audits(ctx, by); err != nil {
		return nil, err
	}
	r, err := s.record.Verify()
	if err != nil {
		return nil, err
	}
	return &AuditCheckReply{Report: *r}, nil
}

func (s *Server) audits(ctx context.Context, by access.Actor) error {
	if err := s.allowed(ctx, by, access.Auditing); err != nil {
		return err
	}
	if !s.records() {
		return store.Errorf(store.CodeUnavailable, "node %q keeps no audit log", s.node.Name())
	}
	return nil
}

// Audit returns a page of the audit log of one member.
func (c *Client) Audit(ctx context.Context, args AuditArgs) (*AuditReply, error) {
	return repeat[AuditArgs, *AuditReply](ctx, c, "Cluster.Audit", args)
}

// AuditCheck follows the chain of one member's audit log.
func (c *Client) AuditCheck(ctx context.Context, args AuditCheckArgs) (*AuditCheckReply, error) {
	return repeat[AuditCheckArgs, *AuditCheckReply](ctx, c, "Cluster.AuditCheck", args)
}
