package rpc

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// The states of a certificate that is on record.
const (
	CertGood    = "good"
	CertRenewed = "renewed" // there is a newer one of its line; it is good until it ends
	CertExpired = "expired"
	CertRetired = "retired" // the authority that signed it is no longer trusted: cluster rotate-ca --retire
	CertRevoked = "revoked"
)

// CertList is the certificates on record, sorted by role, name and age.
type CertList struct {
	ReadInfo
	Items []CertInfo `json:"items"`
}

// CertInfo is one certificate.
type CertInfo struct {
	Serial   string     `json:"serial"`
	Role     string     `json:"role"`
	Name     string     `json:"name"`
	Tenant   string     `json:"tenant"`
	NodeID   string     `json:"node_id"`
	State    string     `json:"state"`
	Issued   store.Time `json:"issued"`
	NotAfter store.Time `json:"not_after"`
	Revoked  bool       `json:"revoked"`
	Why      string     `json:"why"`
	Line     string     `json:"line"` // serial of the first one, of which this is a renewal

	Authority string `json:"authority"` // id of the one that signed it; "" of an old record: the founding one
}

// RevokeArgs names the certificate to take back.
type RevokeArgs struct {
	Serial string
}

// RevokeReply says what was taken back.
type RevokeReply struct {
	Certificate CertInfo
	Index       uint64
}

// RotateArgs asks for a step of a roll-over of the authority.
type RotateArgs struct {
	Retire bool
	Force  bool
	Look   bool // only tell how far it is
}

// Authorities says how far a roll-over of the authority is.
type Authorities struct {
	Phase   string   `json:"phase"`   // one, announced, switched
	Signs   string   `json:"signs"`   // id of the authority that signs
	Other   string   `json:"other"`   // of the next one, or the one before; "" if there is none
	Waiting []string `json:"waiting"` // announced: members that do not trust both yet, or do not answer
}

// Certs lists the certificates on record.
func (c *Client) Certs(ctx context.Context, o ReadOptions) (*CertList, error) {
	return repeat[ReadOptions, *CertList](ctx, c, "Cluster.Certs", o)
}

// Revoke takes a certificate back, and all of its line.
func (c *Client) Revoke(ctx context.Context, args RevokeArgs) (*RevokeReply, error) {
	return repeat[RevokeArgs, *RevokeReply](ctx, c, "Cluster.Revoke", args)
}

// Rotate begins a roll-over of the authority, tells how far it is, or ends it.
func (c *Client) Rotate(ctx context.Context, args RotateArgs) (*Authorities, error) {
	return repeat[RotateArgs, *Authorities](ctx, c, "Cluster.Rotate", args)
}

// Certs lists the certificates on record.
func (c *Cluster) Certs(call *Call[ReadOptions], reply *Reply[*CertList]) error {
	return serve(call, reply, func(ctx context.Context) (*CertList, error) {
		if err := access.Check(call.by(), access.Certs, ""); err != nil {
			return nil, err
		}
		img, info, err := c.s.image(ctx, call.by(), call.Args)
		if err != nil {
			return nil, err
		}
		return &CertList{ReadInfo: info, Items: certsOf(img, store.TimeOf(time.Now()))}, nil
	})
}

func certsOf(img *store.Image, now store.Time) []CertInfo {
	all, newest, trusted := []mutation.Certificate{}, map[string]mutation.Certificate{}, trustedIn(img)
	for d := range img.Scan(applier.CertsPrefix) {
		var c mutation.Certificate
		if !img.System(d.Path, &c) {
			continue
		}
		all = append(all, c)
		if is, ok := newest[c.LineOf()]; !ok || applier.Newer(c, is) {
			newest[c.LineOf()] = c
		}
	}
	slices.SortFunc(all, func(a, b mutation.Certificate) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name), cmp.Compare(a.IssuedAt, b.IssuedAt), cmp.Compare(a.Serial, b.Serial))
	})
	out := make([]CertInfo, len(all))
	for i, c := range all {
		out[i] = certInfo(c, newest[c.LineOf()].Serial, trusted, now)
	}
	return out
}

// trustedIn are the authorities that a certificate may be of, by id.
func trustedIn(img *store.Image) (ids []string) {
	var f mutation.Found
	img.System(applier.ClusterPath, &f)
	for _, ca := range []string{f.OldCA, f.CA, f.NextCA} {
		if ca != "" {
			ids = append(ids, pki.AuthorityID([]byte(ca)))
		}
	}
	return ids
}

func certInfo(c mutation.Certificate, newest string, trusted []string, now store.Time) CertInfo {
	i := CertInfo{Serial: c.Serial, Role: c.Role, Name: c.Name, Tenant: c.Tenant, NodeID: c.NodeID, State: CertGood,
		Issued: c.IssuedAt, NotAfter: c.NotAfter, Revoked: c.Revoked, Why: c.Why, Line: c.LineOf(), Authority: c.Authority}
	switch {
	case c.Revoked:
		i.State = CertRevoked
	case c.NotAfter <= now:
		i.State = CertExpired
	case c.Authority != "" && !slices.Contains(trusted, c.Authority):
		i.State = CertRetired
	case c.Serial != newest:
		i.State = CertRenewed
	}
	return i
}

// Revoke takes a certificate back.
func (c *Cluster) Revoke(call *Call[RevokeArgs], reply *Reply[*RevokeReply]) error {
	return serve(call, reply, func(ctx context.Context) (*RevokeReply, error) {
		s, by := c.s, call.by()
		return onLeader(ctx, s, func(ctx context.Context) (*RevokeReply, error) { return s.revokeHere(ctx, call.Args, by) }, "Peer.Revoke", by, call.Args)
	})
}

// Revoke is Cluster.Revoke, forwarded.
func (p *Peer) Revoke(call *Call[RevokeArgs], reply *Reply[*RevokeReply]) error {
	return serve(call, reply, func(ctx context.Context) (*RevokeReply, error) { return p.s.revokeHere(ctx, call.Args, call.by()) })
}

func (s *Server) revokeHere(ctx context.Context, args RevokeArgs, by access.Actor) (*RevokeReply, error) {
	c, index, err := s.node.Revoke(ctx, args.Serial, by)
	if err != nil {
		return nil, err
	}
	return &RevokeReply{Certificate: certInfo(c, c.Serial, trustedIn(s.node.Image()), store.TimeOf(time.Now())), Index: index}, nil
}

// Rotate is a step of a roll-over of the authority.
func (c *Cluster) Rotate(call *Call[RotateArgs], reply *Reply[*Authorities]) error {
	return serve(call, reply, func(ctx context.Context) (*Authorities, error) {
		s, by := c.s, call.by()
		return onLeader(ctx, s, func(ctx context.Context) (*Authorities, error) { return s.node.Rotate(ctx, call.Args, by) }, "Peer.Rotate", by, call.Args)
	})
}

// Rotate is Cluster.Rotate, forwarded.
func (p *Peer) Rotate(call *Call[RotateArgs], reply *Reply[*Authorities]) error {
	return serve(call, reply, func(ctx context.Context) (*Authorities, error) { return p.s.node.Rotate(ctx, call.Args, call.by()) })
}
