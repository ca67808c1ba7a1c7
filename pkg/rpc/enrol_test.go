package rpc

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// house is a cluster of one fake node that takes newcomers, over real TLS.
type house struct {
	*fake
	ca      *pki.Authority
	token   pki.Token
	address string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	ca, err := pki.NewAuthority("cluster-1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	h := &house{fake: &fake{leads: true}, ca: ca}
	if h.token, err = pki.NewToken(); err != nil {
		t.Fatal(err)
	}
	if h.token.CA, err = pki.Fingerprint(ca.CertPEM()); err != nil {
		t.Fatal(err)
	}
	h.enrol = h.certify
	own := h.member(t, access.Node, "n1", "id-1")
	members, err := pki.ServerTLS(own, "cluster-1", 1, func(string) bool { return false }, []string{ProtocolRPC, ProtocolStream})
	if err != nil {
		t.Fatal(err)
	}
	port, err := tls.Listen("tcp", "127.0.0.1:0", members)
	if err != nil {
		t.Fatal(err)
	}
	h.port = shaken{port}
	if h.streams, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	newcomers, err := pki.EnrolServerTLS(own, ProtocolEnrol)
	if err != nil {
		t.Fatal(err)
	}
	if h.door, err = tls.Listen("tcp", "127.0.0.1:0", newcomers); err != nil {
		t.Fatal(err)
	}
	h.address = h.door.Addr().String()
	serveFake(t, h.fake)
	return h
}

// shaken gives connections whose handshake is complete, as a node's port does.
type shaken struct{ net.Listener }

func (s shaken) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err == nil {
		conn.(*tls.Conn).Handshake() // what is wrong with it shows later
	}
	return conn, err
}

// member has a certificate of the cluster.
func (h *house) member(t *testing.T, role access.Role, name, nodeID string) pki.Credentials {
	t.Helper()
	csr, key, err := pki.NewCSR(name)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := pki.EncodeKeyPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := h.ca.Sign(csr, pki.Identity{Role: role, Name: name, NodeID: nodeID, ClusterID: "cluster-1", Generation: 1}, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return pki.Credentials{CertPEM: cert, KeyPEM: keyPEM, CAPEM: h.ca.CertPEM()}
}

// certify is what a leader does with a token that is good.
func (h *house) certify(args EnrolArgs, _ access.Actor) (*Enrolment, error) {
	cert, _, err := h.ca.Sign(args.CSR, pki.Identity{Role: access.Operator, Name: "ana", ClusterID: "cluster-1", Generation: 1}, time.Hour, time.Now())
	return &Enrolment{ClusterID: "cluster-1", Generation: 1, CertPEM: cert, CAPEM: h.ca.CertPEM()}, err
}

func request(t *testing.T) EnrolArgs {
	t.Helper()
	csr, _, err := pki.NewCSR("ana")
	if err != nil {
		t.Fatal(err)
	}
	return EnrolArgs{CSR: csr}
}

func TestANewcomerGetsItsCertificate(t *testing.T) {
	h := newHouse(t)
	var asked EnrolArgs
	var by access.Actor
	h.enrol = func(args EnrolArgs, who access.Actor) (*Enrolment, error) {
		asked, by = args, who
		return h.certify(args, who)
	}
	e, err := Enrol(soon(t), []string{"127.0.0.1:1", h.address}, h.token, request(t))
	if err != nil {
		t.Fatal(err)
	}
	if e.ClusterID != "cluster-1" || e.Generation != 1 || len(e.CertPEM) == 0 || string(e.CAPEM) != string(h.ca.CertPEM()) || e.ClusterKey != nil {
		t.Errorf("got %+v", e)
	}
	if asked.Token != h.token.ID || string(asked.Secret) != string(h.token.Secret[:]) || by.String() != "token/"+h.token.ID || !strings.HasPrefix(by.Source, "127.0.0.1:") {
		t.Errorf("%s from %s showed %+v", by, by.Source, asked)
	}
}

// TestARefusedNewcomerIsToldAtOnce: what no later attempt can change ends it,
// the rest is asked again until the time is over.
func TestARefusedNewcomerIsToldAtOnce(t *testing.T) {
	for _, code := range []store.Code{store.CodeDenied, store.CodeExists, store.CodeInvalid, store.CodeNotFound} {
		t.Run(string(code), func(t *testing.T) {
			h := newHouse(t)
			var asked atomic.Int32
			h.enrol = func(EnrolArgs, access.Actor) (*Enrolment, error) {
				asked.Add(1)
				return nil, store.Errorf(code, "no").WithHint("do this")
			}
			_, err := Enrol(soon(t), []string{h.address, h.address}, h.token, request(t))
			var refusal *store.Error
			if !errors.As(err, &refusal) || refusal.Code != code || refusal.Hint != "do this" || asked.Load() != 1 {
				t.Errorf("asked %d times, %v", asked.Load(), err)
			}
		})
	}
	for _, code := range []store.Code{store.CodeUnavailable, store.CodeUnknown} {
		t.Run(string(code), func(t *testing.T) {
			h := newHouse(t)
			var asked atomic.Int32
			h.enrol = func(args EnrolArgs, by access.Actor) (*Enrolment, error) {
				if asked.Add(1) < 4 {
					return nil, store.Errorf(code, "not yet")
				}
				return h.certify(args, by)
			}
			if e, err := Enrol(soon(t), []string{h.address}, h.token, request(t)); err != nil || e == nil {
				t.Errorf("asked %d times, %v", asked.Load(), err)
			}
			asked.Store(-1 << 20)
			_, err := Enrol(within(t, 300*time.Millisecond), []string{h.address}, h.token, request(t))
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), h.address) {
				t.Errorf("when the time is over: %v", err)
			}
		})
	}
}

func TestANewcomerGoesToNoOtherServer(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	h.enrol = func(EnrolArgs, access.Actor) (*Enrolment, error) {
		t.Error("the token was shown to a stranger")
		return nil, nil
	}
	clear, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer clear.Close()
	go func() {
		for {
			conn, err := clear.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 4096)) // else the answer is lost in a reset
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			conn.Close()
		}
	}()
	another, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{NextProtos: []string{"h2"}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return nil, errors.New("never asked for: the protocols differ")
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer another.Close()
	go func() {
		for {
			conn, err := another.Accept()
			if err != nil {
				return
			}
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	for server, says := range map[string]string{
		h.address:               "is not of the cluster that the token is for",
		clear.Addr().String():   "is not a node that takes newcomers",
		another.Addr().String(): "is not a node that takes newcomers",
		"127.0.0.1":             "is not HOST:PORT",
		"unix:/tmp/cpctl.sock":  "is not HOST:PORT",
	} {
		_, err := Enrol(soon(t), []string{server}, other.token, request(t))
		if err == nil || !strings.Contains(err.Error(), says) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want %q", server, err, says)
		}
	}
}

// TestANewcomerIsHeldToItsRequest: an answer that is not for its key or not of
// its cluster is none.
func TestANewcomerIsHeldToItsRequest(t *testing.T) {
	h := newHouse(t)
	other := request(t)
	h.enrol = func(_ EnrolArgs, by access.Actor) (*Enrolment, error) { return h.certify(other, by) }
	if _, err := Enrol(soon(t), []string{h.address}, h.token, request(t)); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("a certificate for another key: %v", err)
	}
	h.enrol = func(EnrolArgs, access.Actor) (*Enrolment, error) { return nil, nil }
	if _, err := Enrol(soon(t), []string{h.address}, h.token, request(t)); !errors.Is(err, store.ErrInternal) {
		t.Errorf("no certificate: %v", err)
	}
}

// stranger connects as one who may enrol, and says what it wants.
func (h *house) stranger(t *testing.T) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", h.address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ProtocolEnrol}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ended waits for the end of a connection, and returns what came before it.
func ended(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection does not end: %v", err)
	}
	return b
}

func TestARequestOfANewcomerIsBounded(t *testing.T) {
	h := newHouse(t)
	var asked atomic.Int32
	h.enrol = func(EnrolArgs, access.Actor) (*Enrolment, error) {
		asked.Add(1)
		return nil, store.Errorf(store.CodeDenied, "no")
	}
	frame := func(size uint32, body string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, size), body...)
	}
	for fact, says := range map[string][]byte{
		"a frame that claims 4 GiB":      frame(1<<32-1, "{}"),
		"a frame that claims too much":   frame(maxEnrolRequest+1, "{}"+strings.Repeat(" ", maxEnrolRequest-1)),
		"no JSON":                        frame(4, "\x00\x01\x02\x03"),
		"JSON of another form":           frame(2, "[]"),
		"a frame that is never complete": frame(100, "{"),
		"an empty frame":                 frame(0, ""),
	} {
		t.Run(fact, func(t *testing.T) {
			conn := h.stranger(t)
			conn.Write(says) // it may be sent away before it has said all
			began := time.Now()
			if heard := ended(t, conn); len(heard) > 0 {
				t.Errorf("answered with %q", heard)
			}
			if took := time.Since(began); took > enrolSpeak+patience/2 {
				t.Errorf("sent away after %s", took)
			}
		})
	}
	if asked.Load() != 0 {
		t.Errorf("the leader was asked %d times", asked.Load())
	}
	// Two requests on one connection are one, and what is no id of a token stays out of logs.
	conn := h.stranger(t)
	one := `{"args":{"Token":"\u001b[31m"}}`
	if _, err := conn.Write(append(frame(uint32(len(one)), one), frame(uint32(len(one)), one)...)); err != nil {
		t.Fatal(err)
	}
	if heard := ended(t, conn); !strings.Contains(string(heard), "denied") || asked.Load() != 1 {
		t.Errorf("asked %d times, heard %q", asked.Load(), heard)
	}
}

// TestSilentNewcomersKeepNobodyOut: the oldest make room, at once.
func TestSilentNewcomersKeepNobodyOut(t *testing.T) {
	h := newHouse(t)
	var silent []*tls.Conn
	for range 2 * enrolWaiting {
		silent = append(silent, h.stranger(t))
	}
	began := time.Now()
	if _, err := Enrol(soon(t), []string{h.address}, h.token, request(t)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took >= enrolSpeak {
		t.Errorf("a newcomer waited %s for those that say nothing", took)
	}
	ended(t, silent[0])
}

// TestTheOldestSilentNewcomerMakesRoom, and no other.
func TestTheOldestSilentNewcomerMakesRoom(t *testing.T) {
	n := newNewcomers()
	closed := func(conn net.Conn) bool { return errors.Is(conn.SetDeadline(time.Time{}), io.ErrClosedPipe) }
	var conns []net.Conn
	for range enrolWaiting {
		conn, _ := net.Pipe()
		conns = append(conns, conn)
	}
	n.enter(conns[0])
	spoken := n.enter(conns[1])
	for _, conn := range conns[2:] {
		n.enter(conn)
	}
	n.leave(spoken)
	for _, newest := range []bool{false, true} { // there was room for one
		conn, _ := net.Pipe()
		n.enter(conn)
		if closed(conn) || closed(conns[0]) != newest {
			t.Errorf("the oldest is sent away: %v", closed(conns[0]))
		}
	}
	for i, conn := range conns[1:] {
		if closed(conn) {
			t.Errorf("number %d is sent away", i+1)
		}
	}
}

// TestNewcomersTakeTurns: so many at once as a leader can sign for.
func TestNewcomersTakeTurns(t *testing.T) {
	h := newHouse(t)
	var now, most atomic.Int32
	full, more := make(chan struct{}), make(chan struct{})
	var isFull, isMore sync.Once
	h.enrol = func(args EnrolArgs, by access.Actor) (*Enrolment, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		switch {
		case n == enrolAtOnce:
			isFull.Do(func() { close(full) })
		case n > enrolAtOnce:
			isMore.Do(func() { close(more) })
		}
		<-full // all that may are here; others would come now
		select {
		case <-more:
		case <-time.After(200 * time.Millisecond):
		}
		return h.certify(args, by)
	}
	done := make(chan error)
	const many = 3 * enrolAtOnce
	for range many {
		args := request(t)
		go func() {
			_, err := Enrol(soon(t), []string{h.address}, h.token, args)
			done <- err
		}()
	}
	for range many {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() != enrolAtOnce {
		t.Errorf("%d at once, want %d", most.Load(), enrolAtOnce)
	}
}

// TestANodeAsksForItsOwnMembership: at any member, with the certificate that it
// has by then.
func TestANodeAsksForItsOwnMembership(t *testing.T) {
	h, leader := newHouse(t), newHouse(t)
	h.fake.leads = false
	h.fake.leader = &Member{ID: "id-2", Address: "leader"}
	h.fake.dial = func(_ Member, protocol string) (net.Conn, error) { // as n1, to its leader
		own := leader.member(t, access.Node, "n1", "id-1")
		cfg, err := pki.ClientTLS(own, "cluster-1", 1, nil, protocol, "")
		if err != nil {
			return nil, err
		}
		return tls.Dial("tcp", leader.port.Addr().String(), cfg)
	}
	join := func(own pki.Credentials, nodeID string) error {
		c := NewClient(Options{Servers: []string{h.port.Addr().String()}, Credentials: &own})
		defer c.Close()
		return c.Join(soon(t), AdmitArgs{NodeID: nodeID, Address: "10.0.0.3:7700"})
	}
	if err := join(h.member(t, access.Node, "n3", "id-3"), "id-3"); err != nil {
		t.Fatal(err)
	}
	if got := leader.admits; len(got) != 1 || got[0] != (AdmitArgs{NodeID: "id-3", Address: "10.0.0.3:7700"}) || len(h.admits) != 0 {
		t.Errorf("the leader was asked to admit %v, the other %v", got, h.admits)
	}
	if err := join(h.member(t, access.Node, "n3", "id-3"), "id-4"); !errors.Is(err, store.ErrDenied) {
		t.Errorf("for another node: %v", err)
	}
	if err := join(h.member(t, access.Admin, "ada", ""), ""); err == nil {
		t.Error("a person became a member")
	}
	if len(leader.admits) != 1 {
		t.Errorf("the leader was asked to admit %v", leader.admits)
	}
}
