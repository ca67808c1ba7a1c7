package node

import (
	"context"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// Enrol signs the certificate of a newcomer and puts it on record. Only the
// leader does; by is who asked, and either may admit members or shows a token.
func (n *Node) Enrol(ctx context.Context, req EnrolRequest, by access.Actor) (*Enrolment, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if req.Token != "" {
		return n.useToken(ctx, req, by)
	}
	if err := access.Check(by, access.Members, ""); err != nil {
		return nil, err
	}
	if err := checkName(req.Name); err != nil {
		return nil, err
	}
	signed, err := n.certify(req, access.Node, req.Name, "")
	if err != nil {
		return nil, err
	}
	m, err := payload(mutation.SysCert, signed.record)
	if err != nil {
		return nil, err
	}
	if _, _, err := n.system(ctx, "", by.String(), m); err != nil {
		return nil, err
	}
	return n.enrolment(access.Node, signed.pem, signed.ca), nil
}

// signed is a certificate that is not on record yet.
type signed struct {
	record  mutation.Certificate
	pem, ca []byte
}

// certify signs the certificate of a newcomer.
func (n *Node) certify(req EnrolRequest, role access.Role, name, tenant string) (*signed, error) {
	ca, err := n.authority(n.Image())
	if err != nil {
		return nil, err
	}
	who := pki.Identity{Role: role, Name: name, Tenant: tenant, ClusterID: n.self.ClusterID, NodeID: req.NodeID, Generation: n.self.Generation}
	now := n.cfg.Now()
	cert, serial, err := ca.Sign(req.CSR, who, certificateLife, now)
	if err != nil {
		return nil, store.Errorf(store.CodeInvalid, "no certificate for %s %q: %v", role, name, err)
	}
	return &signed{pem: cert, ca: ca.CertPEM(), record: mutation.Certificate{Serial: serial, Role: string(role), Name: name, NodeID: req.NodeID,
		Voter: req.Voter, NotAfter: store.TimeOf(now.Add(certificateLife)), IssuedAt: store.TimeOf(now)}}, nil
}

// enrolment is the answer to a newcomer. Only a node gets the cluster key.
func (n *Node) enrolment(role access.Role, cert, ca []byte) *Enrolment {
	e := &Enrolment{ClusterID: n.self.ClusterID, Generation: n.self.Generation, CertPEM: cert, CAPEM: ca}
	if role == access.Node {
		e.ClusterKey = n.key.Encode()
	}
	return e
}

// useToken gives the holder of a token its certificate. The secret ends here:
// the log says which token was used, and for which key.
func (n *Node) useToken(ctx context.Context, req EnrolRequest, by access.Actor) (*Enrolment, error) {
	key, err := pki.CSRKey(req.CSR)
	if err != nil {
		return nil, err
	}
	now := n.proposer.time()
	t, again, err := n.shown(n.Image(), req, key, now)
	if again || err != nil { // an answer from the state: of one that is no older than the question
		if err := n.confirmed(ctx); err != nil {
			return nil, err
		}
		if t, again, err = n.shown(n.Image(), req, key, now); err != nil {
			return nil, err
		}
	}
	role := access.Role(t.Role)
	if !again {
		signed, err := n.certify(req, role, t.Name, t.Tenant)
		if err != nil {
			return nil, err
		}
		m, err := payload(mutation.SysEnrol, mutation.Enrol{Token: t.ID, PublicKey: key, Certificate: signed.record, PEM: string(signed.pem)})
		if err != nil {
			return nil, err
		}
		if _, _, err := n.system(ctx, "", by.String(), m); err != nil {
			return nil, err
		}
		// What is on record now: another attempt with this key may have been faster.
		if t, _, err = n.shown(n.Image(), req, key, now); err != nil {
			return nil, err
		}
	}
	ca, err := n.authority(n.Image())
	if err != nil {
		return nil, err
	}
	n.cfg.Log.Info("a token was used", "token", t.ID, "role", t.Role, "name", t.Name, "serial", t.Serial, "again", again)
	return n.enrolment(role, []byte(t.PEM), ca.CertPEM()), nil
}

// confirmed waits until this node has applied everything that was committed when
// it was called, and knows that it still leads.
func (n *Node) confirmed(ctx context.Context) error {
	index, err := n.ReadIndex(ctx)
	if err != nil {
		return err
	}
	return n.WaitApplied(ctx, index)
}

// shown judges a token that somebody shows for a public key: whether it is one
// of this cluster's, with this secret, for such a newcomer, and still good.
// again: it has given that key its certificate, which is in the record.
func (n *Node) shown(img *store.Image, req EnrolRequest, key string, now store.Time) (t mutation.TokenRecord, again bool, err error) {
	if !pki.TokenID(req.Token) || !img.System(applier.TokenPath(req.Token), &t) || !pki.TokenMatches(t.Hash, req.Secret) {
		return t, false, applier.UnknownToken(req.Token)
	}
	if err := suits(&t, req); err != nil {
		return t, false, err
	}
	if again, err = applier.Usable(&t, key, max(now, img.Counters().Time)); !again || err != nil {
		return t, again, err
	}
	// A node that was removed does not get the cluster key once more.
	if c := certificateOf(img, t.Serial); c.Serial == "" || c.Revoked {
		return t, false, store.Errorf(store.CodeDenied, "token %s was used already, and the certificate %s that it gave is no longer good", t.ID, t.Serial).
			WithHint("another token is made by: cpctl token create")
	}
	return t, true, nil
}

// suits compares what a newcomer says of itself with what its token is for.
func suits(t *mutation.TokenRecord, req EnrolRequest) error {
	switch node := t.Role == string(access.Node); {
	case node && req.NodeID == "":
		return store.Errorf(store.CodeDenied, "token %s is for the node %q, and nobody logs in with it", t.ID, t.Name).
			WithHint("on the new node: cpctl node --name %s --join HOST:PORT --token-file FILE", t.Name)
	case !node && req.NodeID != "":
		return store.Errorf(store.CodeDenied, "token %s is for the %s %q, and no node joins with it", t.ID, t.Role, t.Name).
			WithHint("make one for the node: cpctl token create --role node --name %s", req.Name)
	case node && req.Name != t.Name:
		return store.Errorf(store.CodeDenied, "token %s is for a node named %q, not %q", t.ID, t.Name, req.Name).
			WithHint("start the node with --name %s, or make another token", t.Name)
	case node:
		if id, err := uuid.Parse(req.NodeID); err != nil || id.String() != req.NodeID {
			return store.Errorf(store.CodeInvalid, "%q cannot be the id of a node", req.NodeID)
		}
	}
	return nil
}
