package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

const (
	// defaultCertTTL bounds what a certificate is worth to somebody who copied
	// it; a third of it is time to find out why it is not renewed.
	defaultCertTTL = 90 * 24 * time.Hour

	// MinCertTTL leaves a renewal the time that an election may take.
	MinCertTTL = 5 * time.Second

	// After a failure the next attempt comes soon, then less and less often, but
	// twenty times at least in what is left of the certificate.
	renewLook     = 200 * time.Millisecond
	renewAttempts = 20
	renewPause    = 5 * time.Minute
	renewWait     = 3 * time.Second // for the leader's answer

	// Whoever may read may renew, and each certificate stays on record until it has
	// ended. So a line gets at most so many in a tenth of their life: one is
	// enough, and answers are lost, and disks full, now and then.
	renewalsAtOnce = 8
	renewalsSpan   = 10
)

// keepCertificate renews this node's certificate in time, and lets it trust whom
// the cluster trusts. It never ends the node.
func (n *Node) keepCertificate() {
	tick := time.NewTicker(renewLook)
	defer tick.Stop()
	var again time.Time // not before, after a failure
	pause := renewLook
	for {
		select {
		case <-n.closing:
			return
		case <-n.trust:
		case <-tick.C:
		}
		if time.Now().Before(again) {
			continue
		}
		err := n.adopt()
		if err == nil {
			err = n.findBack()
		}
		if err == nil && n.due() {
			err = n.renew()
		}
		if err == nil {
			pause = renewLook
			continue
		}
		left := n.own.Load().ends.Sub(n.cfg.Now())
		again = time.Now().Add(pause)
		pause = min(2*pause, max(left/renewAttempts, renewLook), renewPause)
		n.complain(err, left)
	}
}

// complain says that a renewal failed, the louder the less time is left.
func (n *Node) complain(err error, left time.Duration) {
	o := n.own.Load()
	switch life := o.ends.Sub(o.issued); {
	case left <= 0:
		n.cfg.Log.Error("the certificate of this node has expired: the other members do not talk to it", "expired", o.ends, "error", err)
	case left < life/6:
		n.cfg.Log.Error("the certificate of this node expires soon and cannot be renewed", "expires", o.ends, "left", left.Round(time.Second), "error", err)
	default:
		n.cfg.Log.Warn("the certificate of this node was not renewed yet", "expires", o.ends, "error", err)
	}
}

// due reports whether it is time for another certificate: two thirds of this
// one's life are over, or another authority signs now.
func (n *Node) due() bool {
	o := n.own.Load()
	if n.selfMade.Load() == o {
		return true
	}
	if n.cfg.Now().Sub(o.issued) >= o.ends.Sub(o.issued)*2/3 {
		return true
	}
	f := n.found()
	return f.OldCA != "" && o.SignedBy([]byte(f.OldCA))
}

// renew gets this node's next certificate, for a new key, and puts it in place
// of the one in use.
func (n *Node) renew() error {
	csr, signer, err := pki.NewCSR(n.self.Name)
	if err != nil {
		return err
	}
	next := pki.Credentials{}
	if next.KeyPEM, err = pki.EncodeKeyPEM(signer); err != nil {
		return err
	}
	e, err := n.askToRenew(csr)
	if err != nil {
		return err
	}
	next.CertPEM, next.CAPEM = e.CertPEM, e.CAPEM
	id, err := next.Identity()
	if err != nil {
		return err
	}
	if id.Serial = ""; id != n.self.certified() {
		return fmt.Errorf("the leader answered with the certificate of %s, node %s", id, id.NodeID)
	}
	if err := n.replace(next); err != nil {
		return fmt.Errorf("the new certificate could not be put into %s: %w", n.dir.file("tls"), err)
	}
	o := n.own.Load()
	n.cfg.Log.Info("renewed the certificate of this node", "serial", o.id.Serial, "expires", o.ends)
	return nil
}

func (n *Node) askToRenew(csr []byte) (*Enrolment, error) {
	ctx, cancel := context.WithTimeout(context.Background(), renewWait)
	defer cancel()
	me := access.Actor{Role: access.Node, Name: n.self.Name, Serial: n.own.Load().id.Serial, Source: n.self.Advertise}
	e, err := n.Renew(ctx, csr, me)
	if err == nil { // elsewhere the leader has it on record as a call
		id, _ := pki.Credentials{CertPEM: e.CertPEM}.Identity()
		n.cfg.Record(audit.Event{Actor: me.String(), Serial: me.Serial, Source: me.Source, Type: "cert.renew", Target: me.String(), Result: audit.OK, Message: "certificate " + id.Serial})
	}
	if !errors.Is(err, store.ErrUnavailable) {
		return e, err
	}
	leader, known := n.Leader()
	if !known || leader.ID == n.self.NodeID || n.cfg.Renew == nil {
		return nil, err
	}
	return n.cfg.Renew(ctx, leader, csr)
}

// Renew signs the next certificate of whoever holds one, for another key. Only
// the leader does; by is who asked, as the certificate of today says.
func (n *Node) Renew(ctx context.Context, csr []byte, by access.Actor) (*Enrolment, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if by.Serial == "" {
		return nil, store.Errorf(store.CodeInvalid, "%s has no certificate that could be renewed", by)
	}
	if err := n.may(by, access.Renew, by.Tenant); err != nil {
		return nil, err
	}
	old, err := n.renewable(by)
	if err != nil {
		return nil, err
	}
	if by.Role != access.Node { // people ask many times at once if they like
		n.renewing.Lock()
		defer n.renewing.Unlock()
		if ctx.Err() != nil {
			return nil, notProposed(givenUp)
		}
	}
	if err := n.tooOften(old); err != nil {
		return nil, err
	}
	id := pki.Identity{Role: by.Role, Name: old.Name, Tenant: old.Tenant, NodeID: old.NodeID, ClusterID: n.self.ClusterID, Generation: n.self.Generation, Recovery: n.self.Recovery}
	e, record, err := n.sign(csr, id)
	if err != nil {
		return nil, err
	}
	record.Voter, record.Line = old.Voter, old.LineOf()
	if err := n.recordCertificate(ctx, record, by.String()); err != nil {
		return nil, err
	}
	return e, nil
}

// renewable returns what is on record of the certificate by which somebody is known.
func (n *Node) renewable(by access.Actor) (mutation.Certificate, error) {
	old := certificateOf(n.Image(), by.Serial)
	if old.Serial == "" && by.Role == access.Node { // it has found back by itself
		for _, record := range n.records() {
			if record.Name == by.Name && !record.Revoked {
				return record, nil
			}
		}
	}
	switch {
	case old.Serial == "":
		return old, store.Errorf(store.CodeDenied, "certificate %s is not on record", by.Serial)
	case old.Revoked:
		return old, store.Errorf(store.CodeDenied, "certificate %s %s", by.Serial, old.Fate())
	case old.Role != string(by.Role) || old.Name != by.Name || old.Tenant != by.Tenant:
		return old, store.Errorf(store.CodeDenied, "certificate %s is not that of %s", by.Serial, by)
	case old.NotAfter <= store.TimeOf(n.cfg.Now()) && by.Role != access.Node: // a node may ask on a connection that is older
		return old, store.Errorf(store.CodeDenied, "certificate %s has expired at %s", by.Serial, old.NotAfter)
	}
	return old, nil
}

// tooOften refuses the renewal of a line that was renewed many times just now.
func (n *Node) tooOften(old mutation.Certificate) error {
	img, count := n.Image(), 0
	since := store.TimeOf(n.cfg.Now().Add(-n.cfg.CertTTL / renewalsSpan))
	for d := range img.Scan(applier.CertsPrefix) {
		var c mutation.Certificate
		if img.System(d.Path, &c) && c.LineOf() == old.LineOf() && c.IssuedAt > since {
			count++
		}
	}
	if count < renewalsAtOnce {
		return nil
	}
	return store.Errorf(store.CodeDenied, "the certificate of %s/%s was renewed %d times in the last %s", old.Role, old.Name, count, store.Duration(n.cfg.CertTTL/renewalsSpan)).
		WithHint("the last one is good: use that, or wait; if it is lost, an admin revokes it and makes a token: cpctl cert list")
}

// sign certifies the key of a request as id, with what is to be put on record.
func (n *Node) sign(csr []byte, id pki.Identity) (*Enrolment, mutation.Certificate, error) {
	var record mutation.Certificate
	f := n.found()
	ca, err := n.authority(n.Image())
	if err != nil {
		return nil, record, err
	}
	now := n.cfg.Now()
	cert, serial, err := ca.Sign(csr, id, n.cfg.CertTTL, now)
	if err != nil {
		return nil, record, err
	}
	e := &Enrolment{ClusterID: id.ClusterID, Generation: id.Generation, CertPEM: cert, CAPEM: []byte(f.Bundle())}
	_, ends, err := pki.Credentials{CertPEM: cert}.Term()
	record = mutation.Certificate{Serial: serial, Role: string(id.Role), Name: id.Name, NodeID: id.NodeID, Tenant: id.Tenant,
		NotAfter: store.TimeOf(ends), IssuedAt: store.TimeOf(now), Authority: ca.ID()}
	return e, record, err
}

// recordCertificate puts a certificate on record, before anybody gets it.
func (n *Node) recordCertificate(ctx context.Context, record mutation.Certificate, actor string) error {
	m, err := payload(mutation.SysCert, record)
	if err != nil {
		return err
	}
	_, _, err = n.system(ctx, "", actor, m)
	return err
}

// refresh is the last thing before the port opens: with the state, this node
// knows which authorities there are.
func (n *Node) refresh() {
	for _, step := range []func() error{n.adopt, n.findBack} {
		if err := step(); err != nil {
			n.cfg.Log.Error("the certificate of this node", "error", err)
		}
	}
}
