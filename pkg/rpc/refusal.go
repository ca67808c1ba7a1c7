package rpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// The alerts of TLS (RFC 8446, section 6) by which a server refuses who we are.
// crypto/tls gives those of the other side no type, only these texts.
var (
	alertBad       = tls.AlertError(42).Error() // bad_certificate: revoked, of another generation, a role that may not
	alertRevoked   = tls.AlertError(44).Error() // certificate_revoked
	alertExpired   = tls.AlertError(45).Error() // certificate_expired, or not good yet
	alertUnknown   = tls.AlertError(46).Error() // certificate_unknown
	alertUnknownCA = tls.AlertError(48).Error() // unknown_ca
	alertDenied    = tls.AlertError(49).Error() // access_denied
	alertRequired  = tls.AlertError(116).Error()
	alertProtocol  = tls.AlertError(120).Error() // no_application_protocol
	alertVersion   = tls.AlertError(70).Error()  // protocol_version
)

// refused makes of what TLS says of a server, or the server of us, an error of
// CodeDenied that says what to do, and of a host that does not exist one of
// CodeUnavailable. It is nil for anything else, such as a connection that cannot
// be made: only there a later attempt may fare better.
func (c *Client) refused(server string, err error) *store.Error {
	var other *pki.OtherGeneration
	if errors.As(err, &other) {
		own := new(store.Error)
		errors.As(other, &own)
		return store.Errorf(store.CodeDenied, "server %s: %s", server, own.Message).WithHint("%s", own.Hint)
	}
	var own *store.Error
	if errors.As(err, &own) {
		if own.Code == store.CodeDenied && own.Hint == "" { // of package pki: another cluster, no node
			return store.Errorf(store.CodeDenied, "server %s: %s", server, own.Message).
				WithHint("see where the commands go and as whom: cpctl context show")
		}
		if own.Code == store.CodeDenied || own.Code == store.CodeInvalid {
			return own
		}
		return nil
	}
	var unnamed *net.DNSError
	if errors.As(err, &unnamed) && unnamed.IsNotFound {
		return store.Errorf(store.CodeUnavailable, "cannot connect to %s: there is no such host", server).
			WithHint("is the name right? see: cpctl context show")
	}
	if errors.As(err, new(tls.RecordHeaderError)) {
		return store.Errorf(store.CodeDenied, "server %s is no node: it does not speak TLS", server).
			WithHint("the address is that of --listen, not of --http; see: cpctl context show")
	}
	var theirs *tls.CertificateVerificationError
	if errors.As(err, &theirs) {
		return c.distrusted(server, theirs)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return c.alerted(server, op.Err.Error())
	}
	return nil
}

// distrusted is a server whose certificate we do not accept.
func (c *Client) distrusted(server string, err *tls.CertificateVerificationError) *store.Error {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return store.Errorf(store.CodeDenied, "server %s is of another cluster than this context, or the authority of the cluster was replaced since: its certificate has another one", server).
			WithHint("see where the commands go: cpctl context show\nif it is the cluster that is meant (cpctl cluster rotate-ca was used), log in anew with a new token: %s", c.login())
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		at := invalid.Cert
		return store.Errorf(store.CodeDenied, "the certificate of server %s is good from %s to %s, and the clock of this machine says %s",
			server, stamp(at.NotBefore), stamp(at.NotAfter), stamp(time.Now())).
			WithHint("set the clock; if it is right, the node has not renewed its certificate: its log says why")
	}
	return store.Errorf(store.CodeDenied, "the certificate of server %s is not that of a node: %v", server, err.Err)
}

// alerted is a server that does not accept our certificate.
func (c *Client) alerted(server, alert string) *store.Error {
	who := "our certificate"
	if c.opts.Credentials != nil {
		if id, err := c.opts.Credentials.Identity(); err == nil {
			who = "the certificate of " + id.String()
		}
	}
	refused := func(why string) *store.Error {
		return store.Errorf(store.CodeDenied, "server %s refuses %s: %s", server, who, why)
	}
	switch alert {
	case alertExpired:
		return refused("by its clock it has expired or is not good yet").
			WithHint("compare the clocks of both machines; if it has expired, log in anew: %s", c.login())
	case alertUnknownCA:
		return refused("it was not issued by that cluster, or by an authority that was replaced since").
			WithHint("see where the commands go and as whom: cpctl context show\nif it is the cluster that is meant (cpctl cluster rotate-ca was used), log in anew with a new token: %s", c.login())
	case alertBad, alertRevoked, alertUnknown, alertDenied, alertRequired:
		return refused("it was revoked, or is of a time before the cluster was recovered").
			WithHint("log in anew with a new token: %s", c.login())
	case alertProtocol:
		return store.Errorf(store.CodeDenied, "server %s does not speak the protocol of this cpctl", server).
			WithHint("is it the port of a node (--listen), and of this version? see: cpctl version")
	case alertVersion:
		return store.Errorf(store.CodeDenied, "server %s does not speak TLS 1.3", server).WithHint("is it the port of a node (--listen)?")
	}
	return nil // internal errors and the like may pass
}

// usable says what keeps our own certificate from being shown at all.
func (c *Client) usable(own pki.Credentials, now time.Time) error {
	id, err := own.Identity()
	if err != nil {
		return err
	}
	cert, err := own.Leaf()
	if err != nil {
		return err
	}
	switch {
	case now.After(cert.NotAfter):
		return store.Errorf(store.CodeDenied, "the certificate of %s expired on %s", id, stamp(cert.NotAfter)).
			WithHint("log in anew with a new token: %s\nan admin makes one: cpctl token create --role %s --name %s\n(the clock of this machine says %s)",
				c.login(), id.Role, id.Name, stamp(now))
	case now.Before(cert.NotBefore):
		return store.Errorf(store.CodeDenied, "the certificate of %s is good from %s on, and the clock of this machine says %s", id, stamp(cert.NotBefore), stamp(now)).
			WithHint("set the clock")
	}
	return nil
}

// login is the command that makes new credentials.
func (c *Client) login() string {
	if c.opts.Login != "" {
		return c.opts.Login
	}
	if c.opts.Credentials != nil {
		if id, err := c.opts.Credentials.Identity(); err == nil && id.Role == access.Node {
			return "cpctl node --join HOST:PORT --token-file FILE, with an empty data directory"
		}
	}
	return "cpctl login HOST:PORT --token-file FILE --name CONTEXT"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
