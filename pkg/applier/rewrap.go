package applier

import (
	"encoding/json"
	"strings"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// rewrap puts values that are sealed under the new key in the places of the old
// ones. All documents must be as they were when the leader opened them.
func (ch *change) rewrap(m *mutation.Mutation) error {
	w, err := decode[mutation.Rewrap](m)
	if err != nil {
		return err
	}
	var f mutation.Found
	var roll mutation.Rollover
	if !ch.System(ClusterPath, &f) || !ch.System(RekeyPath, &roll) || roll.Phase != mutation.RollSwitched || roll.Roll != w.Roll {
		return anotherRoll(&roll)
	}
	after := make(map[string][]byte, len(w.Docs))
	for _, d := range w.Docs {
		if after[d.Path] != nil {
			return store.Errorf(store.CodeInternal, "%s is there twice", d.Path)
		}
		if after[d.Path], err = ch.resealed(&d, f.KeyID, roll.Old.ID); err != nil {
			return err
		}
		roll.Values += len(d.Values)
	}
	return ch.putResealed(&w, after, &roll)
}

// resealed is a document with its values sealed anew, and nothing written yet.
func (ch *change) resealed(w *mutation.RewrapDoc, now, old string) ([]byte, error) {
	doc := ch.Get(w.Path)
	if doc == nil || doc.Sum.String() != w.Base {
		return nil, errStale
	}
	before := map[string]store.Sealed{}
	for _, s := range store.SealedIn(w.Path, doc.Bytes) {
		before[s.Nonce] = s
	}
	b := doc.Bytes
	for _, v := range w.Values {
		was, ok := before[v.From]
		if !ok || was.KeyID != old || v.Now.KeyID != now {
			return nil, store.Errorf(store.CodeInternal, "%s holds no value with nonce %s that is to be sealed under %s", w.Path, v.From, now)
		}
		var err error
		if b, err = store.Reseal(b, was, v.Now); err != nil {
			return nil, err
		}
	}
	if strings.HasPrefix(w.Path, store.SystemPrefix) {
		return b, nil
	}
	return ch.resealedKeyset(w.Path, b)
}

// resealedKeyset stamps a keyset and holds it to the rules, like every change.
func (ch *change) resealedKeyset(path string, b []byte) ([]byte, error) {
	ref, err := store.ParsePath(path)
	if err != nil || ref.Kind != "keyset" {
		return nil, store.Errorf(store.CodeInternal, "nothing is sealed in %s", path)
	}
	d, err := store.NewDoc(path, b)
	if err != nil {
		return nil, err
	}
	ks, err := store.Stored[store.Keyset](d)
	if err != nil {
		return nil, err
	}
	if err := store.CheckKeyset(ks); err != nil {
		return nil, err
	}
	ks.Revision, ks.UpdatedAt, ks.UpdatedBy = ch.revision, ch.Time, ch.Actor
	return store.Encode(ks), nil
}

func (ch *change) putResealed(w *mutation.Rewrap, after map[string][]byte, roll *mutation.Rollover) error {
	for _, d := range w.Docs {
		b := after[d.Path]
		ref, err := store.ParsePath(d.Path)
		if err != nil { // the cluster's own
			if err := ch.PutSystem(d.Path, json.RawMessage(b)); err != nil {
				return err
			}
			continue
		}
		doc, err := store.NewDoc(d.Path, b)
		if err != nil {
			return err
		}
		ch.changed(ref)
		if err := ch.Keys(ref.Tenant).Upsert(doc); err != nil {
			return err
		}
	}
	return ch.PutSystem(RekeyPath, *roll)
}
