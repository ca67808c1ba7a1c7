package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"

	"github.com/cpctl/cpctl/pkg/access"
)

// Credentials are what a member holds: its certificate, the key to it (PKCS#8),
// and the certificates of the cluster authority, of which there are two during a
// roll-over; each as PEM. What follows the certificate in CertPEM is shown to
// peers together with it (see Introduce).
type Credentials struct{ CertPEM, KeyPEM, CAPEM []byte }

// ServerTLS is how a node answers: TLS 1.3 only, every client with a
// certificate of this cluster and generation, or a person's of an earlier one,
// that is not revoked, one of the protocols alpn agreed upon. It does not choose among the roles: the identity
// is IdentityOf(conn.ConnectionState().PeerCertificates[0]), and each protocol
// knows whom it lets in. Sessions are not resumed, since a resumed one would
// skip the question to revoked, which must not be nil and is asked in many
// goroutines at once. A refusal is, at this end, a *tls.CertificateVerificationError
// (foreign, expired) or a *store.Error of CodeDenied (all else); at the client's
// it is an alert.
func ServerTLS(c Credentials, clusterID string, generation uint64, revoked func(serial string) bool, alpn []string) (*tls.Config, error) {
	if revoked == nil || len(alpn) == 0 {
		return nil, errors.New("a server needs a list of revoked certificates and a protocol")
	}
	own, roots, id, err := c.load()
	if err != nil {
		return nil, err
	}
	expect := peer{own: id, revoked: revoked, alpn: slices.Clone(alpn)}
	if err := id.placed(clusterID, generation); err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	if id.Role != access.Node {
		return nil, fmt.Errorf("own certificate: %s cannot serve, only a node can", id)
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{own},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              roots,
		NextProtos:             expect.alpn,
		SessionTicketsDisabled: true,
		VerifyConnection:       expect.verify,
	}, nil
}

// ClientTLS is how a member dials a node: TLS 1.3 only, the protocol alpn, and
// at the other end a node of this cluster and generation, for a person also of a
// later one, that is not revoked; the one with the id wantNodeID unless that is "". The host name that was
// dialled is not compared with anything. revoked may be nil for a caller that
// knows of no revocation, as an operator's command line. The clock is that of the
// configuration's Time, if the caller sets one.
//
// In TLS 1.3 the handshake of a client ends before the server has judged its
// certificate: a refusal arrives with the first read.
func ClientTLS(c Credentials, clusterID string, generation uint64, revoked func(string) bool, alpn string, wantNodeID string) (*tls.Config, error) {
	if alpn == "" {
		return nil, errors.New("a client needs a protocol")
	}
	own, roots, id, err := c.load()
	if err != nil {
		return nil, err
	}
	expect := peer{own: id, revoked: revoked, alpn: []string{alpn}}
	if err := id.placed(clusterID, generation); err != nil {
		return nil, fmt.Errorf("own certificate: %w", err)
	}
	cfg := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{own},
		NextProtos:             expect.alpn,
		SessionTicketsDisabled: true, // and no ClientSessionCache
		// The library's check ties a certificate to a host name. Ours ties it to
		// a cluster and a node, in VerifyConnection, which always runs.
		InsecureSkipVerify: true,
	}
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return denied("the peer showed no certificate")
		}
		between := x509.NewCertPool() // the authority after ours, if ours introduces it
		for _, c := range cs.PeerCertificates[1:] {
			between.AddCert(c)
		}
		options := x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		if cfg.Time != nil {
			options.CurrentTime = cfg.Time()
		}
		_, err := cs.PeerCertificates[0].Verify(options)
		if err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: err}
		}
		return expect.verifyNode(cs, wantNodeID)
	}
	return cfg, nil
}

func (c Credentials) load() (own tls.Certificate, roots *x509.CertPool, id Identity, err error) {
	if own, err = tls.X509KeyPair(c.CertPEM, c.KeyPEM); err != nil {
		return own, nil, id, fmt.Errorf("own certificate: %w", err)
	}
	roots = x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CAPEM) {
		return own, nil, id, errors.New("no certificate of the cluster authority")
	}
	if id, err = IdentityOf(own.Leaf); err != nil {
		return own, nil, id, fmt.Errorf("own certificate: %w", err)
	}
	return own, roots, id, nil
}

// peer is what must be true of the other end, once its certificate is known to
// be signed by the cluster authority and within its time.
type peer struct {
	own     Identity
	revoked func(serial string) bool // nil: nothing is
	alpn    []string
}

func (p peer) verify(cs tls.ConnectionState) error {
	_, err := p.identify(cs)
	return err
}

func (p peer) verifyNode(cs tls.ConnectionState, wantNodeID string) error {
	id, err := p.identify(cs)
	if err != nil {
		return err
	}
	if id.Role != access.Node {
		return denied("%s is not a node", id)
	}
	if wantNodeID != "" && id.NodeID != wantNodeID {
		return denied("reached node %s (%s) where node %s was expected", id.NodeID, id.Name, wantNodeID)
	}
	return nil
}

func (p peer) identify(cs tls.ConnectionState) (Identity, error) {
	if !slices.Contains(p.alpn, cs.NegotiatedProtocol) {
		return Identity{}, denied("the peer speaks none of %q", p.alpn)
	}
	if len(cs.PeerCertificates) == 0 {
		return Identity{}, denied("the peer showed no certificate")
	}
	id, err := IdentityOf(cs.PeerCertificates[0])
	if err != nil {
		return Identity{}, err
	}
	if err := p.place(id); err != nil {
		return Identity{}, err
	}
	if p.revoked != nil && p.revoked(id.Serial) {
		return Identity{}, denied("the certificate %s of %s was revoked", id.Serial, id)
	}
	return id, nil
}

// place compares the cluster and its generation with our own. An error of the
// latter is an *OtherGeneration.
func (p peer) place(id Identity) error {
	if id.ClusterID != p.own.ClusterID {
		return denied("%s is of cluster %s, not of %s", id, id.ClusterID, p.own.ClusterID)
	}
	switch same := id.Generation == p.own.Generation && id.Recovery == p.own.Recovery; {
	case same,
		id.Role != access.Node && id.Generation < p.own.Generation,
		p.own.Role != access.Node && id.Generation > p.own.Generation:
		return nil
	}
	return &OtherGeneration{Own: p.own, Peer: id}
}

// placed says what is wrong with our own certificate.
func (id Identity) placed(clusterID string, generation uint64) error {
	if id.ClusterID != clusterID || id.Generation != generation {
		return denied("%s is of generation %d of cluster %s, not of %d of %s", id, id.Generation, id.ClusterID, generation, clusterID)
	}
	return nil
}
