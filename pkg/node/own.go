package node

import (
	"crypto/tls"
	"slices"
	"time"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// own is what this node shows of itself and whom it trusts, from one renewal to
// the next. It never changes: a renewal puts another one in its place, and
// connections that are open go on.
type own struct {
	pki.Credentials        // as they are in tls/
	cross           string // the authority that signed, as the one before certifies it; none without a roll-over
	id              pki.Identity
	issued, ends    time.Time

	// strict is how the port answers raft; frank is how it does where a peer whose
	// certificate was revoked is let in to be told so; newcomers have none.
	strict, frank, newcomers *tls.Config
}

// hold makes credentials this node's own. They are in the files already.
func (n *Node) hold(c pki.Credentials) error {
	o := &own{Credentials: c, cross: n.found().CrossCA}
	var err error
	if o.id, err = c.Identity(); err != nil {
		return err
	}
	if o.issued, o.ends, err = c.Term(); err != nil {
		return err
	}
	if o.strict, err = n.serverTLS(o, n.Revoked, ProtocolRaft); err != nil {
		return err
	}
	nobody := func(string) bool { return false }
	if o.frank, err = n.serverTLS(o, nobody, ProtocolRPC, ProtocolStream); err != nil {
		return err
	}
	if o.newcomers, err = pki.EnrolServerTLS(o.shown(), ProtocolEnrol); err != nil {
		return err
	}
	n.own.Store(o)
	return nil
}

// shown is the credentials as the other end of a connection sees them.
func (o *own) shown() pki.Credentials {
	c := o.Credentials
	c.CertPEM = pki.Bundle(c.CertPEM, []byte(o.cross))
	return c
}

func (n *Node) serverTLS(o *own, revoked func(string) bool, protocols ...string) (*tls.Config, error) {
	cfg, err := pki.ServerTLS(o.shown(), n.self.ClusterID, n.self.Generation, revoked, protocols)
	if err == nil {
		cfg.Time = n.cfg.Now
	}
	return cfg, err
}

// answer is the configuration of the port. Each connection gets the certificate
// that is in use when it comes.
func (n *Node) answer() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		SessionTicketsDisabled: true,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			o := n.own.Load()
			if cfg, _ := pki.ForNewcomers(o.newcomers, ProtocolEnrol)(hello); cfg != nil {
				return cfg, nil
			}
			if slices.Contains(hello.SupportedProtos, ProtocolRaft) {
				return o.strict, nil
			}
			return o.frank, nil
		},
	}
}

func (n *Node) dialTLS(nodeID, protocol string) (*tls.Config, error) {
	cfg, err := pki.ClientTLS(n.own.Load().shown(), n.self.ClusterID, n.self.Generation, n.Revoked, protocol, nodeID)
	if err == nil {
		cfg.Time = n.cfg.Now
	}
	return cfg, err
}

// found returns what makes the cluster this one, as far as this node knows; the
// zero value before it knows anything.
func (n *Node) found() (f mutation.Found) {
	if n.fsm != nil {
		f = foundIn(n.fsm.Image())
	}
	return f
}

func foundIn(img *store.Image) (f mutation.Found) {
	img.System(applier.ClusterPath, &f)
	return f
}

// adopt trusts the authorities that the state names, in the files first. A node
// that has just joined goes through what the cluster once was, when its own
// authority was not there yet: what has not signed its certificate is not adopted.
func (n *Node) adopt() error {
	o, f := n.own.Load(), n.found()
	bundle := []byte(f.Bundle())
	if o.cross == f.CrossCA && string(o.CAPEM) == string(bundle) {
		return nil
	}
	cert, err := o.Leaf()
	if err != nil {
		return err
	}
	if !pki.Trusts(bundle, cert) {
		return nil
	}
	c := o.Credentials
	c.CAPEM = bundle
	if string(o.CAPEM) == string(bundle) {
		return n.hold(c)
	}
	if err := n.replace(c); err != nil {
		return err
	}
	n.cfg.Log.Info("this node trusts other authorities than before", "bundle", pki.BundleID(bundle))
	n.end(func(h *held) bool { return pki.Trusts(o.CAPEM, h.leaf) && !pki.Trusts(bundle, h.leaf) })
	return nil
}
