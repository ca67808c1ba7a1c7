package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/live"
)

// Certificates that live for twelve seconds: every node gets one after the other
// with no restart, and no write that was acknowledged is lost on the way.
func TestCertificatesRenewThemselvesWhileWritesGoOn(t *testing.T) {
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	c := found(t, 3, "--cert-ttl", "12s")
	c.Must(c.Servers(0), "tenant", "create", "acme")
	pids := map[string]int{}
	first := map[string]tls.Certificate{}
	for _, n := range c.Nodes {
		pids[n.Name] = n.PID()
		pair, err := tls.LoadX509KeyPair(filepath.Join(n.Dir, "tls", "node.crt"), filepath.Join(n.Dir, "tls", "node.key"))
		if err != nil {
			t.Fatal(err)
		}
		first[n.Name] = pair
	}

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var acked, failed atomic.Int64
	done := make(chan []string)
	for w := range 3 {
		go func() {
			client := rpc.NewClient(rpc.Options{Servers: []string{c.Nodes[w].Server()}})
			defer client.Close()
			var mine []string
			for i := 0; ctx.Err() == nil; i++ {
				id, patch := live.Flooded("acme", w*100_000+i)
				call, cancel := context.WithTimeout(context.Background(), live.Patience)
				_, err := client.Write(call, &mutation.Request{Op: mutation.OpClientCreate, Tenant: "acme", Name: id, Patch: patch})
				cancel()
				if err != nil {
					failed.Add(1)
					t.Errorf("write %s: %v", id, err)
					break
				}
				mine = append(mine, id)
				acked.Add(1)
				select { // two cores are enough for more than a log needs
				case <-time.After(20 * time.Millisecond):
				case <-ctx.Done():
				}
			}
			done <- mine
		}()
	}
	live.Until(t, fmt.Sprintf("every node has renewed %d times", rounds), func() bool {
		for _, n := range c.Nodes {
			if len(c.certs(n.Name)) <= rounds {
				return false
			}
		}
		return failed.Load() == 0
	})
	stop()
	var names []string
	for range 3 {
		names = append(names, <-done...)
	}
	files := c.Identical()
	for _, name := range names {
		if files["tenants/acme/clients/"+name+".json"] == nil {
			t.Errorf("client %s was acknowledged and is gone", name)
		}
	}
	t.Logf("%d writes were acknowledged during %d renewals of each of %d nodes", len(names), rounds, len(c.Nodes))

	for _, n := range c.Nodes {
		if n.PID() != pids[n.Name] || !n.Running() {
			t.Errorf("node %s was restarted", n.Name)
		}
		if log, _ := os.ReadFile(n.Log); strings.Contains(string(log), "had expired") {
			t.Errorf("the certificate of %s was not renewed in time\n%s", n.Name, n.LogTail())
		}
		// Each shows the newest that is on record, and takes its first one no more.
		all := c.certs(n.Name)
		live.Until(t, n.Name+" shows its newest certificate", func() bool {
			conn, err := tls.Dial("tcp", c.address(n), &tls.Config{NextProtos: []string{"cpctl-enrol/1"}, InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			id, err := pki.IdentityOf(conn.ConnectionState().PeerCertificates[0])
			all = c.certs(n.Name)
			return err == nil && id.Serial == all[len(all)-1].Serial
		})
		for _, i := range all {
			if i.Line != all[0].Line || i.Revoked {
				t.Errorf("%+v is not of the line of %+v", i, all[0])
			}
		}
		old := first[n.Name]
		err := knock(t, c.address(c.Leader()), &tls.Config{NextProtos: []string{rpc.ProtocolRPC}, InsecureSkipVerify: true,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &old, nil }}, mustFrame(t, "Peer.Progress"))
		if err == nil || !strings.Contains(err.Error(), "expired certificate") && !strings.Contains(err.Error(), "reset") {
			t.Errorf("the first certificate of %s, twelve seconds long: %v, want it expired", n.Name, err)
		}
	}
	r := c.Cpctl(c.Servers(0), nil, "cluster", "check")
	if r.Exit != 0 {
		t.Errorf("cluster check: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}

// A person's certificate is renewed over the connection that it opened, by
// whichever node was asked.
func TestAPersonRenewsAtAnyNode(t *testing.T) {
	c := found(t, 3)
	c.Must(c.Servers(0), "tenant", "create", "acme")
	own := c.login("operator", "ana")
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	for _, n := range c.Nodes {
		csr, signer, err := pki.NewCSR("root")
		if err != nil {
			t.Fatal(err)
		}
		e, err := c.client(own, n).Renew(ctx, csr)
		if err != nil {
			t.Fatalf("at %s: %v", n.Name, err)
		}
		next := &pki.Credentials{CertPEM: e.CertPEM, CAPEM: e.CAPEM}
		if next.KeyPEM, err = pki.EncodeKeyPEM(signer); err != nil {
			t.Fatal(err)
		}
		if id, _, err := next.Check(); err != nil || id.String() != "operator/ana" || len(e.ClusterKey) > 0 {
			t.Errorf("at %s: %s, %v, %d bytes of the cluster key", n.Name, id, err, len(e.ClusterKey))
		}
		own = next
		if _, err := c.client(own, n).Get(ctx, rpc.GetArgs{Kind: "tenant", Name: "acme"}); err != nil {
			t.Error(err)
		}
	}
	if got := c.certs("ana"); len(got) != 4 || got[0].State != rpc.CertRenewed || got[3].State != rpc.CertGood || got[3].Line != got[0].Serial {
		t.Errorf("on record are %+v", got)
	}
	csr, _, err := pki.NewCSR("root")
	if err != nil {
		t.Fatal(err)
	}
	local := rpc.NewClient(rpc.Options{Servers: []string{c.Nodes[0].Server()}})
	defer local.Close()
	if _, err := local.Renew(ctx, csr); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("at the socket: %v, want invalid", err)
	}
}

// Less than a second from the answer to the end of an idle connection on every
// node, of calls and of streams; the next one is told why.
func TestARevocationEndsWhatIsOpenWithinASecond(t *testing.T) {
	c := found(t, 3)
	ana, bob := c.login("admin", "ana"), c.login("admin", "bob")
	var theirs, others []*tls.Conn
	for _, n := range c.Nodes {
		for _, protocol := range []string{rpc.ProtocolRPC, rpc.ProtocolStream} {
			theirs = append(theirs, c.open(ana, n, protocol))
		}
		others = append(others, c.open(bob, n, rpc.ProtocolRPC))
	}
	id, err := ana.Identity()
	if err != nil {
		t.Fatal(err)
	}
	r := c.Must(c.Followers()[0].Server(), "cert", "revoke", id.Serial, "--yes")
	answered := time.Now()
	if want := "cert/" + id.Serial + " revoked, of admin/ana\n"; string(r.Stdout) != want {
		t.Errorf("said %q, want %q", r.Stdout, want)
	}
	for _, conn := range theirs {
		conn.SetDeadline(answered.Add(live.Patience))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a connection is open")
		}
	}
	took := time.Since(answered)
	t.Logf("the last of %d idle connections ended %s after the answer", len(theirs), took)
	if took > time.Second {
		t.Errorf("it took %s", took)
	}
	for _, conn := range others {
		conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("bob was disconnected, too: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	for _, n := range c.Nodes {
		_, call := c.client(ana, n).Status(ctx)
		_, stream := c.client(ana, n).Snapshot(ctx, io.Discard)
		_, upload := c.client(ana, n).Restore(ctx, strings.NewReader("no archive"), rpc.RestoreArgs{})
		for what, err := range map[string]error{"a call": call, "a snapshot": stream, "a restore": upload} {
			var bye *store.Error
			if !errors.Is(err, store.ErrDenied) || !errors.As(err, &bye) || !strings.HasSuffix(bye.Message, "certificate "+id.Serial+" was revoked by unix/0") {
				t.Errorf("%s at %s: %v, want denied with the reason", what, n.Name, err)
			}
		}
		if _, err := c.client(bob, n).Status(ctx); err != nil {
			t.Error(err)
		}
	}
	voter := c.certs("n2")[0].Serial
	if r := c.Cpctl(c.Servers(0), nil, "cert", "revoke", voter, "--yes"); r.Exit != 8 || !strings.Contains(r.Stderr, "cluster remove n2") {
		t.Errorf("that of a voter: exit %d\n%s", r.Exit, r.Stderr)
	}
}

// A node that is removed says who did it and ends, whether it runs or comes back
// later; one of which only the certificate was taken back says so and stays.
func TestARemovedNodeIsToldWhy(t *testing.T) {
	c := found(t, 3)
	extra := c.Add("--non-voter", "--join", c.Nodes[0].Server())
	extra.Start()
	live.Until(t, "the fourth is a member", func() bool { return len(c.Status().Nodes) == 4 })
	two := c.Followers()
	runs, sleeps := two[0], two[1]
	if sleeps == extra {
		sleeps = c.Nodes[2]
	}
	if runs == extra || runs == sleeps {
		t.Fatal("followers come in order")
	}

	serial := c.certs(extra.Name)[0].Serial
	c.Must(c.Servers(0), "cert", "revoke", serial, "--yes")
	live.Until(t, extra.Name+" knows that its certificate was revoked", func() bool {
		log, err := os.ReadFile(extra.Log)
		return err == nil && strings.Contains(string(log), "certificate "+serial+" was revoked by unix/0")
	})
	live.Until(t, "its status says so", func() bool {
		for _, m := range c.StatusAt(extra).Nodes {
			if m.Name == extra.Name {
				return m.State == "degraded" && m.Reason == "certificate_revoked"
			}
		}
		return false
	})
	if !extra.Running() {
		t.Error("it has ended")
	}
	c.Must(c.Servers(0), "cluster", "remove", extra.Name, "--yes")
	began := time.Now()
	extra.Ends(1)
	t.Logf("a node that was revoked ended %s after it was removed", time.Since(began))

	sleeps.Kill()
	server := ""
	for _, n := range c.Nodes {
		if n.Running() && n != runs {
			server = n.Server()
		}
	}
	c.Must(server, "cluster", "remove", sleeps.Name, "--yes")
	sleeps.Start()
	began = time.Now()
	sleeps.Ends(1)
	t.Logf("a node that was away ended %s after its start", time.Since(began))
	c.Must(server, "cluster", "remove", runs.Name, "--yes")
	began = time.Now()
	runs.Ends(1)
	t.Logf("a node that ran ended %s after it was removed", time.Since(began))
	for _, n := range []*live.Node{extra, sleeps, runs} {
		if log := n.LogTail(); !strings.Contains(log, "this node was removed from the cluster") || !strings.Contains(log, "removed by unix/0") {
			t.Errorf("node %s says\n%s", n.Name, log)
		}
	}
}

// One authority after the other, typed: people and tokens of the old one go on
// until it is retired, and not beyond.
func TestTheAuthorityIsReplacedUnderWhoeverUsesIt(t *testing.T) {
	c := found(t, 3)
	ana := c.login("admin", "ana")
	early, late := c.token("reader", "early"), c.token("reader", "late")
	c.Must(c.Servers(0), "cluster", "rotate-ca", "--wait")
	live.Until(t, "every node has renewed", func() bool {
		for _, n := range c.Nodes {
			if len(c.certs(n.Name)) != 2 {
				return false
			}
		}
		return true
	})
	ctx, cancel := context.WithTimeout(context.Background(), live.Patience)
	defer cancel()
	for _, n := range c.Nodes {
		if _, err := c.client(ana, n).Status(ctx); err != nil {
			t.Errorf("ana at %s: %v", n.Name, err)
		}
	}
	c.loginWith(early, "early")
	if r := c.Cpctl(c.Servers(0), nil, "cluster", "rotate-ca", "--retire"); r.Exit != 8 || !strings.Contains(r.Stderr, "admin/ana") {
		t.Errorf("retired while ana needs it: exit %d\n%s", r.Exit, r.Stderr)
	}
	csr, signer, err := pki.NewCSR("ana")
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.client(ana, c.Nodes[1]).Renew(ctx, csr)
	if err != nil {
		t.Fatal(err)
	}
	next := &pki.Credentials{CertPEM: e.CertPEM, CAPEM: e.CAPEM}
	if next.KeyPEM, err = pki.EncodeKeyPEM(signer); err != nil {
		t.Fatal(err)
	}
	live.Until(t, "the leader has heard that every node uses its newest", func() bool {
		return c.Cpctl(c.Servers(0), nil, "cluster", "rotate-ca", "--retire").Exit == 0
	})
	live.Until(t, "the old authority is gone", func() bool {
		for _, n := range c.Nodes {
			if b, err := os.ReadFile(filepath.Join(n.Dir, "tls", "ca.crt")); err != nil || strings.Count(string(b), "BEGIN CERTIFICATE") != 1 {
				return false
			}
		}
		return true
	})
	for _, n := range c.Nodes {
		if _, err := c.client(next, n).Status(ctx); err != nil {
			t.Errorf("ana with her new certificate at %s: %v", n.Name, err)
		}
	}
	if _, err := c.tryLogin(late, "late"); !errors.Is(err, store.ErrDenied) || !strings.Contains(err.Error(), "authority") {
		t.Errorf("a token of the old authority: %v, want denied", err)
	}
	newcomer := c.Add("--join", c.Nodes[0].Server())
	newcomer.Start() // it goes through the log of the old authority
	c.Await(newcomer)
	c.Voting()
	for _, n := range c.Nodes { // the files are good for a start
		n.Kill()
		n.Start()
	}
	c.Await(c.Nodes...)
	c.Must(c.Servers(0), "tenant", "create", "acme")
	c.Identical()
	if r := c.Cpctl(c.Servers(0), nil, "cluster", "check"); r.Exit != 0 {
		t.Errorf("cluster check: exit %d\n%s%s", r.Exit, r.Stdout, r.Stderr)
	}
}
