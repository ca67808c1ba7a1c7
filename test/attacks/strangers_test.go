package attacks

import (
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// A certificate that is not, or no longer, one of this cluster is none, however
// much it looks like one.
func TestACertificateHasToBeGoodInEveryWay(t *testing.T) {
	t.Parallel()
	c := found(t, 1)
	b := c.write(t)
	before := loadOf(t, c.Nodes[0])
	ana := pki.Identity{Role: access.Admin, Name: "ana", ClusterID: c.id, Generation: 1}
	n9 := pki.Identity{Role: access.Node, Name: "n9", NodeID: "id-9", ClusterID: c.id, Generation: 1}
	twin, err := pki.NewAuthority(c.id, time.Now()) // bears the name of this cluster, and is another
	if err != nil {
		t.Fatal(err)
	}
	later := ana
	later.Generation = 2
	now := time.Now()
	for _, tt := range []struct {
		name      string
		who       pki.Credentials
		protocols []string
		want      string // of the alert; "" if the connection just ends
	}{
		{"an authority that calls itself this cluster's", certify(t, twin, ana, now), people, "unknown certificate authority"},
		{"a node of such an authority", certify(t, twin, n9, now), all, "unknown certificate authority"},
		{"expired", certify(t, c.ca, ana, now.Add(-2*time.Hour)), people, "expired certificate"},
		{"a node's, expired", certify(t, c.ca, n9, now.Add(-2*time.Hour)), all, "expired certificate"},
		{"not valid yet", certify(t, c.ca, ana, now.Add(2*time.Hour)), people, "expired certificate"},
		{"of another generation", certify(t, c.ca, later, now), people, "bad certificate"},
		{"an admin's, for raft", c.person(access.Admin, "ana", ""), raft, ""},
		{"an operator's, for raft", c.person(access.Operator, "ana", ""), raft, ""},
		{"a reader's, for raft", c.person(access.Reader, "ana", ""), raft, ""},
		{"an operator's, for a protocol that is none", c.person(access.Operator, "ana", ""), []string{"h2"}, "no application protocol"},
	} {
		for _, protocol := range tt.protocols {
			err := c.knock(t, tt.who, protocol)
			if err == nil {
				t.Errorf("%s: was answered on %s", tt.name, protocol)
			} else if tt.want == "" && !ended(err) || !ended(err) && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: sent away from %s with %q, want %q", tt.name, protocol, err, tt.want)
			}
		}
	}
	// The same certificate, made well, is served: it was not the frame that was refused.
	if err := c.knock(t, certify(t, c.ca, ana, now), rpc.ProtocolRPC); err != nil {
		t.Errorf("a good certificate: %v", err)
	}
	// It is on nobody's record, though: whoever signed it, its holder does and reads nothing.
	unknown := rpc.NewClient(rpc.Options{Servers: []string{c.at(0)}, Credentials: ptr(certify(t, c.ca, ana, now))})
	defer unknown.Close()
	_, wrote := unknown.Write(t.Context(), &mutation.Request{Op: mutation.OpTenantCreate, Name: "initech"})
	_, read := unknown.Get(t.Context(), rpc.GetArgs{Kind: "tenant", Name: "acme"})
	_, listed := unknown.Status(t.Context())
	for what, err := range map[string]error{"wrote": wrote, "read": read, "saw the members": listed} {
		if !errors.Is(err, store.ErrDenied) || !strings.Contains(err.Error(), "is not on record") {
			t.Errorf("an admin that nobody let in %s: %v", what, err)
		}
	}
	unknown.Close()
	b.goesOn(t, 5)
	settles(t, c.Nodes[0], before)
}

var (
	raft   = []string{"cpctl-raft/1"}
	people = []string{rpc.ProtocolRPC, rpc.ProtocolStream}
	all    = append(people, raft...)
)

// ended says that the connection was closed without a word, or faster than its alert.
func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// knock says something and returns nil if it is answered. To raft it says the
// type of a message that would be answered, whoever it is from.
func (c *city) knock(t *testing.T, who pki.Credentials, protocol string) error {
	t.Helper()
	says := framed(1, "Cluster.Health", args(t, struct{}{}, nil))
	if protocol == raft[0] {
		says = append([]byte{1}, 0x80) // a request for votes, as an empty map of msgpack
	}
	own, err := tls.X509KeyPair(who.CertPEM, who.KeyPEM)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", c.at(0), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }})
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Write(says); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}
