package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// dialWait bounds one attempt to reach a server, so that the next one is asked
// while there is time.
const dialWait = 5 * time.Second

// firstDial bounds the first one where there is another server.
const firstDial = time.Second

// dial connects to a node with one of its protocols: to its socket, or to its
// port as the holder of the client's certificate.
func (c *Client) dial(ctx context.Context, server, protocol string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(server, "unix:"); ok {
		return dialSocket(ctx, path, protocol)
	}
	if _, _, err := net.SplitHostPort(server); err != nil {
		return nil, store.Errorf(store.CodeInvalid, "server %q is neither unix:PATH nor HOST:PORT", server)
	}
	if c.opts.Credentials == nil {
		return nil, store.Errorf(store.CodeDenied, "server %s wants a certificate, and there is none", server).
			WithHint("log in with a token: cpctl login %s --token-file FILE --name CONTEXT", server)
	}
	cfg, err := c.clientTLS(protocol)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", server)
	if err != nil && overdue(err) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}
	if other := new(pki.OtherGeneration); errors.As(err, &other) && other.Earlier() {
		leaveWord(ctx, server, cfg)
	}
	return conn, err
}

// leaveWord shows our certificate to a node of an earlier generation of the
// cluster, which we have just refused before it could see that: it stops, since
// the cluster was recovered without it. Nothing is said to it, and nothing heard.
func leaveWord(ctx context.Context, server string, cfg *tls.Config) {
	cfg = cfg.Clone()
	cfg.VerifyConnection = nil
	if conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", server); err == nil {
		conn.Close()
	}
}

// clientTLS is how we show who we are. What is wrong with that is an error of
// CodeDenied: no later attempt fares better.
func (c *Client) clientTLS(protocol string) (*tls.Config, error) {
	own := *c.opts.Credentials
	if err := c.usable(own, time.Now()); err != nil {
		return nil, err
	}
	id, err := own.Identity()
	if err != nil {
		return nil, err
	}
	cfg, err := pki.ClientTLS(own, id.ClusterID, id.Generation, nil, protocol, "")
	if err != nil {
		return nil, store.Errorf(store.CodeDenied, "the credentials cannot be used: %v", err).
			WithHint("certificate and key must belong together; see: cpctl context show")
	}
	if met := c.opts.Met; met != nil {
		verify := cfg.VerifyConnection
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			err := verify(cs)
			if err == nil {
				id, _ := pki.IdentityOf(cs.PeerCertificates[0]) // verify has read it
				met(id)
			}
			return err
		}
	}
	return cfg, nil
}

// overdue tells whether an error says that time is over or nobody wants to know
// any more.
func overdue(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// dialSocket names the protocol in the first line, as ALPN does on the port.
func dialSocket(ctx context.Context, path, protocol string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, protocol+"\n"); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
