package node

import (
	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// may judges somebody by the state of the leader, where what was asked for is
// carried out: by the table, and by their certificate. The node that let them in
// may have been cut off, or have just been started, and not know yet that it was
// taken back; the leader has applied every revocation that was answered.
func (n *Node) may(by access.Actor, do access.Action, tenant string) error {
	if err := n.Good(by); err != nil {
		return err
	}
	return access.Check(by, do, tenant)
}

// Good says what is wrong with somebody's certificate by the state of this node,
// which has to be of now: nil for who came by a socket or has none yet. That of a
// person is on record until after its end, whoever signed it; a node may have made
// its own, to find back.
func (n *Node) Good(by access.Actor) error {
	if by.Serial == "" {
		return nil
	}
	if why, _ := n.Farewell(by.Serial, ""); why != nil {
		return why
	}
	img := n.Image()
	record, f := certificateOf(img, by.Serial), n.found()
	if record.Serial == "" && by.Role != access.Node {
		return store.Errorf(store.CodeDenied, "certificate %s of %s is not on record in this cluster", by.Serial, by).
			WithHint("log in again with a new token")
	}
	if record.Authority == "" { // of a node that finds back, or of before authorities had names
		return nil
	}
	for _, ca := range []string{f.CA, f.NextCA, f.OldCA} {
		if ca != "" && pki.AuthorityID([]byte(ca)) == record.Authority {
			return nil
		}
	}
	return store.Errorf(store.CodeDenied, "the authority that signed certificate %s of %s was retired", by.Serial, by).
		WithHint("log in again with a new token")
}
