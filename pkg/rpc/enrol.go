package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// ProtocolEnrol is spoken by those who have no certificate yet. A connection
// carries one request and its answer, each a length (uint32, big endian) and
// that many bytes of JSON.
const ProtocolEnrol = "cpctl-enrol/1"

// maxEnrolRequest bounds the request: a certificate request in base64 and a few
// names.
const maxEnrolRequest = 8 << 10

// enrolRequest is what a newcomer says.
type enrolRequest struct {
	TimeoutMS int64     `json:"timeout_ms"`
	Args      EnrolArgs `json:"args"`
}

// Enrol gets a certificate for the holder of a token, a node or a person, from
// the first of the servers (HOST:PORT) that can be reached. Nothing is said to a
// server before it has shown that it is a node of the cluster that the token is
// for. It asks again while that may help; the same certificate request makes
// that harmless. Refusals are *store.Error: CodeDenied for a token that is used,
// expired, revoked or not known and for a server that is another, CodeExists for
// a name that is taken.
func Enrol(ctx context.Context, servers []string, token pki.Token, req EnrolArgs) (*Enrolment, error) {
	req.Token, req.Secret = token.ID, token.Secret[:]
	for _, server := range servers {
		if _, _, err := net.SplitHostPort(server); err != nil || strings.HasPrefix(server, "unix:") {
			return nil, store.Errorf(store.CodeInvalid, "server %q is not HOST:PORT", server)
		}
	}
	began, pause := time.Now(), firstPause
	said := map[string]string{}
	for {
		for _, server := range servers {
			e, err := enrolAt(ctx, server, token.CA, req)
			if err == nil {
				return e, nil
			}
			var refusal *store.Error
			if errors.As(err, &refusal) && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
				return nil, refusal
			}
			if ctx.Err() == nil || said[server] == "" {
				said[server] = reason(err)
			}
		}
		if !rest(ctx, &pause, 0) {
			return nil, (&Client{opts: Options{Servers: servers}}).timedOut(said, time.Since(began))
		}
	}
}

func enrolAt(ctx context.Context, server string, ca [32]byte, args EnrolArgs) (*Enrolment, error) {
	conn, err := dialEnrol(ctx, server, ca)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	req := enrolRequest{Args: args, TimeoutMS: enrolWork.Milliseconds()}
	deadline := time.Now().Add(enrolWork + dialWait)
	if at, ok := ctx.Deadline(); ok && at.Before(deadline) {
		deadline = at
		req.TimeoutMS = max((time.Until(at) - answerTime).Milliseconds(), 1)
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := writeJSON(conn, req); err != nil {
		return nil, broken(err)
	}
	var reply Reply[*Enrolment]
	if err := readJSON(conn, maxHead, &reply); err != nil {
		return nil, broken(err)
	}
	if reply.Err != nil {
		return nil, reply.Err
	}
	if reply.Value == nil {
		return nil, store.Errorf(store.CodeInternal, "server %s sent no certificate", server)
	}
	e := reply.Value
	if _, err := pki.CheckEnrolment(ca, args.CSR, e.CertPEM, e.CAPEM); err != nil {
		return nil, err
	}
	return e, nil
}

// dialEnrol connects to a server that is of the cluster with this authority.
func dialEnrol(ctx context.Context, server string, ca [32]byte) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	conn, err := (&tls.Dialer{Config: pki.NewcomerTLS(ca, ProtocolEnrol)}).DialContext(ctx, "tcp", server)
	var said *net.OpError // an alert of TLS, such as that the protocol is not spoken there
	var notTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &notTLS), errors.As(err, &said) && said.Op == "remote error":
		return nil, store.Errorf(store.CodeDenied, "server %s is not a node that takes newcomers: %v", server, err).
			WithHint("look at the address and the port: it is that of cpctl node --listen; nothing was said to the server")
	case err != nil:
		return nil, err
	}
	return conn, nil
}
