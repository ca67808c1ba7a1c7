package rpc

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// pageBytes bounds the documents of one page of a list, well below MaxFrame: a
// document's form for people is not longer than the stored one.
const pageBytes = 512 << 10

// readIndex is the leader's, asked over the wire when another node leads.
func (s *Server) readIndex(ctx context.Context) (uint64, error) {
	return onLeader(ctx, s, s.node.ReadIndex, "Peer.ReadIndex", access.Actor{}, struct{}{})
}

// image returns the state that a read with these options may be answered from,
// to somebody whose certificate is good by that state (a stale one says nothing of it).
func (s *Server) image(ctx context.Context, by access.Actor, o ReadOptions) (*store.Image, ReadInfo, error) {
	info := ReadInfo{Node: s.node.Name()}
	switch {
	case o.Stale || o.MinIndex > 0:
		if err := s.node.Readable(); err != nil {
			return nil, info, err
		}
		if err := s.node.WaitApplied(ctx, o.MinIndex); err != nil {
			return nil, info, err
		}
		info.AgeMS = s.age()
	default:
		index, err := s.readIndex(ctx)
		if err != nil {
			return nil, info, err
		}
		if err := s.node.WaitApplied(ctx, index); err != nil {
			return nil, info, err
		}
		if err := s.node.Good(by); err != nil {
			return nil, info, err
		}
	}
	img := s.node.Image()
	info.Index, info.Revision = img.Index, img.Revision()
	return img, info, nil
}

// Get returns one document as it is shown to people.
func (c *Cluster) Get(call *Call[GetArgs], reply *Reply[*GetReply]) error {
	return serve(call, reply, func(ctx context.Context) (*GetReply, error) {
		a := call.Args
		ref := store.Ref{Kind: a.Kind, Tenant: a.Tenant, Name: a.Name}
		switch a.Kind {
		case "tenant":
			ref.Tenant, ref.Name = a.Name, ""
		case "keyset", "jwks":
			ref.Name = ""
		case "client", "scope":
		default:
			return nil, store.Errorf(store.CodeInvalid, "unknown kind of document %q", a.Kind)
		}
		if _, err := store.ParsePath(ref.Path()); err != nil {
			return nil, store.Errorf(store.CodeInvalid, "%q cannot be the name of a %s", a.Name, a.Kind)
		}
		if err := access.Check(call.by(), access.Read, ref.Tenant); err != nil {
			return nil, err
		}
		img, info, err := c.s.image(ctx, call.by(), a.Read)
		if err != nil {
			return nil, err
		}
		if err := tenantThere(img, ref); err != nil {
			return nil, err
		}
		doc := img.Get(ref.Path())
		if doc == nil {
			if ref.Kind == "jwks" {
				ref.Kind = "keyset"
			}
			return nil, store.NotFound(ref)
		}
		r := &GetReply{ReadInfo: info}
		if ref.Kind == "keyset" {
			var all mutation.Exports
			img.System(applier.ExportsPath(ref.Tenant), &all)
			r.Exports = all.Last
		}
		r.Document, err = shown(doc)
		return r, err
	})
}

func tenantThere(img *store.Image, ref store.Ref) error {
	if ref.Kind == "tenant" || ref.Tenant == store.GlobalOwner || img.Get(store.TenantPath(ref.Tenant)) != nil {
		return nil
	}
	return store.NotFound(store.Ref{Kind: "tenant", Tenant: ref.Tenant})
}

// shown is a document for people: without hashes and sealed values. The public
// key set is served as it is.
func shown(d *store.Doc) (json.RawMessage, error) {
	if strings.HasSuffix(d.Path, "/jwks.json") {
		return d.Bytes, nil
	}
	return store.View(d.Bytes)
}

// List returns a page of the documents of a kind, in the order of their names.
func (c *Cluster) List(call *Call[ListArgs], reply *Reply[*ListReply]) error {
	return serve(call, reply, func(ctx context.Context) (*ListReply, error) {
		a := call.Args
		if a.Kind != "tenant" {
			if err := store.CheckSlug(a.Tenant); err != nil {
				return nil, store.Errorf(store.CodeInvalid, "%v", err)
			}
		}
		if !slices.Contains([]string{"tenant", "client", "scope"}, a.Kind) {
			return nil, store.Errorf(store.CodeInvalid, "unknown kind of document %q", a.Kind)
		}
		if a.Kind == "tenant" {
			a.Tenant = "" // all of them are listed, so the right to all of them is needed
			if err := mayListTenants(call.by()); err != nil {
				return nil, err
			}
		}
		if err := access.Check(call.by(), access.Read, a.Tenant); err != nil {
			return nil, err
		}
		img, info, err := c.s.image(ctx, call.by(), a.Read)
		if err != nil {
			return nil, err
		}
		if err := tenantThere(img, store.Ref{Kind: a.Kind, Tenant: a.Tenant}); err != nil {
			return nil, err
		}
		r := &ListReply{ReadInfo: info, Items: []json.RawMessage{}}
		return r, r.fill(img, a)
	})
}

// mayListTenants says to those who are bound to a tenant what they may do
// instead; it refuses nobody whom the table lets pass.
func mayListTenants(by access.Actor) error {
	if by.Tenant == "" || access.Check(by, access.Read, by.Tenant) != nil || access.Check(by, access.Read, "") == nil {
		return nil // the table has the words
	}
	return store.Errorf(store.CodeDenied, "%s may not list all tenants: it is bound to tenant %q", by, by.Tenant).
		WithHint("see: cpctl tenant get %s", by.Tenant)
}

// fill adds documents until the page is full. Continue names the last one that
// was looked at.
func (r *ListReply) fill(img *store.Image, a ListArgs) error {
	size := 0
	for d, name := range documents(img, a) {
		if a.Limit > 0 && len(r.Items) == a.Limit || size > pageBytes {
			r.Continue = last(r.Continue, a.Continue)
			return nil
		}
		b, err := shown(d)
		if err != nil {
			return err
		}
		if labelled(b, a.Labels) {
			r.Items, size = append(r.Items, b), size+len(b)
		}
		r.Continue = name
	}
	r.Continue = ""
	return nil
}

func last(here, before string) string {
	if here == "" {
		return before
	}
	return here
}

// documents yields the documents of the list after the one where it continues,
// each with its name.
func documents(img *store.Image, a ListArgs) func(yield func(*store.Doc, string) bool) {
	return func(yield func(*store.Doc, string) bool) {
		if a.Kind == "tenant" {
			tenants(img, a.Continue, yield)
			return
		}
		prefix := "tenants/" + a.Tenant + "/" + a.Kind + "s/"
		start := prefix
		if a.Continue != "" {
			start = store.Ref{Kind: a.Kind, Tenant: a.Tenant, Name: a.Continue}.Path() + "\x00"
		}
		for d := range img.ScanFrom(prefix, start) {
			if ref, err := store.ParsePath(d.Path); err == nil && !yield(d, ref.Name) {
				return
			}
		}
	}
}

// tenants yields the tenant documents after a slug, stepping over everything
// else that lies between them.
func tenants(img *store.Image, after string, yield func(*store.Doc, string) bool) {
	const prefix = "tenants/"
	start := prefix
	if after != "" {
		start = prefix + after + "0" // '0' follows '/'
	}
	for {
		slug := ""
		for d := range img.ScanFrom(prefix, start) {
			slug, _, _ = strings.Cut(d.Path[len(prefix):], "/")
			break
		}
		if slug == "" {
			return
		}
		if d := img.Get(store.TenantPath(slug)); d != nil && !yield(d, slug) {
			return
		}
		start = prefix + slug + "0"
	}
}

// labelled reports whether a document has all of the labels.
func labelled(doc []byte, want map[string]string) bool {
	if len(want) == 0 {
		return true
	}
	var d struct {
		Labels map[string]string `json:"labels"`
	}
	if json.Unmarshal(doc, &d) != nil {
		return false
	}
	for k, v := range want {
		if got, ok := d.Labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
