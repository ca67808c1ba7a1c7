package node

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
)

// What nobody asked for is on record as well, at the leader and once.
func TestWhatALeaderDoesOfItsOwnAccordIsOnRecord(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2")
	c.must(tenantNamed("acme"))
	for range 3 {
		c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "ES256"})
	}
	c.clock.Store(int64(26 * time.Hour))
	want := []audit.Event{
		{Actor: "system", Type: "member.promote", Target: "node/n2", Result: "ok"},
		{Actor: "system", Type: "key.retire", Target: "keyset/acme", Index: 1, Revision: 1, Result: "ok"},
	}
	c.until("both are on record", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, e := range want {
			if c.recorded[e] == 0 {
				return errors.New(e.Type + " is not")
			}
		}
		return nil
	})
	c.close("n1")
	c.close("n2")
	for e, n := range c.recorded {
		if n != 1 || !slices.Contains(want, e) {
			t.Errorf("%d times %+v", n, e)
		}
	}
}

// The leader renews its own certificate with no call that could be on record.
func TestTheRenewalOfALeaderIsOnRecord(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	before := c.serials()
	c.clock.Store(int64(61 * day))
	c.renewed(before)
	c.close("n1")
	if len(c.recorded) != 1 {
		t.Errorf("on record are %v", c.recorded)
	}
	for e, n := range c.recorded {
		if n != 1 || e.Actor != "node/n1" || e.Serial != before["n1"] || e.Type != "cert.renew" || e.Target != "node/n1" || e.Result != "ok" || len(e.Message) != len("certificate ")+32 {
			t.Errorf("%d times %+v", n, e)
		}
	}
}

// A holder of a certificate of ours is named when it is refused, and nobody else.
func TestARefusedHolderOfACertificateIsNamed(t *testing.T) {
	ca, foreign := newWireCA(t), newWireCA(t)
	ln := listenLoopback(t)
	eve := ca.member(t, access.Operator, "eve")
	revoked, err := eve.Identity()
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := pki.ServerTLS(ca.member(t, access.Node, "n1"), wireCluster, 1, func(serial string) bool { return serial == revoked.Serial }, wireProtocols)
	if err != nil {
		t.Fatal(err)
	}
	m := newMux(ln, cfg)
	defer m.Close()
	var mu sync.Mutex
	var told []string
	n := &Node{cfg: Config{Refused: func(by access.Actor, protocol string, err error) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, by.String()+" "+protocol+" "+err.Error())
		if by.Serial == "" || by.Source == "" {
			t.Errorf("%+v has no serial or no source", by)
		}
	}}}
	m.onRefused(n.tellRefused)
	go echo(m.Listener(ProtocolRPC), 'a')
	m.Listener(ProtocolRaft)

	noTLS := dialTCP(t, ln)
	noTLS.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	stranger := clientTLS(t, foreign.member(t, access.Operator, "mallory"), ProtocolRPC, "")
	stranger.VerifyConnection = nil
	ask(dialTCP(t, ln), stranger)
	ask(dialTCP(t, ln), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{ProtocolRPC}})
	ask(dialTCP(t, ln), clientTLS(t, ca.member(t, access.Node, "n2"), ProtocolStream, "")) // nobody is there for it
	ask(dialTCP(t, ln), clientTLS(t, eve, ProtocolRPC, ""))
	ask(dialTCP(t, ln), clientTLS(t, ca.member(t, access.Operator, "ana"), ProtocolRaft, ""))
	if got, err := ask(dialTCP(t, ln), clientTLS(t, ca.member(t, access.Operator, "ana"), ProtocolRPC, "")); got != 'a' || err != nil {
		t.Errorf("a good one: %q, %v", got, err)
	}
	until(t, "both are told of", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) >= 2 })
	m.Close() // waits for all
	slices.Sort(told)
	if len(told) != 2 || !strings.HasPrefix(told[0], "operator/ana cpctl-raft/1 ") || !strings.Contains(told[1], "operator/eve cpctl-rpc/1 the certificate "+revoked.Serial) {
		t.Errorf("told of %q", told)
	}
}
