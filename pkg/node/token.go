package node

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// maxTokenLife bounds how long a token is good: one that lies about longer than
// a week is a password that nobody changes.
const maxTokenLife = 7 * 24 * time.Hour

// TokenRequest asks the cluster to take a token. The secret is not in it.
type TokenRequest struct {
	ID     string
	Hash   string
	Role   string
	Name   string
	Tenant string
	TTL    store.Duration
}

// TokenAnswer is the record of a token as it is now, and the certificate of the
// cluster authority, whose fingerprint goes into the token.
type TokenAnswer struct {
	Record mutation.TokenRecord
	Index  uint64
	CA     string
}

// CreateToken puts a token on record. Only the leader does.
func (n *Node) CreateToken(ctx context.Context, req TokenRequest, by access.Actor) (*TokenAnswer, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if err := n.may(by, access.Tokens, ""); err != nil {
		return nil, err
	}
	if err := checkToken(req); err != nil {
		return nil, err
	}
	return n.changeToken(ctx, req.ID, by, mutation.SysToken, mutation.Token{ID: req.ID, Hash: req.Hash, Role: req.Role, Name: req.Name,
		Tenant: req.Tenant, ExpiresAt: n.proposer.time().Add(req.TTL)})
}

// RevokeToken ends a token that is not used. Only the leader does.
func (n *Node) RevokeToken(ctx context.Context, id string, by access.Actor) (*TokenAnswer, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if err := n.may(by, access.Tokens, ""); err != nil {
		return nil, err
	}
	if !pki.TokenID(id) {
		return nil, store.Errorf(store.CodeInvalid, "%q cannot be the id of a token", id).WithHint("see: cpctl token list")
	}
	return n.changeToken(ctx, id, by, mutation.SysTokenRevoke, mutation.TokenRevoke{ID: id})
}

func (n *Node) changeToken(ctx context.Context, id string, by access.Actor, kind mutation.Kind, v any) (*TokenAnswer, error) {
	m, err := payload(kind, v)
	if err != nil {
		return nil, err
	}
	_, index, err := n.system(ctx, "", by.String(), m)
	if err != nil {
		return nil, err
	}
	img := n.Image()
	a := &TokenAnswer{Index: index}
	var f mutation.Found
	if !img.System(applier.TokenPath(id), &a.Record) || !img.System(applier.ClusterPath, &f) {
		return nil, store.Errorf(store.CodeConflict, "token %s was forgotten meanwhile", id)
	}
	a.CA = f.CA
	return a, nil
}

// checkToken holds what is asked for to its form. Names are words also for
// people: they stand in every message and log as they are.
func checkToken(req TokenRequest) error {
	if hash, err := hex.DecodeString(req.Hash); !pki.TokenID(req.ID) || err != nil || len(hash) != 32 || hex.EncodeToString(hash) != req.Hash {
		return store.Errorf(store.CodeInvalid, "a token has an id of 16 hex digits and a hash of 64")
	}
	switch role := access.Role(req.Role); role {
	case access.Node, access.Admin:
		if req.Tenant != "" {
			return store.Errorf(store.CodeInvalid, "the role %s is not bound to a tenant", role).WithHint("leave --tenant away, or take operator or reader")
		}
	case access.Operator, access.Reader:
	default:
		return store.Errorf(store.CodeInvalid, "unknown role %q", req.Role).WithHint("the roles are node, admin, operator and reader; see: cpctl help roles")
	}
	if err := checkWord("a name of the role "+req.Role, req.Name); err != nil {
		return err
	}
	if ttl := time.Duration(req.TTL); ttl <= 0 || ttl > maxTokenLife {
		return store.Errorf(store.CodeInvalid, "a token is good for more than no time and at most %s, not %s", store.Duration(maxTokenLife), req.TTL)
	}
	return nil
}
