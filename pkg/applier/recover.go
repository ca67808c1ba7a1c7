package applier

import (
	"fmt"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// recover begins the next generation of the cluster with one node. The others
// are removed, which frees their names; people and tokens stay what they are. An
// upload that was open is forgotten: nobody is left to finish it. So is every
// removal that was decided and not done: of the others it is done with this, and
// the node that the cluster goes on with stays.
func (ch *change) recover(m *mutation.Mutation) error {
	r, err := decode[mutation.Recover](m)
	if err != nil {
		return err
	}
	var f mutation.Found
	switch {
	case !ch.System(ClusterPath, &f):
		return store.Errorf(store.CodeRefused, "this cluster is not founded yet")
	case r.Generation != f.Generation+1:
		return store.Errorf(store.CodeConflict, "this cluster is of generation %d, which generation %d does not follow", f.Generation, r.Generation)
	case r.Certificate.NodeID == "":
		return store.Errorf(store.CodeInvalid, "a generation begins with a node")
	case ch.Get(CertPath(r.Certificate.Serial)) != nil:
		return store.Errorf(store.CodeExists, "certificate %s is on record already", r.Certificate.Serial)
	}
	var known []mutation.Certificate
	for d := range ch.Scan(CertsPrefix) {
		var c mutation.Certificate
		if ch.System(d.Path, &c) && c.NodeID != "" {
			known = append(known, c)
		}
	}
	for _, c := range known {
		switch {
		case c.NodeID != r.Certificate.NodeID && !c.Removed():
			c.Revoked, c.LineRevoked = true, false
			c.Why = fmt.Sprintf("the cluster was recovered from node %s as generation %d at %s", r.Certificate.Name, r.Generation, ch.Time)
		case c.NodeID == r.Certificate.NodeID && c.Removed(): // it is a member again, by a new certificate
			c.LineRevoked = true
		default:
			continue
		}
		if err := ch.PutSystem(CertPath(c.Serial), c); err != nil {
			return err
		}
	}
	if ch.OpenStage() != nil {
		ch.DropStage()
	}
	ch.DeleteSystem(LeavingPath)
	f.Generation, f.Recovery = r.Generation, r.Recovery
	if err := ch.PutSystem(ClusterPath, f); err != nil {
		return err
	}
	return ch.issue(r.Certificate)
}
