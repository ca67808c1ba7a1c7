package store

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tidwall/btree"
)

// A trait is a property of clients that a tenant's policy may forbid. The
// image counts the clients of each trait, so that a change of policy that
// violates none of them is found out without reading one.
const (
	traitGrant   = "grant="
	traitMethod  = "method="
	traitNoPKCE  = "nopkce"
	traitAccess  = "access_ttl="
	traitID      = "id_ttl="
	traitRefresh = "refresh_ttl="
)

func ttlTrait(name string, d Duration) string { return fmt.Sprintf("%s%020d", name, int64(d)) }

func (h *ClientHead) traits() []string {
	out := make([]string, 0, len(h.GrantTypes)+5) // method, pkce, three lifetimes
	for _, g := range h.GrantTypes {
		out = append(out, traitGrant+g)
	}
	out = append(out, traitMethod+h.TokenEndpointAuthMethod)
	if !h.RequirePKCE {
		out = append(out, traitNoPKCE)
	}
	for _, ttl := range []struct {
		trait string
		d     Duration
	}{{traitAccess, h.AccessTokenTTL}, {traitID, h.IDTokenTTL}, {traitRefresh, h.RefreshTokenTTL}} {
		if ttl.d != 0 {
			out = append(out, ttlTrait(ttl.trait, ttl.d))
		}
	}
	return out
}

// Violates reports whether some client of the tenant breaks the policy that t
// has; only then is it worth looking at each of them.
func (s *state) Violates(t *Tenant) bool {
	if s.anyTraitOutside(t.Slug, traitGrant, t.OAuthPolicy.GrantTypesAllowed) ||
		s.anyTraitOutside(t.Slug, traitMethod, t.OAuthPolicy.TokenEndpointAuthMethodsAllowed) {
		return true
	}
	if n, _ := s.traits.Get(key(t.Slug, traitNoPKCE)); n > 0 && t.OAuthPolicy.RequirePKCE {
		return true
	}
	return s.longest(t.Slug, traitAccess) > t.TokenPolicy.MaxAccessTokenTTL ||
		s.longest(t.Slug, traitID) > t.TokenPolicy.IDTokenTTL ||
		s.longest(t.Slug, traitRefresh) > t.TokenPolicy.RefreshTokenTTL
}

func (s *state) anyTraitOutside(slug, trait string, allowed []string) bool {
	prefix, outside := key(slug, trait), false
	s.traits.Ascend(prefix, func(k string, _ int) bool {
		if !strings.HasPrefix(k, prefix) {
			return false
		}
		outside = true
		for _, a := range allowed {
			if k[len(prefix):] == a {
				outside = false
			}
		}
		return !outside
	})
	return outside
}

func (s *state) longest(slug, trait string) Duration {
	prefix, longest := key(slug, trait), int64(0)
	s.traits.Descend(prefix+":", func(k string, _ int) bool { // ':' follows the digits
		if strings.HasPrefix(k, prefix) {
			longest, _ = strconv.ParseInt(k[len(prefix):], 10, 64)
		}
		return false
	})
	return Duration(longest)
}

// bump adds to a count and drops it at zero, so that equal states hold equal trees.
func bump(m *btree.Map[string, int], k string, by int) {
	n, _ := m.Get(k)
	if n += by; n == 0 {
		m.Delete(k)
	} else {
		m.Set(k, n)
	}
}
