package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// What writers write to: few documents, so that they meet. The first tenant is
// never deleted.
var slugs = []string{"acme", "globex", "initech", "umbrella"}

const (
	writers = 16
	clients = 6 // of each tenant; the first two have secrets
	scopes  = 3
)

func clientID(n int) string  { return fmt.Sprintf("app-%d", n) }
func scopeName(n int) string { return fmt.Sprintf("orders:%d", n) }

// everyPath is where a reader may find something.
func everyPath() (paths []string) {
	for _, slug := range slugs {
		paths = append(paths, store.TenantPath(slug), store.KeysetPath(slug), store.ScopePath(slug, "openid"))
		for n := range clients {
			paths = append(paths, store.ClientPath(slug, clientID(n)))
		}
		for n := range scopes {
			paths = append(paths, store.ScopePath(slug, scopeName(n)))
		}
	}
	return paths
}

// load is the writers: each one does one change after the other, until the end.
type load struct {
	t     *testing.T
	book  *book
	nodes []*live.Node
	rest  sync.RWMutex // writers hold it for reading while they write
	ctx   context.Context
	busy  sync.WaitGroup
}

func (l *load) run(w int, rng *rand.Rand) {
	conn := l.conn(w)
	defer conn.Close()
	for n := 0; ; n++ {
		l.rest.RLock()
		if l.ctx.Err() == nil {
			l.do(conn, request(rng, l.book, fmt.Sprintf("w%d-%d", w, n)))
		}
		l.rest.RUnlock()
		if l.ctx.Err() != nil {
			return
		}
	}
}

// conn knows every node, the nth first.
func (l *load) conn(n int) *rpc.Client {
	var servers []string
	for i := range l.nodes {
		servers = append(servers, l.nodes[(n+i)%len(l.nodes)].Server())
	}
	return rpc.NewClient(rpc.Options{Servers: servers})
}

// do carries out one change and puts what came of it into the book. An answer
// that proves nothing is asked for again, under the same request id.
func (l *load) do(conn *rpc.Client, req *mutation.Request) {
	ref := refOf(req)
	l.book.asks(req, ref)
	for {
		sent := l.book.now()
		ctx, cancel := context.WithTimeout(l.ctx, 2*live.Patience)
		a, err := conn.Write(ctx, req)
		cancel()
		if l.ctx.Err() != nil {
			return
		}
		if err != nil && !refused(err) {
			l.t.Errorf("%s of %s by %s: %v", req.Op, ref, labelOf(req), err)
			a = nil
		}
		if l.book.settles(sent, req, ref, a) {
			return
		}
	}
}

// refused tells an answer of the rules from trouble.
func refused(err error) bool {
	for _, rule := range []error{store.ErrExists, store.ErrNotFound, store.ErrConflict, store.ErrRefused} {
		if errors.Is(err, rule) {
			return true
		}
	}
	return false
}

func refOf(req *mutation.Request) store.Ref {
	kind, _, _ := strings.Cut(string(req.Op), ".")
	switch kind {
	case "tenant":
		return store.Ref{Kind: kind, Tenant: req.Tenant}
	case "key":
		return store.Ref{Kind: "keyset", Tenant: req.Tenant}
	}
	return store.Ref{Kind: kind, Tenant: req.Tenant, Name: req.Name}
}

// request is any change.
func request(rng *rand.Rand, b *book, label string) *mutation.Request {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err) // the system has no randomness
	}
	tenant := slugs[rng.IntN(len(slugs))]
	n := rng.IntN(clients)
	req := &mutation.Request{ID: id.String(), Tenant: tenant, Name: clientID(n)}
	members := map[string]any{"labels": map[string]string{labelled: label}}
	// Most are meant to be accepted; some are not, and some meet another on its way.
	there := b.revisionOf(store.ClientPath(tenant, req.Name))
	p := rng.IntN(100)
	switch {
	case b.revisionOf(store.TenantPath(tenant)) == 0 && p < 90, p < 2 && tenant != slugs[0]:
		req.Op, req.Name = mutation.OpTenantCreate, tenant
	case p < 4 && tenant != slugs[0]:
		req.Op, req.Name = mutation.OpTenantDelete, tenant
	case p < 10:
		req.Op, req.Name = mutation.OpTenantUpdate, tenant
	case p < 20:
		if tenant == slugs[0] && rng.IntN(4) > 0 { // its keys stay, and 64 are the most
			tenant = slugs[1]
		}
		req.Op, req.Tenant, req.Name, req.Alg = mutation.OpKeyRotate, tenant, "", "EdDSA"
	case p < 28:
		req.Op, req.Name = mutation.OpScopeCreate, scopeName(rng.IntN(scopes))
		if b.revisionOf(store.ScopePath(tenant, req.Name)) > 0 {
			req.Op = mutation.OpScopeDelete
		}
	case there == 0 && p < 90:
		req.Op = mutation.OpClientCreate
		members["token_endpoint_auth_method"] = "client_secret_basic"
		members["grant_types"] = []string{"client_credentials"}
		if n >= 2 {
			members["token_endpoint_auth_method"] = "none"
			members["grant_types"] = []string{"authorization_code"}
			members["redirect_uris"] = []string{"https://" + req.Name + "." + tenant + ".example/cb"}
		}
	case p < 45:
		req.Op = mutation.OpClientDelete
	case p < 52 && n < 2:
		req.Op, req.Overlap = mutation.OpClientSecretRotate, new(store.Duration)
	case p < 70: // which may have moved since
		req.Op, req.IfRevision = mutation.OpClientUpdate, &there
	default:
		req.Op = mutation.OpClientUpdate
	}
	if mutation.OutcomeOf(req.Op) == mutation.Created || mutation.OutcomeOf(req.Op) == mutation.Updated {
		if req.Patch, err = json.Marshal(members); err != nil {
			panic(err) // strings only
		}
	}
	return req
}
