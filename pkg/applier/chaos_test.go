package applier

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// chaos makes commands at random, of every kind, most of them good: the same
// ones for the same seed and the same answers.
type chaos struct {
	*world
	r    *rand.Rand
	past []*mutation.Command
	keys int // made so far
}

func newChaos(w *world, seed uint64) *chaos {
	return &chaos{world: w, r: rand.New(rand.NewPCG(seed, 7))}
}

func (c *chaos) pick(of ...string) string { return of[c.r.IntN(len(of))] }
func (c *chaos) one(in int) bool          { return c.r.IntN(in) == 0 }

// slug is mostly one of three tenants.
func (c *chaos) slug() string {
	if c.one(25) {
		return c.pick("nobody", "", "global", "../globex", "acme/clients", "ACME", "a.b")
	}
	return c.pick("acme", "globex", "initech")
}

func (c *chaos) name() string {
	if c.one(25) {
		return c.pick("", "..", "../web", "a/b", ".hidden", "%2E%2E", "a\x00b", "web.json")
	}
	return c.pick("web", "Web", "api", "orders:read", "a", "b", "d")
}

// next is the next command: mutations of one tenant, or of the cluster.
func (c *chaos) next() *mutation.Command {
	if len(c.past) > 0 && c.one(12) {
		old := c.past[c.r.IntN(len(c.past))]
		retry := c.command(c.mutations(c.slug())...)
		retry.ID, retry.Digest, retry.Asked = old.ID, old.Digest, old.Time
		if c.one(3) {
			retry.Digest[0]++
		}
		return retry
	}
	if c.one(30) {
		c.now += 4 * minute
	}
	var ms []mutation.Mutation
	if c.one(8) {
		ms = c.cluster()
	} else {
		ms = c.mutations(c.slug())
	}
	cmd := c.command(ms...)
	switch c.r.IntN(4) {
	case 0:
		cmd.Asked = cmd.Time - store.Time(c.r.Int64N(int64(11*minute)))
	case 1:
		cmd.Actor = c.pick("unix/0", "unix/1000", "system", "admin/eve")
	}
	c.past = append(c.past, cmd)
	return cmd
}

// mutations are one or a few of one tenant.
func (c *chaos) mutations(slug string) (ms []mutation.Mutation) {
	if c.tx.Get(store.TenantPath(slug)) == nil && store.CheckSlug(slug) == nil && !c.one(6) {
		return c.createTenant(slug, c.tenantPatch())
	}
	for range 1 + c.r.IntN(3)*c.r.IntN(2) {
		ms = append(ms, c.mutation(slug))
	}
	return ms
}

func (c *chaos) tenantPatch() string {
	return fmt.Sprintf(`{"issuer":%q,"display_name":"T%d","token_policy":{"access_token_ttl":"5m","max_access_token_ttl":%q},`+
		`"oauth_policy":{"require_pkce":%v,"grant_types_allowed":[%s"authorization_code","client_credentials"]},"quotas":{"max_clients":%d}}`,
		c.pick("", "https://id.example/shared", "https://id.example/one", "https://id.example/two"), c.r.IntN(100), c.pick("5m", "1h", "2h"),
		c.one(2), c.pick("", `"refresh_token",`), 2+c.r.IntN(6))
}

func (c *chaos) clientPatch() string {
	return fmt.Sprintf(`{"grant_types":[%s"client_credentials"],"scopes":[%q],"access_token_ttl":%q,"require_pkce":%v,"description":"D%d"}`,
		c.pick("", "", "", "", `"refresh_token",`), c.pick("openid", "email", "phone", "orders:read", "a"), c.pick("", "", "", "5m", "1h"), !c.one(6), c.r.IntN(100))
}

func (c *chaos) scopePatch(name string) string {
	need := c.pick("openid", "a", "b", "d", "orders:read")
	if need == name || c.one(3) {
		return fmt.Sprintf(`{"description":"S%d","depends_on":[]}`, c.r.IntN(100))
	}
	return fmt.Sprintf(`{"description":"S%d","depends_on":[%q]}`, c.r.IntN(100), need)
}

// mutation is one of any kind that an operator's request becomes. Where there is
// no document to change, one without a payload.
func (c *chaos) mutation(slug string) mutation.Mutation {
	name := c.name()
	ref := func(kind string) bool { return c.tx.Get(store.Ref{Kind: kind, Tenant: slug, Name: name}.Path()) != nil }
	good := store.CheckSlug(slug) == nil
	m := mutation.Mutation{Kind: mutation.ClientDelete, Tenant: slug, Name: name}
	switch c.r.IntN(18) {
	case 0, 1:
		m.Kind, m.Name = mutation.TenantUpdate, ""
		if name = ""; good && ref("tenant") {
			m = c.updateTenant(slug, c.tenantPatch())
		}
	case 2:
		if m.Kind = mutation.TenantCreate; good {
			m = c.createTenant(slug, c.tenantPatch())[0]
		}
	case 3:
		if m.Kind, m.Name = mutation.TenantDelete, ""; c.one(2) {
			m.Kind, m.Name = mutation.ClientDelete, name
		}
	case 4, 5, 6, 16, 17:
		if m.Kind = mutation.ClientCreate; good && store.CheckClientID(name) == nil {
			m = c.createClient(slug, name, c.clientPatch())
		}
	case 7, 8:
		for d := range c.tx.Clients(slug).List() { // the first that there is
			name, m.Name = d.Head.(*store.ClientHead).ClientID, d.Head.(*store.ClientHead).ClientID
			break
		}
		if m.Kind = mutation.ClientUpdate; good && ref("client") {
			m = c.updateClient(slug, name, c.clientPatch())
		}
	case 9, 10:
		if m.Kind = mutation.ScopeCreate; good && store.CheckScopeName(name) == nil {
			m = c.createScope(slug, name, c.scopePatch(name))
		}
	case 11:
		if m.Kind = mutation.ScopeCreate; good && ref("scope") {
			m = c.replaceScope(slug, name, c.scopePatch(name))
		}
	case 12:
		m.Kind = mutation.ScopeDelete
	case 13, 14:
		m = c.rotation(slug)
	}
	if m.Base == 0 {
		m.Base = c.base(m.Ref().Path())
	}
	if c.one(10) {
		m.Base = uint64(c.r.IntN(30))
	}
	m.Flags |= []mutation.Flags{0, 0, mutation.Expected, mutation.Detach}[c.r.IntN(4)]
	return m
}

// rotation turns the keyset of an owner, now and then in a way that is refused.
func (c *chaos) rotation(slug string) mutation.Mutation {
	if c.one(6) {
		slug = store.GlobalOwner
	}
	if store.CheckKeysetOwner(slug) != nil {
		return mutation.Mutation{Kind: mutation.KeyRotate, Tenant: slug}
	}
	now := c.now + second
	fresh := func(state string) store.Key {
		c.keys++
		k := signingKey(1000+c.keys, state)
		k.CreatedAt, k.PublishedAt = now, now
		return k
	}
	d := c.tx.Get(store.KeysetPath(slug))
	if d == nil {
		return c.rotate(slug, fresh(store.KeyActive), fresh(store.KeyNext))
	}
	old, err := store.Stored[store.Keyset](d)
	c.fatal(err)
	var keys []store.Key
	for _, k := range old.Keys {
		switch k.State {
		case store.KeyActive:
			k.State, k.PrivateKey, k.RetiringAt, k.VerifyUntil = store.KeyRetiring, nil, now, now+store.Time(c.r.Int64N(int64(20*minute)))
			if c.one(5) {
				k.State, k.RetiringAt, k.VerifyUntil, k.RevokedAt = store.KeyRevoked, 0, 0, now
			}
		case store.KeyNext:
			k.State, k.ActivatedAt = store.KeyActive, now
		case store.KeyRetiring:
			if k.VerifyUntil <= now || c.one(30) {
				continue
			}
		}
		keys = append(keys, k)
	}
	return c.rotate(slug, append(keys, fresh(store.KeyNext))...)
}

// someToken is one of those on record, or one that is not.
func (c *chaos) someToken() mutation.TokenRecord {
	some := mutation.TokenRecord{Token: oneUse("none", "operator", "ana")}
	for d := range c.tx.Scan(TokensPrefix) {
		if c.one(3) {
			c.tx.System(d.Path, &some)
		}
	}
	return some
}

// cluster is a mutation of the cluster's own.
func (c *chaos) cluster() []mutation.Mutation {
	id := "st" + c.pick("1", "1", "1", "2")
	switch c.r.IntN(13) {
	case 10:
		made := oneUse(fmt.Sprintf("t%d", c.asked), c.pick("operator", "node"), c.pick("ana", "n1", "n9"))
		made.ExpiresAt = c.now + store.Time(c.r.Int64N(int64(hour)))
		return one(c.system(mutation.SysToken, made))
	case 11:
		return one(c.system(mutation.SysTokenRevoke, mutation.TokenRevoke{ID: c.someToken().ID}))
	case 12:
		made := c.someToken()
		shown := use(made.ID, c.pick("k1", "k2"), fmt.Sprintf("e%d", c.asked), made.Role, made.Name)
		if shown.Certificate.NodeID != "" {
			shown.Certificate.NodeID += fmt.Sprint(c.asked)
		}
		return one(c.system(mutation.SysEnrol, shown))
	case 0:
		return one(c.system(mutation.SysEpoch, mutation.Epoch{Node: c.pick("id1", "id2"), Term: uint64(c.index)}))
	case 1:
		return one(c.system(mutation.SysCert, cert(fmt.Sprintf("s%d", c.asked), c.pick("n1", "n2"), c.pick("id1", "id2", "id3"))))
	case 2:
		return one(c.system(mutation.SysRevoke, mutation.Revoke{NodeID: c.pick("id1", "id2", "id3"), Why: "removed"}))
	case 3:
		return one(c.system(mutation.SysLevel, mutation.Raise{Level: uint32(c.r.IntN(2))}))
	case 4:
		return one(c.system(mutation.SysStageAbort, mutation.StageAbort{Stage: id}))
	}
	switch open := c.tx.OpenStage(); {
	case open == nil:
		return one(c.system(mutation.SysStageBegin, mutation.StageBegin{Stage: id}))
	case c.one(3):
		return one(c.commit(open.ID, 600+uint64(c.r.IntN(2000))))
	}
	return one(c.system(mutation.SysStagePut, mutation.StagePut{Stage: id, Docs: c.staged()}))
}

// staged are documents that may be switched in at any time: they name no other.
func (c *chaos) staged() []mutation.StageDoc {
	slug := c.pick("acme", "globex", "initech")
	if c.tx.Get(store.TenantPath(slug)) == nil {
		return nil
	}
	m := c.createScope(slug, c.pick("staged", "staged2"), fmt.Sprintf(`{"description":"S%d"}`, c.r.IntN(100)))
	b, err := store.Stamp(m.Payload, uint64(c.r.IntN(50)), 50+uint64(c.r.IntN(500)))
	c.fatal(err)
	docs := []mutation.StageDoc{{Path: m.Ref().Path(), Bytes: b}}
	if c.one(2) {
		docs = append(docs, mutation.StageDoc{Path: store.ScopePath(slug, "staged")})
	}
	return slices.Clip(docs)
}
