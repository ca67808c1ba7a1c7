package node

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync"

	"github.com/cpctl/cpctl/pkg/pki"
)

// strangers is whom this node met when it dialled members: such as show a
// certificate of its own cluster that is of an authority which it does not know.
// A node that was away while the authority was replaced, and the one before
// retired, meets nobody else. What a stranger shows is not verified: it is
// enough to say something, not to end for.
type strangers struct {
	mu   sync.Mutex
	last map[string]bool // by node id: it was a stranger when it was dialled last
	said bool
}

// met notes who answered. It reports whether that is to be said.
func (s *strangers) met(nodeID string, stranger bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[string]bool{}
	}
	s.last[nodeID] = stranger
	if s.said || !s.all() {
		return false
	}
	s.said = true
	return true
}

// only reports whether nobody else answers.
func (s *strangers) only() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all()
}

func (s *strangers) all() bool {
	for _, stranger := range s.last {
		if !stranger {
			return false
		}
	}
	return len(s.last) > 0
}

// met is told of everybody who was dialled and showed a certificate.
func (n *Node) met(id pki.Identity, err error) {
	if n.leftBehind(err) {
		return
	}
	stranger := errors.As(err, new(x509.UnknownAuthorityError))
	if id.NodeID == "" || id.ClusterID != n.self.ClusterID || err != nil && !stranger {
		return
	}
	if n.strangers.met(id.NodeID, stranger) {
		n.cfg.Log.Error("the other members show certificates of an authority that this node does not know: the authority of this cluster was replaced while this node was away, or it was removed",
			"hint", "remove it at another member, if it is one still (cpctl cluster remove "+n.self.Name+"), empty its data directory, and join again")
	}
}

// shownBy is who a peer that was not accepted says it is.
func shownBy(err error) (id pki.Identity) {
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) && len(refused.UnverifiedCertificates) > 0 {
		id, _ = pki.IdentityOf(refused.UnverifiedCertificates[0])
	}
	return id
}
