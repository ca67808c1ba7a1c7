package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// EnrolRequest is how a new node asks for a certificate.
type EnrolRequest struct {
	NodeID string
	Name   string
	CSR    []byte // DER
	Voter  bool   // it wants a vote once it has caught up
}

// Enrolment is what it gets: who it is in which cluster, and the cluster key.
// The node makes it durable before it asks to be admitted.
type Enrolment struct {
	ClusterID  string
	Generation uint64
	CertPEM    []byte
	CAPEM      []byte
	ClusterKey []byte // the text of the file cluster.key
}

// AdmitRequest asks for membership; Address must answer by now.
type AdmitRequest struct {
	NodeID  string
	Address string
}

// Joiner reaches a member of the cluster that a new node wants to join.
type Joiner interface {
	Enrol(ctx context.Context, req EnrolRequest) (*Enrolment, error)
	Admit(ctx context.Context, req AdmitRequest) error
}

// enrol makes this node somebody in an existing cluster, but no member yet.
func (n *Node) enrol(ctx context.Context) (*identity, error) {
	id := &identity{FormatVersion: store.FormatVersion, NodeID: uuid.NewString(), Name: n.cfg.Name, Phase: phaseJoining, Voter: !n.cfg.NonVoter}
	csr, signer, err := pki.NewCSR(id.Name)
	if err != nil {
		return nil, err
	}
	keyPEM, err := pki.EncodeKeyPEM(signer)
	if err != nil {
		return nil, err
	}
	e, err := n.askToEnrol(ctx, EnrolRequest{NodeID: id.NodeID, Name: id.Name, CSR: csr, Voter: id.Voter})
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	id.ClusterID, id.Generation = e.ClusterID, e.Generation
	key, err := pki.ParseClusterKey(e.ClusterKey)
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	if err := n.dir.saveSecrets(key, pki.Credentials{CertPEM: e.CertPEM, KeyPEM: keyPEM, CAPEM: e.CAPEM}); err != nil {
		return nil, err
	}
	n.cfg.Log.Info("enrolled", "cluster", id.ClusterID, "node", id.NodeID)
	return id, n.dir.save(id)
}

// enrolWait is how long one attempt to enrol may take before the log says that
// the cluster does not answer.
const enrolWait = 10 * time.Second

// askToEnrol asks until the cluster answers or the node is told to stop.
func (n *Node) askToEnrol(ctx context.Context, req EnrolRequest) (*Enrolment, error) {
	for {
		attempt, cancel := context.WithTimeout(ctx, enrolWait)
		e, err := n.cfg.Join.Enrol(attempt, req)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
			return e, err
		}
		n.cfg.Log.Warn("the cluster does not answer yet", "error", err)
	}
}

// join asks for membership until it is granted or the node stops.
func (n *Node) join() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n.goRun(func() {
		select {
		case <-n.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	for {
		err := n.cfg.Join.Admit(ctx, AdmitRequest{NodeID: n.self.NodeID, Address: n.self.Advertise})
		if err == nil {
			break
		}
		n.cfg.Log.Warn("not admitted yet", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
	n.self.Phase = phaseMember
	if err := n.dir.save(n.self); err != nil {
		n.cfg.Log.Error("the membership could not be noted", "error", err)
	}
	n.cfg.Log.Info("admitted to the cluster", "cluster", n.self.ClusterID)
}

// Enrol signs the certificate of a new node and puts it on record. Only the
// leader does; by is who asked.
func (n *Node) Enrol(ctx context.Context, req EnrolRequest, by access.Actor) (*Enrolment, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if err := access.Check(by, access.Members, ""); err != nil {
		return nil, err
	}
	if err := checkName(req.Name); err != nil {
		return nil, err
	}
	who := &identity{NodeID: req.NodeID, Name: req.Name, ClusterID: n.self.ClusterID, Generation: n.self.Generation}
	e, record, err := n.sign(req.CSR, who.certified())
	if err != nil {
		return nil, store.Errorf(store.CodeInvalid, "no certificate for node %q: %v", req.Name, err)
	}
	record.Voter = req.Voter
	if err := n.recordCertificate(ctx, record, by.String()); err != nil {
		return nil, err
	}
	e.ClusterKey = n.key.Encode()
	return e, nil
}
