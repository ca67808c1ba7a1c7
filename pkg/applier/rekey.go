package applier

import (
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// RekeyPath is where the roll-over of the cluster key is on record.
const RekeyPath = "system/rekey.json"

// rekey is one step from one cluster key to the next. The keys themselves are
// never here: the leader takes a step once the nodes hold what it needs.
func (ch *change) rekey(m *mutation.Mutation) error {
	r, err := decode[mutation.Rekey](m)
	if err != nil {
		return err
	}
	var f mutation.Found
	if !ch.System(ClusterPath, &f) {
		return store.Errorf(store.CodeConflict, "this cluster is not founded yet")
	}
	var roll mutation.Rollover
	ch.System(RekeyPath, &roll)
	switch r.Step {
	case mutation.RekeyBegin:
		err = ch.beginRekey(&r, &f, &roll)
	case mutation.RekeyKeep:
		err = ch.keepKey(&r, &f, &roll)
	case mutation.RekeySwitch:
		err = ch.switchKey(&r, &f, &roll)
	case mutation.RekeyRetire:
		err = ch.retireKey(&r, &f, &roll)
	}
	if err != nil {
		return err
	}
	if roll.Past == nil {
		roll.Past = []mutation.PastKey{}
	}
	roll.Past = roll.Past[max(0, len(roll.Past)-mutation.MaxPastKeys):]
	if err := ch.PutSystem(ClusterPath, f); err != nil {
		return err
	}
	return ch.PutSystem(RekeyPath, roll)
}

// beginRekey names the new key. A roll-over that has begun and goes no further,
// since nobody who is left has its key, is begun anew.
func (ch *change) beginRekey(r *mutation.Rekey, f *mutation.Found, roll *mutation.Rollover) error {
	switch {
	case roll.Phase == mutation.RollBegun && r.Replaces != "" && r.Replaces == roll.Next.ID:
		roll.Past = append(roll.Past, mutation.PastKey{KeyName: roll.Next, Roll: roll.Roll, By: r.Key.ID, Replaced: true, At: ch.Time})
	case roll.Phase != "" || r.Replaces != "":
		return anotherRoll(roll)
	}
	if r.Key.ID == "" || r.Key.ID == f.KeyID || r.Key.Check == f.KeyCheck || roll.Knows(r.Key.Check) {
		return store.Errorf(store.CodeConflict, "the cluster key %s was this cluster's before; it cannot be the next one", r.Key.ID)
	}
	if f.RequestKey == nil {
		if r.RequestKey == nil || r.RequestKey.KeyID != f.KeyID {
			return store.Errorf(store.CodeInternal, "no request key is sealed under the key %s", f.KeyID)
		}
		f.RequestKey = r.RequestKey
	}
	*roll = mutation.Rollover{Phase: mutation.RollBegun, Roll: r.Roll, Next: r.Key, Since: ch.Time, Actor: ch.Actor, Past: roll.Past}
	return nil
}

// keepKey lets an older key open, in a cluster that is founded with two.
func (ch *change) keepKey(r *mutation.Rekey, f *mutation.Found, roll *mutation.Rollover) error {
	if roll.Phase != "" || len(roll.Past) > 0 || r.Key.ID == f.KeyID {
		return anotherRoll(roll)
	}
	*roll = mutation.Rollover{Phase: mutation.RollSwitched, Roll: r.Roll, Old: r.Key, Since: ch.Time, Actor: ch.Actor}
	return nil
}

// switchKey makes the new key the one that seals.
func (ch *change) switchKey(r *mutation.Rekey, f *mutation.Found, roll *mutation.Rollover) error {
	if roll.Phase != mutation.RollBegun || roll.Roll != r.Roll || roll.Next != r.Key {
		return anotherRoll(roll)
	}
	roll.Phase, roll.Old, roll.Next = mutation.RollSwitched, mutation.KeyName{ID: f.KeyID, Check: f.KeyCheck}, mutation.KeyName{}
	f.KeyID, f.KeyCheck = r.Key.ID, r.Key.Check
	return nil
}

// retireKey ends the roll-over: from now on nothing may be sealed under the old
// key, so nothing may be left that is.
func (ch *change) retireKey(r *mutation.Rekey, f *mutation.Found, roll *mutation.Rollover) error {
	if roll.Phase != mutation.RollSwitched || roll.Roll != r.Roll || roll.Old != r.Key {
		return anotherRoll(roll)
	}
	if path := sealedUnder(ch.Tx, roll.Old.ID); path != "" {
		return store.Errorf(store.CodeRefused, "%s holds something that is sealed under the cluster key %s; it cannot be retired yet", path, roll.Old.ID).
			WithHint("see: cpctl cluster rekey")
	}
	past := mutation.PastKey{KeyName: roll.Old, Roll: roll.Roll, By: f.KeyID, Values: roll.Values, At: ch.Time}
	*roll = mutation.Rollover{Past: append(roll.Past, past)}
	return nil
}

func anotherRoll(roll *mutation.Rollover) error {
	if roll.Phase == "" {
		return store.Errorf(store.CodeConflict, "no roll-over of the cluster key is at that step: it has come to its end")
	}
	return store.Errorf(store.CodeConflict, "another roll-over of the cluster key is under way, since %s by %s (%s)", roll.Since, roll.Actor, roll.Phase).
		WithHint("cpctl cluster rekey goes on with it")
}

// sealedUnder returns the path of a document that holds something sealed under
// a key, "" if none does. Only keysets, what the cluster keeps of itself, and
// what is being uploaded can.
func sealedUnder(tx *store.Tx, keyID string) string {
	for _, prefix := range []string{"keys/", store.SystemPrefix} {
		for d := range tx.Scan(prefix) {
			if store.SealedUnder(d.Path, d.Bytes, keyID) {
				return d.Path
			}
		}
	}
	for s := range tx.StagedDocs() {
		if s.Doc != nil && store.SealedUnder(s.Path, s.Doc.Bytes, keyID) {
			return s.Path + " (in a restore that is under way)"
		}
	}
	return ""
}

// sealedRight checks that what a document brings is sealed under a key that the
// cluster has. A command that was made before a step and is applied behind it
// must not bring the old key back. Clusters that were never rekeyed have one key.
func (ch *change) sealedRight(path string, doc []byte) (stranger string) {
	sealed := store.SealedIn(path, doc)
	var roll mutation.Rollover
	var f mutation.Found
	if len(sealed) == 0 || !ch.System(RekeyPath, &roll) || !ch.System(ClusterPath, &f) {
		return ""
	}
	for _, s := range sealed {
		if s.KeyID != f.KeyID && (roll.Phase != mutation.RollSwitched || s.KeyID != roll.Old.ID) {
			return s.KeyID
		}
	}
	return ""
}
