package node

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// draft is a request on its way to a command. What is made once for it (ids,
// secrets, keys) stays the same however often it is completed.
type draft struct {
	node   *Node
	req    *mutation.Request
	actor  string
	digest store.RequestDigest
	asked  store.Time
	made   made
	seal   pki.ClusterKey // for what is made: the key that seals by the state it is completed for
}

// plan is a completed request: a command, or none when nothing is to change.
type plan struct {
	ref       store.Ref
	op        mutation.Op
	command   *mutation.Command
	created   uint64     // the document's create_revision; 0 if the command creates it
	unchanged *store.Doc // the document that is already as it should be
	note      string
	secret    string
}

func (n *Node) newDraft(req *mutation.Request, by access.Actor) (*draft, error) {
	action, tenant := access.OfRequest(req)
	if err := n.may(by, action, tenant); err != nil {
		return nil, err
	}
	if err := store.CheckRequestID(req.ID); err != nil {
		return nil, store.Errorf(store.CodeInvalid, "%v", err)
	}
	for _, b := range append([]json.RawMessage{req.Patch}, values(req.Set, req.Add)...) {
		if plantsSealed(b) {
			return nil, store.Errorf(store.CodeInvalid, "a sealed value cannot be given: only the cluster seals; {\"sealed\": true} keeps the one that is there")
		}
	}
	key, err := n.requestKey(n.Image())
	if err != nil {
		return nil, err
	}
	d := &draft{node: n, req: req, actor: by.String(), digest: digestOf(req, key)}
	if !req.NoTime {
		d.asked = n.proposer.time() - store.Time(max(req.AgeUS, 0)) // in command time, which a leader's slow clock does not hold back
	}
	return d, nil
}

func values(lists ...[]store.Element) (out []json.RawMessage) {
	for _, l := range lists {
		for _, e := range l {
			out = append(out, e.Value)
		}
	}
	return out
}

// plantsSealed reports whether input holds a sealed value: taken from another
// place, it would be opened there for somebody whom it was not meant for.
func plantsSealed(b []byte) bool {
	if !bytes.Contains(b, []byte("ealed")) { // most input has nothing like it, whatever its escapes
		return bytes.Contains(b, []byte(`\u`)) && plants(b)
	}
	return plants(b)
}

func plants(b []byte) bool {
	var v any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber() // settings may hold numbers that no float64 can
	if d.Decode(&v) != nil {
		return false // refused when it is completed
	}
	var walk func(v any) bool
	walk = func(v any) bool {
		switch v := v.(type) {
		case map[string]any:
			for name, in := range v {
				if _, object := in.(map[string]any); name == "sealed" && object || walk(in) {
					return true
				}
			}
		case []any:
			return slices.ContainsFunc(v, walk)
		}
		return false
	}
	return walk(v)
}

// digestOf covers what the caller asked for, and nothing about the call. It is
// keyed: a request may hold an imported secret, and the digest is replicated.
func digestOf(req *mutation.Request, key pki.RequestKey) store.RequestDigest {
	asked := *req
	asked.ID, asked.AgeUS, asked.NoTime, asked.Seed, asked.DryRun, asked.Again = "", 0, false, nil, false, false
	b, err := json.Marshal(&asked)
	if err != nil { // a patch that is no JSON: refused later, and no two of them are the same request
		b = fmt.Appendf(nil, "%s %s %s %s", req.Op, req.Tenant, req.Name, req.Patch)
	}
	return key.Write(b)
}

func (d *draft) name() string { return string(d.req.Op) + " " + d.req.Tenant + "/" + d.req.Name }

// command wraps mutations with what they share.
func (d *draft) command(now store.Time, ms ...mutation.Mutation) *mutation.Command {
	return &mutation.Command{ID: d.req.ID, Digest: d.digest, Op: string(d.req.Op), Actor: d.actor, Time: now, Asked: min(d.asked, now),
		Level: d.node.level(), Mutations: ms}
}

// complete makes the command of a request for the state of an image, or says
// why there is none.
func (d *draft) complete(img *store.Image, now store.Time) (*plan, error) {
	switch d.req.Op {
	case mutation.OpTenantCreate, mutation.OpTenantUpdate:
		return d.tenant(img, now)
	case mutation.OpClientCreate, mutation.OpClientUpdate:
		return d.client(img, now)
	case mutation.OpScopeCreate, mutation.OpScopeUpdate:
		return d.scope(img, now)
	case mutation.OpTenantDelete:
		return d.delete(img, now, mutation.TenantDelete, store.Ref{Kind: "tenant", Tenant: d.req.Name})
	case mutation.OpClientDelete:
		return d.delete(img, now, mutation.ClientDelete, store.Ref{Kind: "client", Tenant: d.req.Tenant, Name: d.req.Name})
	case mutation.OpScopeDelete:
		return d.delete(img, now, mutation.ScopeDelete, store.Ref{Kind: "scope", Tenant: d.req.Tenant, Name: d.req.Name})
	case mutation.OpClientSecretRotate, mutation.OpClientSecretRevoke:
		return d.clientSecret(img, now)
	case mutation.OpKeyRotate, mutation.OpKeyRevoke:
		return d.keys(img, now)
	}
	return nil, store.Errorf(store.CodeInvalid, "unknown operation %q", d.req.Op)
}

// delete completes the three deletions alike.
func (d *draft) delete(img *store.Image, now store.Time, kind mutation.Kind, ref store.Ref) (*plan, error) {
	if err := checkNames(ref); err != nil {
		return nil, err
	}
	p := &plan{ref: ref, op: d.req.Op}
	doc := img.Get(ref.Path())
	if doc == nil && d.req.IgnoreNotFound {
		return p, nil
	}
	m := mutation.Mutation{Kind: kind, Tenant: ref.Tenant, Name: ref.Name}
	if kind == mutation.TenantDelete {
		m.Name = ""
	}
	if doc != nil {
		m.Base = doc.Revision
	}
	if d.req.IfRevision != nil {
		m.Base, m.Flags = *d.req.IfRevision, m.Flags|mutation.Expected
	}
	if d.req.Detach {
		m.Flags |= mutation.Detach
	}
	p.command = d.command(now, m)
	return p, nil
}

// checkNames refuses names that are none, before any path is made of them.
func checkNames(ref store.Ref) error {
	check := []func() error{func() error { return store.CheckSlug(ref.Tenant) }}
	switch ref.Kind {
	case "client":
		check = append(check, func() error { return store.CheckClientID(ref.Name) })
	case "scope":
		check = append(check, func() error { return store.CheckScopeName(ref.Name) })
	case "keyset":
		check[0] = func() error { return store.CheckKeysetOwner(ref.Tenant) }
	}
	for _, c := range check {
		if err := c(); err != nil {
			return store.Errorf(store.CodeInvalid, "%v", err)
		}
	}
	return nil
}

// expectation is the revision that the caller gave, with --if-revision or in
// the document.
func (d *draft) expectation() (rev uint64, given bool, err error) {
	rev, given, err = store.PatchRevision(d.patch())
	for _, e := range d.req.Set {
		if err == nil && e.Path == "revision" {
			rev, given, err = store.PatchRevision(slices.Concat([]byte(`{"revision":`), e.Value, []byte("}")))
		}
	}
	if err != nil {
		return 0, false, err
	}
	if d.req.IfRevision != nil {
		if given && rev != *d.req.IfRevision {
			return 0, false, store.Errorf(store.CodeInvalid, "--if-revision %d and the document's revision %d disagree", *d.req.IfRevision, rev)
		}
		return *d.req.IfRevision, true, nil
	}
	return rev, given, nil
}

func (d *draft) patch() []byte {
	if len(bytes.TrimSpace(d.req.Patch)) == 0 {
		return []byte("{}")
	}
	return d.req.Patch
}

// base fills in what an update was computed from.
func (d *draft) base(m *mutation.Mutation, doc *store.Doc) error {
	m.Base = doc.Revision
	rev, given, err := d.expectation()
	if err == nil && given {
		m.Base, m.Flags = rev, m.Flags|mutation.Expected
	}
	return err
}

// answer is what the caller gets once the command is applied.
func (p *plan) answer(index uint64, res applier.Result) (*mutation.Answer, error) {
	a := &mutation.Answer{Outcome: mutation.OutcomeOf(p.op), Name: p.ref.String(), Note: p.note, Secret: p.secret, Index: index, Revision: res.Revision}
	if a.Outcome == mutation.Deleted {
		a.Deleted, a.DeletedTotal = res.Names[:min(len(res.Names), mutation.MaxListed)], len(res.Names)
		return a, nil
	}
	for _, m := range p.command.Mutations {
		if m.Ref() != p.ref {
			continue
		}
		created := p.created
		if created == 0 {
			created = res.Revision
		}
		doc, err := store.Stamp(m.Payload, created, res.Revision)
		if err != nil {
			return nil, err
		}
		a.Document, err = store.View(doc)
		return a, err
	}
	return a, nil
}

// nothing is the answer when there was nothing to change.
func (p *plan) nothing(img *store.Image) *mutation.Answer {
	a := &mutation.Answer{Outcome: mutation.Unchanged, Name: p.ref.String(), Note: p.note, Index: img.Index, Revision: img.Revision()}
	if p.unchanged != nil {
		if b, err := store.View(p.unchanged.Bytes); err == nil {
			a.Document, a.Revision = b, p.unchanged.Revision
		}
	}
	return a
}
