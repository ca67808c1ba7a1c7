package node

import (
	"context"
	"errors"

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
	if err := n.wiped(req.NodeID); err != nil {
		return nil, err
	}
	if req.Token != "" {
		return n.useToken(ctx, req, by)
	}
	if err := n.may(by, access.Members, ""); err != nil {
		return nil, err
	}
	if err := checkName(req.Name); err != nil {
		return nil, err
	}
	if err := checkNodeID(req.NodeID); err != nil {
		return nil, err
	}
	e, record, err := n.certify(req, access.Node, req.Name, "")
	if err != nil {
		return nil, err
	}
	if err := n.recordCertificate(ctx, record, by.String()); err != nil {
		return nil, err
	}
	return n.withKey(e, access.Node), nil
}

// wiped refuses a newcomer under the id of a member: it would have its votes, and
// nothing of what that one has promised to keep.
func (n *Node) wiped(nodeID string) error {
	for _, m := range n.Members() {
		if nodeID != "" && m.ID == nodeID {
			return store.Errorf(store.CodeExists, "the node id %s is taken by node %q, which is a member", nodeID, m.Name).
				WithHint("a node that has lost its disk comes back with an empty data directory, under another id; remove the member first: cpctl cluster remove %s", m.Name)
		}
	}
	return nil
}

// certify signs the certificate of a newcomer.
func (n *Node) certify(req EnrolRequest, role access.Role, name, tenant string) (*Enrolment, mutation.Certificate, error) {
	who := pki.Identity{Role: role, Name: name, Tenant: tenant, ClusterID: n.self.ClusterID, NodeID: req.NodeID, Generation: n.self.Generation, Recovery: n.self.Recovery}
	e, record, err := n.sign(req.CSR, who)
	if errors.Is(err, store.ErrInvalid) {
		err = store.Errorf(store.CodeInvalid, "no certificate for %s %q: %v", role, name, err)
	}
	record.Voter = req.Voter
	return e, record, err
}

// withKey is the answer to a newcomer. Only a node gets the cluster key.
func (n *Node) withKey(e *Enrolment, role access.Role) *Enrolment {
	if role == access.Node {
		e.ClusterKey = n.ring().Encode()
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
		e, record, err := n.certify(req, role, t.Name, t.Tenant)
		if err != nil {
			return nil, err
		}
		m, err := payload(mutation.SysEnrol, mutation.Enrol{Token: t.ID, PublicKey: key, Certificate: record, PEM: string(e.CertPEM)})
		if err != nil {
			return nil, err
		}
		if err := n.refusedEarly(ctx, m, by); err != nil {
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
	n.cfg.Log.Info("a token was used", "token", t.ID, "role", t.Role, "name", t.Name, "serial", t.Serial, "again", again)
	f := n.found()
	return n.withKey(&Enrolment{ClusterID: f.ClusterID, Generation: f.Generation, CertPEM: []byte(t.PEM), CAPEM: []byte(f.Bundle())}, role), nil
}

// refusedEarly keeps out of the log what applying would refuse: newcomers must
// not be able to fill it.
func (n *Node) refusedEarly(ctx context.Context, m mutation.Mutation, by access.Actor) error {
	refusal := func() *store.Error {
		return applier.Check(n.Image(), &mutation.Command{Op: string(m.Kind), Actor: by.String(), Time: n.proposer.time(), Level: n.level(), Mutations: []mutation.Mutation{m}}).Refusal
	}
	if refusal() == nil {
		return nil
	}
	if err := n.confirmed(ctx); err != nil {
		return err
	}
	if r := refusal(); r != nil {
		return r
	}
	return nil
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
		return checkNodeID(req.NodeID)
	}
	return nil
}

// checkNodeID wants the id of a node to be a UUID: it stands in raft's addresses,
// which an "@" or a "/" in it would make another's.
func checkNodeID(s string) error {
	if id, err := uuid.Parse(s); err != nil || id.String() != s {
		return store.Errorf(store.CodeInvalid, "%q cannot be the id of a node", s)
	}
	return nil
}
