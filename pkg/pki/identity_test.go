package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestIdentityInCertificate(t *testing.T) {
	a := newAuthority(t, testCluster)
	base := Identity{ClusterID: testCluster, Generation: 7, Name: "n1"}
	with := func(edit func(*Identity)) Identity { id := base; edit(&id); return id }
	for _, c := range []struct {
		fact string
		id   Identity
		uri  string
	}{
		{"a node bears its id", with(func(id *Identity) { id.Role, id.NodeID = access.Node, "0198-aa" }), "cpctl://c-0198f0c2/7/node/0198-aa/n1"},
		{"an admin bears nothing", with(func(id *Identity) { id.Role = access.Admin }), "cpctl://c-0198f0c2/7/admin/-/n1"},
		{"an operator of the whole cluster", with(func(id *Identity) { id.Role = access.Operator }), "cpctl://c-0198f0c2/7/operator/-/n1"},
		{"a reader of one tenant", with(func(id *Identity) { id.Role, id.Tenant = access.Reader, "acme" }), "cpctl://c-0198f0c2/7/reader/acme/n1"},
		{"a tenant that is a dash is not none", with(func(id *Identity) { id.Role, id.Tenant = access.Reader, "-" }), "cpctl://c-0198f0c2/7/reader/%2D/n1"},
		{"a slash in a name is escaped", with(func(id *Identity) { id.Role, id.Name = access.Admin, "a/b" }), "cpctl://c-0198f0c2/7/admin/-/a%2Fb"},
		{"spaces, percents and letters beyond ASCII", with(func(id *Identity) { id.Role, id.Name = access.Admin, "Zoë 100%?#" }), "cpctl://c-0198f0c2/7/admin/-/Zo%C3%AB%20100%25%3F%23"},
		{"a name of dots is no path", with(func(id *Identity) { id.Role, id.Name = access.Admin, ".." }), "cpctl://c-0198f0c2/7/admin/-/%2E%2E"},
		{"the greatest generation", with(func(id *Identity) { id.Role, id.Generation = access.Admin, 1<<64-1 }), "cpctl://c-0198f0c2/18446744073709551615/admin/-/n1"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			creds, serial := member(t, a, c.id, time.Now())
			cert := must[*x509.Certificate](t)(parseCertPEM(creds.CertPEM))
			if len(cert.URIs) != 1 || cert.URIs[0].String() != c.uri || cert.Subject.String() != (pkix.Name{CommonName: c.id.Name}).String() {
				t.Errorf("SANs %v, subject %q, want %s and only the name", cert.URIs, cert.Subject, c.uri)
			}
			want := c.id
			want.Serial = serial
			if got := must[Identity](t)(IdentityOf(cert)); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestIdentityRefused(t *testing.T) {
	good := "cpctl://c1/1/reader/acme/ana"
	cert := func(uri, cn string, edit func(*x509.Certificate)) *x509.Certificate {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(5), URIs: []*url.URL{u}}
		c.Subject.CommonName = cn
		if edit != nil {
			edit(c)
		}
		return c
	}
	if _, err := IdentityOf(cert(good, "ana", nil)); err != nil {
		t.Fatalf("the pattern of the table is refused: %v", err)
	}
	for _, c := range []struct {
		fact string
		cert *x509.Certificate
	}{
		{"another common name", cert(good, "bob", nil)},
		{"an authority", cert(good, "ana", func(c *x509.Certificate) { c.IsCA = true })},
		{"no URI", cert(good, "ana", func(c *x509.Certificate) { c.URIs = nil })},
		{"two URIs", cert(good, "ana", func(c *x509.Certificate) { c.URIs = append(c.URIs, c.URIs[0]) })},
		{"a DNS name beside it", cert(good, "ana", func(c *x509.Certificate) { c.DNSNames = []string{"localhost"} })},
		{"another scheme", cert("spiffe://c1/1/reader/acme/ana", "ana", nil)},
		{"an unknown role", cert("cpctl://c1/1/root/acme/ana", "ana", nil)},
		{"an admin of one tenant", cert("cpctl://c1/1/admin/acme/ana", "ana", nil)},
		{"a node with no id", cert("cpctl://c1/1/node/-/ana", "ana", nil)},
		{"a segment too many", cert(good+"/x", "ana", nil)},
		{"a segment too few", cert("cpctl://c1/1/reader/ana", "ana", nil)},
		{"an empty tenant", cert("cpctl://c1/1/reader//ana", "ana", nil)},
		{"an empty name", cert("cpctl://c1/1/reader/acme/", "", nil)},
		{"no generation", cert("cpctl://c1/x/reader/acme/ana", "ana", nil)},
		{"a generation with a zero before it", cert("cpctl://c1/01/reader/acme/ana", "ana", nil)},
		{"a generation with a sign", cert("cpctl://c1/+1/reader/acme/ana", "ana", nil)},
		{"a letter escaped for nothing", cert("cpctl://c1/1/reader/acme/%61na", "ana", nil)},
		{"lower-case hex", cert("cpctl://c1/1/reader/acme/%c3%ab", "ë", nil)},
		{"a query", cert(good+"?x=1", "ana", nil)},
		{"a fragment", cert(good+"#x", "ana", nil)},
		{"user info", cert("cpctl://u@c1/1/reader/acme/ana", "ana", nil)},
		{"a port", cert("cpctl://c1:1/1/reader/acme/ana", "ana", nil)},
		{"an upper-case cluster id", cert("cpctl://C1/1/reader/acme/ana", "ana", nil)},
		{"a control character in a name", cert("cpctl://c1/1/reader/acme/a%0Ab", "a\nb", nil)},
		{"a name that turns the writing direction", cert("cpctl://c1/1/reader/acme/%E2%80%AE", "\u202e", nil)},
		{"a name that is not UTF-8", cert("cpctl://c1/1/reader/acme/%FF", "\xff", nil)},
		{"a name of 65 bytes", cert("cpctl://c1/1/reader/acme/"+strings.Repeat("a", 65), strings.Repeat("a", 65), nil)},
	} {
		t.Run(c.fact, func(t *testing.T) {
			id, err := IdentityOf(c.cert)
			wantError(t, err, store.CodeDenied, "")
			if id != (Identity{}) {
				t.Errorf("identity = %+v beside the error", id)
			}
		})
	}
}

func FuzzParseURI(f *testing.F) {
	for _, s := range []string{"cpctl://c1/1/node/id/n", "cpctl://c1/1/reader/%2D/%2E", "cpctl://c1/1/admin/-/a%2Fb", "cpctl://", "%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := parseURI(s)
		if err == nil && id.uri() != s {
			t.Errorf("%q was read as %+v, which is spelled %q", s, id, id.uri())
		}
	})
}
