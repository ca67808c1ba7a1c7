package applier

import (
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// succession is a step from one authority to the next. A step that was taken
// already does nothing; one out of its order is refused.
func (ch *change) succession(m *mutation.Mutation) error {
	s, err := decode[mutation.Succession](m)
	if err != nil {
		return err
	}
	var f mutation.Found
	if !ch.System(ClusterPath, &f) {
		return store.Errorf(store.CodeRefused, "this cluster is not founded yet")
	}
	switch s.Step {
	case mutation.CAAnnounce:
		if s.CAKey == nil {
			return store.Errorf(store.CodeInvalid, "an authority without a key cannot sign")
		}
		if f.NextCA != "" || f.OldCA != "" {
			return store.Errorf(store.CodeRefused, "another roll-over of the authority is under way")
		}
		if id := ch.sealedRight(ClusterPath, m.Payload); id != "" {
			return store.Errorf(store.CodeConflict, "the key of the next authority is sealed under the cluster key %s, which was retired meanwhile", id)
		}
		f.NextCA, f.NextCAKey, f.CrossCA = s.CA, s.CAKey, s.Cross
	case mutation.CASwitch:
		if f.CA == s.CA {
			return nil
		}
		if f.NextCA != s.CA {
			return store.Errorf(store.CodeConflict, "that authority was not announced")
		}
		f.OldCA, f.CA, f.CAKey = f.CA, f.NextCA, *f.NextCAKey
		f.NextCA, f.NextCAKey = "", nil
	case mutation.CARetire:
		if f.OldCA == "" {
			return nil
		}
		if f.OldCA != s.CA {
			return store.Errorf(store.CodeConflict, "that authority is not the one before")
		}
		f.OldCA, f.CrossCA = "", ""
	}
	return ch.PutSystem(ClusterPath, f)
}
