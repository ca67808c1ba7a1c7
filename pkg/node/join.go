package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// EnrolRequest is how a newcomer asks for a certificate: a node at the socket of
// another, or whoever shows a token.
type EnrolRequest struct {
	NodeID string // none: a person
	Name   string // of a node; a person has the token's
	CSR    []byte // DER
	Voter  bool   // it wants a vote once it has caught up
	Token  string // id of the token, none at a socket
	Secret []byte // of the token
}

// Enrolment is what it gets: who it is in which cluster, and the cluster key.
// The node makes it durable before it asks to be admitted.
type Enrolment struct {
	ClusterID  string
	Generation uint64
	CertPEM    []byte
	CAPEM      []byte
	ClusterKey []byte // the text of the file cluster.key; a node's alone
}

// AdmitRequest asks for membership; Address must answer by now.
type AdmitRequest struct {
	NodeID  string
	Address string
	Moved   bool // it is a member, and was at another address before
}

// Joiner reaches a member of the cluster that a new node wants to join. Once the
// node is enrolled it asks as who it is.
type Joiner interface {
	Ready() error // what keeps it from asking at all; asked before anything is made in an empty directory
	Enrol(ctx context.Context, req EnrolRequest) (*Enrolment, error)
	Admit(ctx context.Context, req AdmitRequest, own pki.Credentials) error
}

// enrol makes this node somebody in an existing cluster, but no member yet.
func (n *Node) enrol(ctx context.Context) (*identity, error) {
	if err := n.cfg.Join.Ready(); err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	if err := free(n.cfg.Listen); err != nil {
		return nil, err
	}
	me, csr, err := n.newcomer()
	if err != nil {
		return nil, err
	}
	id := &identity{FormatVersion: store.FormatVersion, NodeID: me.NodeID, Name: me.Name, Phase: phaseJoining, Voter: !n.cfg.NonVoter}
	e, err := n.askToEnrol(ctx, EnrolRequest{NodeID: id.NodeID, Name: id.Name, CSR: csr, Voter: id.Voter})
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	who, err := pki.Credentials{CertPEM: e.CertPEM}.Identity()
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	id.ClusterID, id.Generation, id.Recovery = e.ClusterID, who.Generation, who.Recovery
	ring, err := pki.ParseKeyring(e.ClusterKey)
	if err != nil {
		return nil, fmt.Errorf("join the cluster: %w", err)
	}
	if err := n.dir.saveSecrets(ring, pki.Credentials{CertPEM: e.CertPEM, KeyPEM: []byte(me.Key), CAPEM: e.CAPEM}); err != nil {
		return nil, err
	}
	n.cfg.Log.Info("enrolled", "cluster", id.ClusterID, "node", id.NodeID)
	if err := n.dir.save(id); err != nil {
		return nil, err
	}
	return id, disk.Remove(n.cfg.disk, n.dir.file(newcomerFile)) // without node.json saying so, the next start would need it
}

// newcomer is who this node will be if the cluster takes it. It waits in
// joining.json until the cluster's answer is durable: a token is good for one
// key, so that after a crash the node has to ask with the same one.
type newcomer struct {
	NodeID string `json:"node_id"`
	Name   string `json:"name"`
	Key    string `json:"key"` // private, PEM
}

const newcomerFile = "joining.json"

// newcomer returns who this node wants to be, and its certificate request.
func (n *Node) newcomer() (me newcomer, csr []byte, err error) {
	found, err := n.dir.loadRecord(newcomerFile, &me)
	if found && err == nil && me.Name == n.cfg.Name {
		signer, err := pki.DecodeKeyPEM([]byte(me.Key))
		if err == nil {
			csr, err = pki.CSRFor(signer, me.Name)
		}
		return me, csr, err
	}
	if found && err != nil { // nobody knows it yet
		n.cfg.Log.Warn("asking as another newcomer than before", "error", err)
	}
	csr, signer, err := pki.NewCSR(n.cfg.Name)
	if err != nil {
		return me, nil, err
	}
	key, err := pki.EncodeKeyPEM(signer)
	if err != nil {
		return me, nil, err
	}
	me = newcomer{NodeID: uuid.NewString(), Name: n.cfg.Name, Key: string(key)}
	return me, csr, n.dir.saveRecord(newcomerFile, me)
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
		attempt, done := context.WithTimeout(ctx, enrolWait)
		err := n.cfg.Join.Admit(attempt, AdmitRequest{NodeID: n.self.NodeID, Address: n.self.Advertise}, n.own.Load().shown())
		done()
		if err == nil {
			break
		}
		if errors.Is(err, store.ErrDenied) { // its certificate was taken back meanwhile: no later attempt fares better
			n.fail(fmt.Errorf("join the cluster: %w", err))
			return
		}
		n.cfg.Log.Warn("not admitted yet", "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
	if err := n.dir.enter(n.self, phaseMember); err != nil {
		n.cfg.Log.Error("the membership could not be noted", "error", err)
	}
	n.cfg.Log.Info("admitted to the cluster", "cluster", n.self.ClusterID)
}
