package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/pki"
)

// Answer is a node of the cluster that runs while others look at what is left.
type Answer struct {
	Name       string // in its certificate
	NodeID     string
	Address    string
	Generation uint64
}

// askWait bounds the question to each address.
const askWait = 2 * time.Second

// Ask finds who answers where the members of the last configurations were, with
// the credentials of a directory. A recovery would stop whoever does. Also the
// addresses of the directories themselves are asked: they may be copies.
func (o *Outlook) Ask(ctx context.Context, s *Survivor, dial func(ctx context.Context, address string) (net.Conn, error)) {
	var addresses []string
	for _, of := range o.All {
		for _, m := range of.Members {
			addresses = append(addresses, m.Address)
		}
	}
	slices.Sort(addresses)
	var wg sync.WaitGroup
	var mu sync.Mutex
	o.Answers = nil
	for _, address := range slices.Compact(addresses) {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askWait)
			defer cancel()
			conn, err := dial(ctx, address)
			if err != nil {
				return
			}
			defer conn.Close()
			if id, ok := s.meet(ctx, conn); ok {
				mu.Lock()
				defer mu.Unlock()
				o.Answers = append(o.Answers, Answer{Name: id.Name, NodeID: id.NodeID, Address: address, Generation: id.Generation})
			}
		})
	}
	wg.Wait()
	slices.SortFunc(o.Answers, func(a, b Answer) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address)) })
}

// errSeen ends a handshake that has told enough.
var errSeen = errors.New("who answers is known")

// meet reports who is at the other end, if it is a node of this generation of the
// cluster or a later one. What its certificate says counts even if it cannot be
// verified: since this directory was written, the authority may have been
// replaced, and whoever lies can only keep a recovery from being done.
func (s *Survivor) meet(ctx context.Context, conn net.Conn) (id pki.Identity, ok bool) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{ProtocolRPC}, InsecureSkipVerify: true}
	verify := func(tls.ConnectionState) error { return errSeen }
	if _, own, err := s.dir.loadSecrets(s.self); err == nil {
		if with, err := pki.ClientTLS(own, s.ClusterID, s.Generation, nil, ProtocolRPC, ""); err == nil {
			cfg, verify = with, with.VerifyConnection
		}
	}
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) > 0 {
			var err error
			id, err = pki.IdentityOf(cs.PeerCertificates[0])
			ok = err == nil && id.ClusterID == s.ClusterID && id.Role == access.Node && id.Generation >= s.Generation
		}
		return verify(cs) // ours is shown to nobody who is not verified
	}
	tls.Client(conn, cfg).HandshakeContext(ctx) // how it ends says nothing more
	return id, ok
}

// Later is an answer by which the cluster has gone on without these directories.
func (o *Outlook) Later() *Answer {
	for i, a := range o.Answers {
		if a.Generation > o.Best.Generation {
			return &o.Answers[i]
		}
	}
	return nil
}

// Lives reports whether those that answer and those that start on the directories
// are a majority of the voters together. A node that was no member yet speaks for
// a majority, which has let it in.
func (o *Outlook) Lives() bool {
	able := map[string]bool{}
	for _, s := range o.All {
		able[s.NodeID] = s.Starts() || able[s.NodeID]
	}
	for _, a := range o.Answers {
		if !slices.ContainsFunc(o.Best.Members, func(m Member) bool { return m.ID == a.NodeID }) {
			return true
		}
		able[a.NodeID] = true
	}
	count := 0
	for _, m := range o.Best.Members {
		if m.Voter && able[m.ID] {
			count++
		}
	}
	return len(o.Answers) > 0 && count > o.Voters/2
}
