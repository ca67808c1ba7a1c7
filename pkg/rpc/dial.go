package rpc

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// dialWait bounds one attempt to reach a server, so that the next one is asked
// while there is time.
const dialWait = 5 * time.Second

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
	own := *c.opts.Credentials
	id, err := own.Identity()
	if err != nil {
		return nil, err
	}
	cfg, err := pki.ClientTLS(own, id.ClusterID, id.Generation, nil, protocol, "")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	return (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", server)
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
