package rpc

import (
	"context"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// TokenArgs asks the cluster to take a token that the caller has drawn. The
// secret stays with the caller, so that the same call again is harmless.
type TokenArgs struct {
	ID     string         `json:"id"`
	Hash   string         `json:"hash"` // of the secret
	Role   string         `json:"role"`
	Name   string         `json:"name"`
	Tenant string         `json:"tenant,omitempty"`
	TTL    store.Duration `json:"ttl"`
}

// Token is what the cluster knows of a token: all but its secret.
type Token struct {
	ID        string     `json:"id"`
	Role      string     `json:"role"`
	Name      string     `json:"name"`
	Tenant    string     `json:"tenant"`
	State     string     `json:"state"` // open, used, expired, revoked
	ExpiresAt store.Time `json:"expires_at"`
	CreatedAt store.Time `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	UsedAt    store.Time `json:"used_at"`
	Serial    string     `json:"serial"` // of the certificate that it gave
	RevokedAt store.Time `json:"revoked_at"`
	RevokedBy string     `json:"revoked_by"`
}

// TokenReply says what became of a token.
type TokenReply struct {
	Token
	Index uint64 `json:"index"`
	CA    string `json:"ca"` // certificate of the cluster authority, PEM
}

// TokenRef names a token.
type TokenRef struct {
	ID string `json:"id"`
}

// TokenList is all of them, sorted by id.
type TokenList struct {
	ReadInfo
	Items []Token `json:"items"`
}

// Recorded is what a leader answers: the record as it is now.
type Recorded struct {
	Record mutation.TokenRecord
	Index  uint64
	CA     string
}

func tokenOf(r *mutation.TokenRecord, now store.Time) Token {
	state, _ := r.State(now)
	return Token{ID: r.ID, Role: r.Role, Name: r.Name, Tenant: r.Tenant, State: state, ExpiresAt: r.ExpiresAt, CreatedAt: r.CreatedAt,
		CreatedBy: r.CreatedBy, UsedAt: r.UsedAt, Serial: r.Serial, RevokedAt: r.RevokedAt, RevokedBy: r.RevokedBy}
}

func tokenReply(r *Recorded, now store.Time) *TokenReply {
	return &TokenReply{Token: tokenOf(&r.Record, now), Index: r.Index, CA: r.CA}
}

// CreateToken puts a token on record.
func (c *Cluster) CreateToken(call *Call[TokenArgs], reply *Reply[*TokenReply]) error {
	return serve(call, reply, func(ctx context.Context) (*TokenReply, error) {
		s, by := c.s, call.by()
		r, err := onLeader(ctx, s, func(ctx context.Context) (*Recorded, error) { return s.node.CreateToken(ctx, call.Args, by) }, "Peer.CreateToken", by, call.Args)
		if err != nil {
			return nil, err
		}
		return tokenReply(r, s.now()), nil
	})
}

// RevokeToken ends a token that is not used.
func (c *Cluster) RevokeToken(call *Call[TokenRef], reply *Reply[*TokenReply]) error {
	return serve(call, reply, func(ctx context.Context) (*TokenReply, error) {
		s, by := c.s, call.by()
		r, err := onLeader(ctx, s, func(ctx context.Context) (*Recorded, error) { return s.node.RevokeToken(ctx, call.Args.ID, by) }, "Peer.RevokeToken", by, call.Args)
		if err != nil {
			return nil, err
		}
		return tokenReply(r, s.now()), nil
	})
}

// ListTokens tells which tokens there are.
func (c *Cluster) ListTokens(call *Call[ReadOptions], reply *Reply[*TokenList]) error {
	return serve(call, reply, func(ctx context.Context) (*TokenList, error) {
		if err := access.Check(call.by(), access.Tokens, ""); err != nil {
			return nil, err
		}
		img, info, err := c.s.image(ctx, call.by(), call.Args)
		if err != nil {
			return nil, err
		}
		out := &TokenList{ReadInfo: info, Items: []Token{}}
		for d := range img.Scan(applier.TokensPrefix) {
			var r mutation.TokenRecord
			if img.System(d.Path, &r) {
				out.Items = append(out.Items, tokenOf(&r, c.s.now()))
			}
		}
		return out, nil
	})
}

// now is when a token that nobody used is looked at: command time goes on only
// while there are commands.
func (s *Server) now() store.Time {
	return max(store.TimeOf(time.Now()), s.node.Image().Counters().Time)
}

// CreateToken is Cluster.CreateToken, forwarded.
func (p *Peer) CreateToken(call *Call[TokenArgs], reply *Reply[*Recorded]) error {
	return serve(call, reply, func(ctx context.Context) (*Recorded, error) { return p.s.node.CreateToken(ctx, call.Args, call.by()) })
}

// RevokeToken is Cluster.RevokeToken, forwarded.
func (p *Peer) RevokeToken(call *Call[TokenRef], reply *Reply[*Recorded]) error {
	return serve(call, reply, func(ctx context.Context) (*Recorded, error) {
		return p.s.node.RevokeToken(ctx, call.Args.ID, call.by())
	})
}

// CreateToken asks the cluster to take a token.
func (c *Client) CreateToken(ctx context.Context, args TokenArgs) (*TokenReply, error) {
	return repeat[TokenArgs, *TokenReply](ctx, c, "Cluster.CreateToken", args)
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id string) (*TokenReply, error) {
	return repeat[TokenRef, *TokenReply](ctx, c, "Cluster.RevokeToken", TokenRef{id})
}

// ListTokens tells which tokens there are.
func (c *Client) ListTokens(ctx context.Context, read ReadOptions) (*TokenList, error) {
	return repeat[ReadOptions, *TokenList](ctx, c, "Cluster.ListTokens", read)
}
