package applier

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/cpctl/cpctl/pkg/store"
)

// inconsistent says what an image derives wrongly from its documents, "" if
// nothing: digests, counts and indexes are compared with a state that is built
// of the documents anew, and with what looking at each of them gives.
func inconsistent(img *store.Image) string {
	again, err := rebuilt(img)
	if err != nil {
		return err.Error()
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"data digest", img.DataDigest(), again.DataDigest()},
		{"state digest", img.StateDigest(), again.StateDigest()},
		{"counts", img.Counts(), again.Counts()},
		{"staged bytes", img.StageBytes(), again.StageBytes()},
	} {
		if c.got != c.want {
			return fmt.Sprintf("%s is %v, built anew %v", c.what, c.got, c.want)
		}
	}
	f := &findings{users: map[[2]string][]string{}, counts: map[[2]string]int{}, issuers: map[string]string{}, ends: map[string]store.Time{}}
	for d := range img.Scan("") {
		if err := f.look(d); err != "" {
			return err
		}
		if ks, err := store.ParsePath(d.Path); err == nil && ks.Kind == "keyset" {
			set, err := store.Stored[store.Keyset](d)
			if err != nil {
				return err.Error()
			}
			if jwks := img.Get(store.JWKSPath(ks.Tenant)); jwks == nil || !bytes.Equal(jwks.Bytes, store.JWKSOf(set)) {
				return d.Path + " and its published set differ"
			}
		}
	}
	return f.compare(img)
}

// rebuilt is the state that the documents of an image make when they are put in
// one after the other.
func rebuilt(img *store.Image) (*store.Image, error) {
	tx := store.NewImage().Begin()
	for d := range img.Scan("") {
		if err := tx.Load(d.Path, d.Bytes); err != nil {
			return nil, err
		}
	}
	for s := range img.StagedDocs() {
		var b []byte
		if s.Doc != nil {
			b = s.Doc.Bytes
		}
		if err := tx.PutStaged(s.Path, b); err != nil {
			return nil, err
		}
	}
	for r := range img.Requests() {
		read, err := store.ReadRecord(r.Line())
		if err != nil {
			return nil, err
		}
		tx.LoadRecord(read)
	}
	tx.SetCounters(img.Counters())
	again, _ := tx.Freeze(img.Index, img.Term)
	return again, nil
}

// findings is what the documents say, each looked at by itself.
type findings struct {
	users   map[[2]string][]string // tenant, scope -> paths, in order
	counts  map[[2]string]int      // tenant, kind
	issuers map[string]string
	ends    map[string]store.Time // tenant -> first end of a retiring key
	live    int                   // keys that are not revoked
	tenants []*store.Tenant
	clients []*store.Client
}

func (f *findings) look(d *store.Doc) string {
	ref, err := store.ParsePath(d.Path)
	if err != nil {
		return "" // below system/
	}
	doc, err := store.DecodeDoc(d.Path, d.Bytes)
	if err != nil {
		return fmt.Sprintf("%s is stored and would be refused: %v", d.Path, err)
	}
	scopes := []string(nil)
	switch doc := doc.(type) {
	case *store.Tenant:
		f.tenants = append(f.tenants, doc)
		if doc.Issuer != "" {
			if other, twice := f.issuers[doc.Issuer]; twice {
				return fmt.Sprintf("%s and %s have one issuer", other, doc.Slug)
			}
			f.issuers[doc.Issuer] = doc.Slug
		}
	case *store.Client:
		f.clients, scopes = append(f.clients, doc), doc.Scopes
	case *store.Scope:
		scopes = doc.DependsOn
	case *store.Keyset:
		for _, k := range doc.Keys {
			if k.State != store.KeyRevoked {
				f.live++
			}
			if end, some := f.ends[ref.Tenant]; k.State == store.KeyRetiring && (!some || k.VerifyUntil < end) {
				f.ends[ref.Tenant] = k.VerifyUntil
			}
		}
	}
	f.counts[[2]string{ref.Tenant, ref.Kind}]++
	for _, s := range scopes {
		at := [2]string{ref.Tenant, s}
		f.users[at] = append(f.users[at], d.Path)
	}
	return ""
}

func (f *findings) compare(img *store.Image) string {
	for at, want := range f.users {
		if img.Get(store.ScopePath(at[0], at[1])) == nil {
			return fmt.Sprintf("scope %q of %q is named by %v and does not exist", at[1], at[0], want)
		}
	}
	var scopes int
	for _, t := range f.tenants {
		for d := range img.Scan("tenants/" + t.Slug + "/scopes/") {
			name := d.Head.(*store.ScopeHead).Name
			want := f.users[[2]string{t.Slug, name}]
			if got := slices.Collect(img.UsersOf(t.Slug, name)); !slices.Equal(got, want) {
				return fmt.Sprintf("users of scope %q of %q: %v, want %v", name, t.Slug, got, want)
			}
		}
		for _, kind := range []string{"client", "scope"} {
			if got, want := img.Count(t.Slug, kind), f.counts[[2]string{t.Slug, kind}]; got != want {
				return fmt.Sprintf("%q has %d %ss, counted %d", t.Slug, want, kind, got)
			}
		}
		scopes += img.Count(t.Slug, "scope")
		if wrong := f.compareTraits(img, t); wrong != "" {
			return wrong
		}
	}
	if got := img.Counts(); got.Tenants != len(f.tenants) || got.Clients != len(f.clients) || got.Scopes != scopes || got.Keys != f.live {
		return fmt.Sprintf("counts %+v, want %d tenants, %d clients, %d scopes, %d keys", got, len(f.tenants), len(f.clients), scopes, f.live)
	}
	for issuer, want := range f.issuers {
		if got, ok := img.IssuerOf(issuer); got != want || !ok {
			return fmt.Sprintf("%s is the issuer of %q, found %q", issuer, want, got)
		}
	}
	for _, issuer := range []string{"", "https://nobody.example", "https://id.example/acme", "https://id.example/shared"} {
		if _, want := f.issuers[issuer]; !want {
			if got, ok := img.IssuerOf(issuer); ok {
				return fmt.Sprintf("%q is nobody's issuer, found %q", issuer, got)
			}
		}
	}
	return f.compareEnds(img)
}

// compareEnds takes the keysets away in the order in which NextExpiry names them.
func (f *findings) compareEnds(img *store.Image) string {
	over := img.Overlay()
	left := maps.Clone(f.ends)
	for {
		slug, at, ok := over.NextExpiry()
		if !ok {
			if len(left) > 0 {
				return fmt.Sprintf("the ends of retiring keys %v are not found", left)
			}
			return ""
		}
		for other, end := range left {
			if end < at {
				return fmt.Sprintf("the next end is that of %q at %d, found %q at %d", other, end, slug, at)
			}
		}
		if left[slug] != at {
			return fmt.Sprintf("retiring keys of %q end at %d, found %d", slug, left[slug], at)
		}
		delete(left, slug)
		if err := over.Keys(slug).Delete(slug); err != nil {
			return err.Error()
		}
	}
}

// compareTraits asks about policies around those of the tenant's clients.
func (f *findings) compareTraits(img *store.Image, t *store.Tenant) string {
	var mine []*store.Client
	policies := []store.Tenant{*t}
	add := func(change func(*store.Tenant)) {
		p := *t
		change(&p)
		policies = append(policies, p)
	}
	for _, c := range f.clients {
		if c.Tenant != t.Slug {
			continue
		}
		mine = append(mine, c)
		for _, d := range []store.Duration{-1, 0, 1} {
			if c.AccessTokenTTL > 0 {
				add(func(p *store.Tenant) { p.TokenPolicy.MaxAccessTokenTTL = c.AccessTokenTTL + d })
			}
			if c.IDTokenTTL > 0 {
				add(func(p *store.Tenant) { p.TokenPolicy.IDTokenTTL = c.IDTokenTTL + d })
			}
			if c.RefreshTokenTTL > 0 {
				add(func(p *store.Tenant) { p.TokenPolicy.RefreshTokenTTL = c.RefreshTokenTTL + d })
			}
		}
	}
	for _, g := range t.OAuthPolicy.GrantTypesAllowed {
		add(func(p *store.Tenant) {
			p.OAuthPolicy.GrantTypesAllowed = slices.DeleteFunc(slices.Clone(p.OAuthPolicy.GrantTypesAllowed), func(s string) bool { return s == g })
		})
	}
	for _, m := range t.OAuthPolicy.TokenEndpointAuthMethodsAllowed {
		add(func(p *store.Tenant) { p.OAuthPolicy.TokenEndpointAuthMethodsAllowed = []string{m} })
	}
	add(func(p *store.Tenant) { p.OAuthPolicy.RequirePKCE = true })
	add(func(p *store.Tenant) { p.OAuthPolicy.RequirePKCE = false })
	for i := range policies {
		want := slices.ContainsFunc(mine, func(c *store.Client) bool { return store.CheckClientPolicy(c, &policies[i]) != nil })
		if got := img.Violates(&policies[i]); got != want {
			return fmt.Sprintf("policy %d of %q: violated %v, found %v", i, t.Slug, want, got)
		}
	}
	return ""
}
