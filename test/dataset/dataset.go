// Package dataset is a realistic set of documents for tests and measurements:
// fifty tenants with their clients, scopes and rotated keys, the same at every
// call, on every machine and with every Go release. It makes what an operator
// would type, the arguments of cpctl and the document on its stdin, and knows
// nothing of clusters; package test/cluster sends it through the binary.
package dataset

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// Item is one command: a document to create, or a rotation of keys.
type Item struct {
	Ref      store.Ref       // what it makes: a tenant, scope, client or keyset
	Document json.RawMessage // its input; none of a keyset, whose content the leader makes
	Stage    int             // items of a stage may run at the same time; each needs those of the stages before
}

// The stages: what a document refers to is there before it.
const (
	stageTenants = iota
	stageKeys    // the first rotation makes a keyset
	stageScopes
	stageDependentScopes
	stageClients
	stageRotations // of keys that are there
)

// Args are the arguments of cpctl, without the server. An Item with a Document
// reads it on stdin.
func (i Item) Args() []string {
	switch i.Ref.Kind {
	case "tenant":
		return []string{"tenant", "create", i.Ref.Tenant, "-f", "-"}
	case "keyset":
		if i.Ref.Tenant == store.GlobalOwner {
			return []string{"key", "rotate", "--global"}
		}
		return []string{"key", "rotate", "-t", i.Ref.Tenant}
	}
	return []string{i.Ref.Kind, "create", i.Ref.Name, "-t", i.Ref.Tenant, "-f", "-"}
}

// Request is the same command as the wire has it, with no id.
func (i Item) Request() *mutation.Request {
	r := &mutation.Request{Tenant: i.Ref.Tenant, Name: i.Ref.Name, Patch: i.Document}
	switch i.Ref.Kind {
	case "tenant":
		r.Op, r.Name = mutation.OpTenantCreate, i.Ref.Tenant
	case "scope":
		r.Op = mutation.OpScopeCreate
	case "client":
		r.Op = mutation.OpClientCreate
	case "keyset":
		r.Op = mutation.OpKeyRotate
	}
	return r
}

// Size says how much there is of each kind. Clients and scopes are spread over
// the tenants unevenly, as customers are.
type Size struct {
	Tenants, Clients, Scopes int
	Rotations                int // of each keyset; the first one makes it
}

// Full is the size that the tests of the binary use.
var Full = Size{Tenants: 50, Clients: 2000, Scopes: 500, Rotations: 2}

// New makes the data set of a size, in an order in which it can be created one
// by one: tenants, then keys, scopes, clients, rotations. The platform's own
// keys come with those of the tenants.
func New(s Size) []Item {
	if s.Tenants < 1 || s.Tenants > len(sectors)*len(places) {
		panic(fmt.Sprintf("a data set has 1 to %d tenants, not %d", len(sectors)*len(places), s.Tenants))
	}
	var items []Item
	owners := []string{store.GlobalOwner}
	scopes, clients := shares(s.Scopes, s.Tenants), shares(s.Clients, s.Tenants)
	for n := range s.Tenants {
		t := newTenant(n)
		owners = append(owners, t.slug)
		items = append(items, Item{store.Ref{Kind: "tenant", Tenant: t.slug}, t.document(), stageTenants})
		have := t.scopes(scopes[n])
		for _, sc := range have {
			items = append(items, Item{store.Ref{Kind: "scope", Tenant: t.slug, Name: sc.name}, sc.document, sc.stage})
		}
		for c := range clients[n] {
			cl := t.client(c, have)
			items = append(items, Item{store.Ref{Kind: "client", Tenant: t.slug, Name: cl.id}, cl.document, stageClients})
		}
	}
	for r := range s.Rotations {
		stage := stageKeys
		if r > 0 {
			stage = stageRotations + r - 1 // two at once would be one after the other anyway
		}
		for _, o := range owners {
			items = append(items, Item{store.Ref{Kind: "keyset", Tenant: o}, nil, stage})
		}
	}
	slices.SortStableFunc(items, func(a, b Item) int { return a.Stage - b.Stage })
	return items
}

// shares divides n among some: one in five gets half of it together, the others
// the rest, and none is left over.
func shares(n, among int) []int {
	out := make([]int, among)
	large := (among + 4) / 5
	for i := range out {
		if i%5 == 0 {
			out[i] = n / 2 / large
		} else {
			out[i] = (n - n/2) / (among - large)
		}
		if among == large {
			out[i] = n / among
		}
	}
	left := n
	for _, o := range out {
		left -= o
	}
	for i := 0; left > 0; i++ {
		out[i%among]++
		left--
	}
	return out
}

// object is JSON with its members in the order of the keys: encoding/json sorts
// them, so the same object has the same bytes.
type object map[string]any

func (o object) json() json.RawMessage {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // made of strings, numbers, lists and objects
	}
	return b
}

// pick chooses one of some in a way that looks random and never changes
// (splitmix64 of the two numbers that name the place).
func pick[T any](place, n int, of ...T) T {
	z := uint64(place)*0x9e3779b97f4a7c15 + uint64(n)*0xd1b54a32d192ed03
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return of[(z^z>>31)%uint64(len(of))]
}
