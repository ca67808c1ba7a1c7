package pki

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// MaxCSR bounds a certificate request, in bytes: one with an ECDSA P-384 key and
// a long name has fewer than 600.
const MaxCSR = 4 << 10

// EnrolServerTLS is how a node answers who has no certificate yet: TLS 1.3 only,
// the one protocol alpn, nothing asked of the client. The node shows its own
// certificate and those of the authorities, since the client knows no more of
// them than a fingerprint.
func EnrolServerTLS(c Credentials, alpn string) (*tls.Config, error) {
	own, _, id, err := c.load()
	if err != nil {
		return nil, err
	}
	if id.Role != access.Node || alpn == "" {
		return nil, fmt.Errorf("own certificate: %s cannot serve, only a node can, and one protocol", id)
	}
	own.Certificate = slices.Clone(own.Certificate)
	for rest := c.CAPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		own.Certificate = append(own.Certificate, block.Bytes)
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{own},
		NextProtos:             []string{alpn},
		SessionTicketsDisabled: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.NegotiatedProtocol != alpn {
				return denied("the peer does not speak %q", alpn)
			}
			return nil
		},
	}, nil
}

// ForNewcomers gives a client that speaks alpn and nothing else the configuration
// of newcomers, and every other client none, which leaves it with the one that
// wants a certificate. It is a tls.Config.GetConfigForClient. A client that
// offers more than alpn would else choose its protocol here.
func ForNewcomers(cfg *tls.Config, alpn string) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == alpn {
			return cfg, nil
		}
		return nil, nil
	}
}

// NewcomerTLS is how somebody with a token dials a node: before a byte is said,
// the node has shown a certificate of a node, signed by the authority with this
// fingerprint (SHA-256, DER), and both name the same cluster. A server that is
// another is a *store.Error of CodeDenied.
func NewcomerTLS(fingerprint [32]byte, alpn string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpn},
		SessionTicketsDisabled: true,
		// The library's check needs roots, of which there is a fingerprint only, and
		// a host name, which means nothing here. VerifyConnection always runs.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if cs.NegotiatedProtocol != alpn {
				return denied("the server does not speak %q", alpn)
			}
			if len(cs.PeerCertificates) == 0 {
				return denied("the server showed no certificate")
			}
			for _, ca := range cs.PeerCertificates[1:] {
				if sha256.Sum256(ca.Raw) == fingerprint {
					_, err := nodeOf(cs.PeerCertificates[0], ca, cs.PeerCertificates[1:])
					return err
				}
			}
			return denied("the server is not of the cluster that the token is for: it does not have the authority %s", hex.EncodeToString(fingerprint[:8])).
				WithHint("look at the address, and at where the token comes from; nothing was said to the server\nif the authority was replaced since (cpctl cluster rotate-ca), an admin makes another token: cpctl token create")
		},
	}
}

// nodeOf verifies the certificate of a node against the one authority, or against
// the one after it if it introduces that one.
func nodeOf(cert, ca *x509.Certificate, shown []*x509.Certificate) (Identity, error) {
	id, err := issuedBy(cert, ca, shown, x509.ExtKeyUsageServerAuth)
	if err != nil {
		return id, err
	}
	if id.Role != access.Node {
		return id, denied("the server is %s, which is not a node", id)
	}
	return id, nil
}

// issuedBy verifies a certificate against one authority, whose cluster it names.
func issuedBy(cert, ca *x509.Certificate, shown []*x509.Certificate, use x509.ExtKeyUsage) (Identity, error) {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca)
	for _, c := range shown {
		between.AddCert(c)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
		return Identity{}, denied("the certificate was not issued by the cluster's authority, or is not good now: %v", err)
	}
	id, err := IdentityOf(cert)
	if err != nil {
		return id, err
	}
	if !ca.IsCA || len(ca.URIs) != 1 || ca.URIs[0].String() != uriScheme+"://"+id.ClusterID {
		return id, denied("%s is of cluster %s, and the authority is not", id, id.ClusterID)
	}
	return id, nil
}

// CheckEnrolment holds what a cluster answered to what a newcomer asked for: the
// certificate is for the key of its request, and signed by one of the authorities
// of the answer, of which one has this fingerprint. In a roll-over it may be the
// other one: the answer came from a node that the one with the fingerprint vouches for.
func CheckEnrolment(fingerprint [32]byte, csrDER, certPEM, caPEM []byte) (Identity, error) {
	asked, err := x509.ParseCertificateRequest(csrDER)
	if err != nil {
		return Identity{}, err
	}
	cert, err := parseCertPEM(certPEM)
	if err != nil {
		return Identity{}, damaged("the certificate that the cluster sent: %v", err)
	}
	if !samePublic(asked.PublicKey, cert.PublicKey) {
		return Identity{}, damaged("the certificate that the cluster sent is for another key")
	}
	cas, err := parseBundle(caPEM)
	if err != nil {
		return Identity{}, damaged("the authority that the cluster sent: %v", err)
	}
	if !slices.ContainsFunc(cas, func(ca *x509.Certificate) bool { return sha256.Sum256(ca.Raw) == fingerprint }) {
		return Identity{}, damaged("the cluster sent another authority than that of the token")
	}
	for _, ca := range cas {
		var id Identity
		if id, err = issuedBy(cert, ca, nil, x509.ExtKeyUsageClientAuth); err == nil {
			return id, nil
		}
	}
	return Identity{}, err
}

// CSRKey is the SHA-256, in hex, of the public key of a certificate request
// whose signer has proved to hold it.
func CSRKey(csrDER []byte) (string, error) {
	if len(csrDER) > MaxCSR {
		return "", store.Errorf(store.CodeInvalid, "a certificate request of %d bytes; at most %d are allowed", len(csrDER), MaxCSR)
	}
	csr, err := x509.ParseCertificateRequest(csrDER)
	if err == nil {
		err = checkMemberKey(csr.PublicKey) // before the signature, which a large key makes dear
	}
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return "", store.Errorf(store.CodeInvalid, "certificate request: %v", err)
	}
	sum := sha256.Sum256(csr.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:]), nil
}
