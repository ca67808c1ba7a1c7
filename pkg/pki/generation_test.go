package pki

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

const (
	firstRecovery  = "019aa000-0000-7000-8000-000000000001" // of 2025-11-20
	secondRecovery = "019aa000-0000-7000-8000-000000000002"
)

func of(id Identity, generation uint64, recovery string) Identity {
	id.Generation, id.Recovery = generation, recovery
	return id
}

// Nodes are of one cluster only if both are of one recovery of it. People keep
// their certificates when it is recovered, and do not go back.
func TestWhoIsOfWhichGeneration(t *testing.T) {
	a := newAuthority(t, testCluster)
	n1, n2, ana := node("n1"), node("n2"), operator("ana")
	for _, c := range []struct {
		fact           string
		server, client Identity
		says           string // of the refusal, at whichever end; none: they talk
		later          bool   // it shows who refuses that the cluster was recovered
	}{
		{"nodes of one recovery", of(n1, 2, firstRecovery), of(n2, 2, firstRecovery), "", false},
		{"a node that was left behind calls", of(n1, 2, firstRecovery), of(n2, 1, ""), "this cluster was recovered as generation 2 on 2025-11-20", true},
		{"a node that was left behind is called", of(n1, 1, ""), of(n2, 2, firstRecovery), "this cluster was recovered as generation 2 on 2025-11-20", true},
		{"nodes of two recoveries", of(n1, 2, firstRecovery), of(n2, 2, secondRecovery), "is of another recovery of this cluster as generation 2", false},
		{"a node whose generation nobody has recovered", of(n1, 2, firstRecovery), of(n2, 2, ""), "is of another recovery", false},
		{"a person from before", of(n1, 2, firstRecovery), ana, "", false},
		{"a person from before, after two", of(n1, 3, secondRecovery), of(ana, 2, firstRecovery), "", false},
		{"a person of today", of(n1, 2, firstRecovery), of(ana, 2, firstRecovery), "", false},
		{"a person of today goes to a node that was left behind", of(n1, 1, ""), of(ana, 2, firstRecovery), "is of generation 1 of this cluster, which was recovered as generation 2 on 2025-11-20", false},
		{"a person of the other recovery", of(n1, 2, firstRecovery), of(ana, 2, secondRecovery), "is of another recovery", false},
	} {
		t.Run(c.fact, func(t *testing.T) {
			sc, _ := member(t, a, c.server, time.Now())
			cc, _ := member(t, a, c.client, time.Now())
			server := must[*tls.Config](t)(ServerTLS(sc, testCluster, c.server.Generation, none, []string{"cpctl-rpc/1"}))
			client := must[*tls.Config](t)(ClientTLS(cc, testCluster, c.client.Generation, none, "cpctl-rpc/1", ""))
			_, serverErr, clientErr := shake(t, server, client)
			if c.says == "" {
				if serverErr != nil || clientErr != nil {
					t.Errorf("server %v, client %v", serverErr, clientErr)
				}
				return
			}
			// The client judges first, and then the server is told nothing of use.
			var other *OtherGeneration
			if clientErr == nil || !errors.As(clientErr, &other) || !strings.Contains(clientErr.Error(), c.says) && !c.later || !errors.Is(clientErr, store.ErrDenied) {
				t.Fatalf("server %v, client %v, want %q", serverErr, clientErr, c.says)
			}
			// A client that does not look is judged by the server.
			client.VerifyConnection = nil
			_, serverErr, clientErr = shake(t, server, client)
			if !errors.As(serverErr, &other) || clientErr == nil || !errors.Is(serverErr, store.ErrDenied) {
				t.Fatalf("server %v, client %v", serverErr, clientErr)
			}
			var behind *OtherGeneration
			for _, e := range []*OtherGeneration{{Own: c.server, Peer: c.client}, {Own: c.client, Peer: c.server}} {
				if e.Later() {
					behind = e
				}
			}
			if c.later && (behind == nil || !strings.Contains(behind.Error(), c.says) || !strings.Contains(behind.refusal().Hint, "empty it and join again")) {
				t.Errorf("who was left behind is told %+v", behind)
			}
		})
	}
}

func TestTheIdOfARecoveryTellsWhenItWas(t *testing.T) {
	before := time.Now().Add(-time.Second)
	id, err := NewRecovery()
	if err != nil {
		t.Fatal(err)
	}
	if at := RecoveredAt(id); at.Before(before) || at.After(time.Now()) || !recoveryForm.MatchString(id) {
		t.Errorf("%s was made at %v", id, at)
	}
	for _, bad := range []string{"", "x", "0198f0c2-6a1e-4c3b-9a55-0d1f5b7d2f10"} {
		if at := RecoveredAt(bad); !at.IsZero() {
			t.Errorf("%q was made at %v", bad, at)
		}
	}
	for _, s := range []string{"", "x", "2.", "2.x", "2." + strings.ToUpper(firstRecovery), "." + firstRecovery, "2." + firstRecovery + ".", "-1"} {
		if n, r, err := parseGeneration(s); err == nil {
			t.Errorf("%q is generation %d, recovery %q", s, n, r)
		}
	}
	two := of(node("n1"), 2, firstRecovery)
	if got, err := parseURI(two.uri()); err != nil || got != two {
		t.Errorf("%s is %+v, %v", two.uri(), got, err)
	}
}
