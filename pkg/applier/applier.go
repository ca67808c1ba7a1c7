// Package applier says what each mutation does to the store: one function a
// kind. Everything is checked before the first write, so that a refused
// command leaves no trace. It is pure: the result depends on the state and the
// command alone, whichever node applies it and whenever it does.
package applier

import (
	"errors"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// Result is the answer to one command.
type Result struct {
	Refusal  *store.Error  // why it did not take effect, nil if it did
	Stale    bool          // refused only because a document moved on and the caller named no revision: complete it again
	Replayed *store.Record // the command was here before: what is remembered of it
	Revision uint64        // of the state after it
	Names    []string      // of the objects that it changed or deleted, the one it is about first
}

// errStale is returned when a document is not the one that the mutation was
// computed from, and the caller did not say which one it must be.
var errStale = errors.New("the document has changed since the request was completed")

// change is one command on its way through the appliers of its kinds.
type change struct {
	*store.Tx
	*mutation.Command
	revision uint64   // that the command gives, if it changes something
	moved    bool     // it did
	names    []string // of what it changed
	total    int      // how many, if they have no names here
}

// Apply applies one command of the log entry at index.
func Apply(tx *store.Tx, index uint64, c *mutation.Command) Result {
	if c.ID != "" {
		if r := Remembered(tx, c); r != nil {
			tx.Touch(c.Time)
			return *r
		}
	}
	tx.Touch(c.Time)
	ch := &change{Tx: tx, Command: c, revision: tx.Counters().Revision + 1}
	rollback := func() {}
	if len(c.Mutations) > 1 {
		rollback = tx.Savepoint()
	}
	var refusal *store.Error
	for i := range c.Mutations {
		err := ch.apply(&c.Mutations[i])
		if err == nil {
			continue
		}
		rollback()
		if errors.Is(err, errStale) {
			return Result{Stale: true, Refusal: store.Errorf(store.CodeConflict, "%v", err)}
		}
		if !errors.As(err, &refusal) {
			refusal = store.Errorf(store.CodeInternal, "%v", err)
		}
		break
	}
	res := Result{Refusal: refusal}
	if refusal == nil {
		res.Names = ch.names
		if ch.moved {
			tx.Advance()
		}
	}
	res.Revision = tx.Counters().Revision
	if c.ID != "" {
		tx.Remember(store.Record{ID: c.ID, Digest: c.Digest, Time: c.Time, Op: c.Op, Index: index,
			Revision: res.Revision, Names: res.Names, Total: ch.recorded(refusal), Refusal: refusal})
	}
	return res
}

// recorded is how many objects a command changed that it does not name.
func (ch *change) recorded(refusal *store.Error) int {
	if refusal != nil {
		return 0
	}
	return ch.total
}

// Check applies a command to an overlay of the image: what would come of it,
// with nothing changed.
func Check(img *store.Image, c *mutation.Command) Result {
	tx := img.Overlay()
	if len(c.Mutations) == 1 && writesLast(c.Mutations[0].Kind) {
		tx = img.Trial()
	}
	return Apply(tx, img.Index, c)
}

// writesLast reports whether a mutation of a kind puts in one document when all
// has been checked, and looks at nothing after it.
func writesLast(k mutation.Kind) bool {
	switch k {
	case mutation.ClientCreate, mutation.ClientUpdate:
		return true
	}
	return false
}

// table is the part of a state that remembers requests.
type table interface {
	Request(id string) *store.Record
	Counters() store.Counters
}

// Remembered answers a command whose request id was seen before, or is older
// than the request table reaches back. Nil: it is new.
func Remembered(tx table, c *mutation.Command) *Result {
	if r := tx.Request(c.ID); r != nil {
		return replay(r, c.Digest)
	}
	// A request is never asked for after its command was made. One that was asked
	// for at the horizon itself may be the last that was forgotten.
	if horizon := max(tx.Counters().Horizon, c.Time-store.RequestMemory-1); c.Asked != 0 && c.Asked <= horizon {
		return &Result{Refusal: store.Errorf(store.CodeRequestReused,
			"request %s was made at %s, and those made until %s are forgotten: too old to know whether it was done", c.ID, c.Asked, horizon).
			WithHint("nothing was changed now; look at the object, then send the change under a new request id")}
	}
	return nil
}

// replay is the answer to a request that is remembered, asked with the given digest.
func replay(r *store.Record, digest store.RequestDigest) *Result {
	if r.Digest != digest {
		return &Result{Refusal: store.Errorf(store.CodeRequestReused,
			"request id %s was already used for another change (%s)", r.ID, r.Op).
			WithHint("nothing was changed; use a new request id")}
	}
	return &Result{Replayed: r, Refusal: r.Refusal, Revision: r.Revision, Names: r.Names}
}

func (ch *change) apply(m *mutation.Mutation) error {
	switch m.Kind {
	case mutation.TenantCreate:
		return ch.createTenant(m)
	case mutation.TenantUpdate:
		return ch.updateTenant(m)
	case mutation.TenantDelete:
		return ch.deleteTenant(m)
	case mutation.ClientCreate:
		return ch.createClient(m)
	case mutation.ClientUpdate:
		return ch.updateClient(m)
	case mutation.ClientDelete:
		return ch.deleteClient(m)
	case mutation.ScopeCreate:
		return ch.createScope(m)
	case mutation.ScopeDelete:
		return ch.deleteScope(m)
	case mutation.KeyRotate:
		return ch.rotateKey(m)
	}
	return ch.applySystem(m)
}

// changed notes what the command touched, in the operator's words.
func (ch *change) changed(ref store.Ref) {
	ch.moved = true
	ch.names = append(ch.names, ref.String())
}

// document stamps the payload with the revisions and parses it.
func (ch *change) document(ref store.Ref, m *mutation.Mutation, old *store.Doc) (*store.Doc, error) {
	created := ch.revision
	if old != nil {
		created = old.CreateRevision
	}
	b, err := store.Stamp(m.Payload, created, ch.revision)
	if err != nil {
		return nil, err
	}
	return store.NewDoc(ref.Path(), b)
}

// unmoved checks that a document is still the one the mutation was computed from.
func unmoved(ref store.Ref, d *store.Doc, m *mutation.Mutation) error {
	if d.Revision == m.Base {
		return nil
	}
	if m.Flags&mutation.Expected == 0 {
		return errStale
	}
	return store.Errorf(store.CodeConflict, "%s has changed: it is at revision %d, not %d", ref, d.Revision, m.Base).
		WithHint("see: %s", Look(ref))
}

// Look is the command that shows an object.
func Look(ref store.Ref) string {
	switch ref.Kind {
	case "tenant":
		return "cpctl tenant get " + ref.Tenant
	case "keyset":
		return "cpctl key list -t " + ref.Tenant
	}
	return "cpctl " + ref.Kind + " get " + ref.Name + " -t " + ref.Tenant
}

// tenant returns the tenant that a mutation is about, which must exist.
func (ch *change) tenant(slug string) (*store.Tenant, *store.Doc, error) {
	if err := store.CheckSlug(slug); err != nil {
		return nil, nil, store.Errorf(store.CodeInvalid, "%v", err)
	}
	d, err := ch.Tenants().Get(slug)
	if err != nil {
		return nil, nil, err
	}
	return d.Head.(*store.Tenant), d, nil
}
