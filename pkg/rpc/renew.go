package rpc

import (
	"context"

	"github.com/cpctl/cpctl/pkg/store"
)

// RenewArgs asks for the next certificate of who is asking.
type RenewArgs struct {
	CSR []byte // DER; of it only the key counts
}

// Renew asks for a certificate of the same identity as the one by which this
// client is known, for the key of the request. The answer has the certificate
// and the authorities to trust from now on, and no cluster key. At the socket,
// where nobody has a certificate, it is refused.
func (c *Client) Renew(ctx context.Context, csr []byte) (*Enrolment, error) {
	e, err := repeat[RenewArgs, *Enrolment](ctx, c, "Cluster.Renew", RenewArgs{CSR: csr})
	if err == nil && e == nil {
		err = store.Errorf(store.CodeInternal, "the server answered without a certificate")
	}
	return e, err
}

// Renew gives who is asking their next certificate.
func (c *Cluster) Renew(call *Call[RenewArgs], reply *Reply[*Enrolment]) error {
	return serve(call, reply, func(ctx context.Context) (*Enrolment, error) {
		s, by := c.s, call.by()
		return onLeader(ctx, s, func(ctx context.Context) (*Enrolment, error) { return s.node.Renew(ctx, call.Args.CSR, by) }, "Peer.Renew", by, call.Args)
	})
}

// Renew is Cluster.Renew, forwarded; or another node asks for itself.
func (p *Peer) Renew(call *Call[RenewArgs], reply *Reply[*Enrolment]) error {
	return serve(call, reply, func(ctx context.Context) (*Enrolment, error) { return p.s.node.Renew(ctx, call.Args.CSR, call.by()) })
}

// AskRenewal asks the leader for the next certificate of this node.
func (s *Server) AskRenewal(ctx context.Context, leader Member, csr []byte) (*Enrolment, error) {
	e, err := ask[RenewArgs, *Enrolment](ctx, s.peers, leader, "Peer.Renew", nil, RenewArgs{CSR: csr})
	if err == nil && e == nil {
		err = store.Errorf(store.CodeInternal, "node %s answered without a certificate", leader.ID)
	}
	return e, err
}
