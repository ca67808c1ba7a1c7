package pki

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// Identity is who a certificate names. In the certificate it is one URI SAN,
//
//	cpctl://<cluster-id>/<generation>/<role>/<node-id or tenant or ->/<name>
//
// where the generation of a cluster that was recovered is <number>.<recovery>,
// and the name once more as the common name. In the last two segments every
// byte outside A-Z a-z 0-9 . _ ~ - is written %XX (upper-case hex), and a
// segment that is "-", "." or ".." is escaped whole, so that "-" can only mean
// "none". Each identity has exactly one spelling; others are refused.
type Identity struct {
	Role       access.Role
	Name       string // 1 to 64 bytes, printable; the limit of X.520 for a common name
	Tenant     string // of operator and reader only; "" is the whole cluster
	ClusterID  string // [a-z0-9-], at most 63 bytes
	NodeID     string // of role node only
	Serial     string // 32 lower-case hex digits; set by Sign and IdentityOf, never asked for
	Generation uint64 // 1, and one more with each recovery of the cluster
	Recovery   string // id of the one that made this generation; none: it was founded
}

const uriScheme = "cpctl"

var clusterIDForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// IdentityOf reads the identity of a certificate that was verified already. It
// is strict: one URI SAN in its one spelling, no other name, no authority. The
// error is a *store.Error of CodeDenied.
func IdentityOf(cert *x509.Certificate) (Identity, error) {
	if cert.IsCA {
		return Identity{}, denied("an authority's certificate names no member")
	}
	if len(cert.URIs) != 1 || len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses) != 0 {
		return Identity{}, denied("certificate %s is not one of a cpctl cluster", serialOf(cert.SerialNumber))
	}
	id, err := parseURI(cert.URIs[0].String())
	if err != nil {
		return Identity{}, denied("certificate %s: %v", serialOf(cert.SerialNumber), err)
	}
	if cert.Subject.CommonName != id.Name {
		return Identity{}, denied("certificate %s bears two names", serialOf(cert.SerialNumber))
	}
	id.Serial = serialOf(cert.SerialNumber)
	return id, nil
}

// String is the form that logs and audit lines use: "node/n1", "operator/ana",
// "reader/ci@acme".
func (id Identity) String() string { return id.Actor("").String() }

// Actor is the holder of the certificate as packages that decide about rights
// know it; source is the address it came from.
func (id Identity) Actor(source string) access.Actor {
	return access.Actor{Role: id.Role, Name: id.Name, Tenant: id.Tenant, Serial: id.Serial, Source: source}
}

// uri is the one spelling of the identity. It assumes that check passed.
func (id Identity) uri() string {
	bound := id.Tenant
	if id.Role == access.Node {
		bound = id.NodeID
	}
	segment := "-"
	if bound != "" {
		segment = escape(bound)
	}
	return fmt.Sprintf("%s://%s/%s/%s/%s/%s", uriScheme, id.ClusterID, id.generation(), id.Role, segment, escape(id.Name))
}

// check says what keeps the identity from being put into a certificate.
func (id Identity) check() error {
	if !clusterIDForm.MatchString(id.ClusterID) {
		return fmt.Errorf("cluster id %q is not of the form [a-z0-9-]{1,63}", id.ClusterID)
	}
	if id.Recovery != "" && !recoveryForm.MatchString(id.Recovery) {
		return fmt.Errorf("%q is not the id of a recovery", id.Recovery)
	}
	if err := checkText("name", id.Name); err != nil {
		return err
	}
	switch id.Role {
	case access.Node:
		if id.Tenant != "" {
			return fmt.Errorf("a node is not bound to a tenant")
		}
		return checkText("node id", id.NodeID)
	case access.Admin:
		if id.Tenant != "" {
			return fmt.Errorf("an admin is not bound to a tenant")
		}
	case access.Operator, access.Reader:
		if id.Tenant != "" {
			if err := checkText("tenant", id.Tenant); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("unknown role %q", id.Role)
	}
	if id.NodeID != "" {
		return fmt.Errorf("role %s has no node id", id.Role)
	}
	return nil
}

func checkText(what, s string) error {
	if s == "" || len(s) > 64 {
		return fmt.Errorf("%s must have 1 to 64 bytes, not %d", what, len(s))
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return fmt.Errorf("%s %q has bytes that cannot be printed", what, s)
	}
	return nil
}

func parseURI(s string) (Identity, error) {
	rest, ok := strings.CutPrefix(s, uriScheme+"://")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 5 {
		return Identity{}, fmt.Errorf("%q is not the name of a member", s)
	}
	generation, recovery, err := parseGeneration(parts[1])
	if err != nil {
		return Identity{}, fmt.Errorf("%q has no generation", s)
	}
	id := Identity{ClusterID: parts[0], Generation: generation, Recovery: recovery, Role: access.Role(parts[2])}
	if parts[3] != "-" {
		bound, err := url.PathUnescape(parts[3])
		if err != nil {
			return Identity{}, err
		}
		if id.Role == access.Node {
			id.NodeID = bound
		} else {
			id.Tenant = bound
		}
	}
	if id.Name, err = url.PathUnescape(parts[4]); err != nil {
		return Identity{}, err
	}
	if err := id.check(); err != nil {
		return Identity{}, err
	}
	if id.uri() != s {
		return Identity{}, fmt.Errorf("%q is not the one spelling of that name", s)
	}
	return id, nil
}

func escape(s string) string {
	whole := s == "-" || s == "." || s == ".."
	var b strings.Builder
	for _, c := range []byte(s) {
		kept := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._~-", c) >= 0
		if kept && !whole {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// serialOf spells a serial as Sign and the revocation list do.
func serialOf(n *big.Int) string { return fmt.Sprintf("%032x", n) }

func denied(format string, args ...any) *store.Error {
	return store.Errorf(store.CodeDenied, format, args...)
}
