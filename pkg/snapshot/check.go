package snapshot

import (
	"github.com/cpctl/cpctl/pkg/store"
)

// finish judges the state as a whole, after the sums.
func (rd *reader) finish() (*store.Image, error) {
	img, _ := rd.tx.Freeze(rd.manifest.Index, rd.manifest.Term)
	if err := checkReferences(img); err != nil {
		return nil, err
	}
	found := ManifestOf(img, rd.manifest.ClusterID)
	if field := rd.manifest.differs(&found); field != "" {
		return nil, damaged("%s: %s is not that of the documents in the archive", manifestName, field)
	}
	return img, nil
}

// checkReferences refuses a state whose documents name others that are not there.
func checkReferences(img *store.Image) error {
	for d := range documents(img) {
		ref, err := store.ParsePath(d.Path)
		if err != nil {
			return damaged("%v", err)
		}
		if ref.Kind != "tenant" && ref.Tenant != store.GlobalOwner && img.Get(store.TenantPath(ref.Tenant)) == nil {
			return damaged("member %q: tenant %q does not exist", d.Path, ref.Tenant)
		}
		if ref.Kind == "jwks" && img.Get(store.KeysetPath(ref.Tenant)) == nil {
			return damaged("member %q has no keyset beside it", d.Path)
		}
		var scopes []string
		switch h := d.Head.(type) {
		case *store.Tenant:
			if owner, _ := img.IssuerOf(h.Issuer); h.Issuer != "" && owner != h.Slug {
				return damaged("member %q: issuer %q is that of tenant %q", d.Path, h.Issuer, owner)
			}
			if err := checkCycles(img, h.Slug); err != nil {
				return err
			}
		case *store.ClientHead:
			scopes = h.Scopes
		case *store.ScopeHead:
			scopes = h.DependsOn
		}
		for _, s := range scopes {
			if img.Get(store.ScopePath(ref.Tenant, s)) == nil {
				return damaged("member %q: scope %q does not exist", d.Path, s)
			}
		}
	}
	return nil
}

// checkCycles refuses scopes of one tenant that depend on themselves. It keeps
// its own stack, since a chain may be as long as the archive.
func checkCycles(img *store.Image, slug string) error {
	type visit struct {
		scope string
		rest  []string // dependencies not looked at yet
	}
	const open, done = 1, 2
	state := map[string]int{}
	for d := range img.Scan("tenants/" + slug + "/scopes/") {
		h, ok := d.Head.(*store.ScopeHead)
		if !ok || len(h.DependsOn) == 0 || state[h.Name] == done {
			continue
		}
		state[h.Name] = open
		stack := []visit{{h.Name, h.DependsOn}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.rest) == 0 {
				state[top.scope] = done
				stack = stack[:len(stack)-1]
				continue
			}
			next := top.rest[0]
			top.rest = top.rest[1:]
			path := store.ScopePath(slug, next)
			switch state[next] {
			case open:
				return damaged("member %q: scope %q depends on itself", path, next)
			case 0:
				state[next] = open
				if n := img.Get(path); n != nil {
					stack = append(stack, visit{next, n.Head.(*store.ScopeHead).DependsOn})
				}
			}
		}
	}
	return nil
}
