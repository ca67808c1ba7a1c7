package rpc

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// What turns a change away is why a node is not ready, in the same words.
func TestANodeIsReadyWhenAWriteWouldSucceed(t *testing.T) {
	t.Parallel()
	cannot := store.Errorf(store.CodeUnavailable, "it cannot write its audit log")
	full := store.Errorf(store.CodeUnavailable, "too little disk space")
	for _, tt := range []struct {
		name  string
		fake  *fake
		ready bool
		why   string
	}{
		{"it leads", &fake{leads: true}, true, ""},
		{"it leads and may change nothing", &fake{leads: true, leader: &Member{ID: "id-1"}, unready: full}, false, "too little disk space"},
		{"it has to put on record what it does, and cannot", &fake{leads: true, record: &notes{fail: cannot}}, false, "it cannot write its audit log"},
		{"it has to put on record what it does, and can", &fake{leads: true, record: &notes{}}, true, ""},
		{"nobody leads", &fake{}, false, "knows of no leader"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, _ := serveFake(t, tt.fake)
			h, err := c.Health(soon(t), false)
			if err != nil || h.Ready != tt.ready || !strings.Contains(h.Reason, tt.why) {
				t.Errorf("got %+v, %v, want ready %v, %q", h, err, tt.ready, tt.why)
			}
		})
	}
}

// The leader's own view counts, not that of the node which was asked.
func TestAFollowerAsksTheLeaderWhetherItIsReady(t *testing.T) {
	h, leader := newHouse(t), newHouse(t)
	h.fake.leads = false
	h.fake.leader = &Member{ID: "id-2", Address: "leader"}
	h.fake.dial = func(_ Member, protocol string) (net.Conn, error) { // as n1, to its leader
		cfg, err := pki.ClientTLS(leader.member(t, access.Node, "n1", "id-1"), "cluster-1", 1, nil, protocol, "")
		if err != nil {
			return nil, err
		}
		return tls.Dial("tcp", leader.port.Addr().String(), cfg)
	}
	ada := h.member(t, access.Admin, "ada", "")
	c := NewClient(Options{Servers: []string{h.port.Addr().String()}, Credentials: &ada})
	defer c.Close()
	if got, err := c.Health(soon(t), false); err != nil || !got.Ready {
		t.Errorf("got %+v, %v", got, err)
	}
	leader.fake.unready = store.Errorf(store.CodeUnavailable, "too little disk space")
	if got, err := c.Health(soon(t), false); err != nil || got.Ready || !strings.Contains(got.Reason, "too little disk space") {
		t.Errorf("got %+v, %v", got, err)
	}
}

// A retry of a transfer whose answer was lost says who led when it was asked for
// first, and so asks for no second change.
func TestATransferThatIsAskedForAgainIsTheSame(t *testing.T) {
	t.Parallel()
	var asked []TransferArgs
	f := &fake{leads: true, members: []Member{{ID: "id-1", Name: "n1", Voter: true}}}
	f.transfer = func(a TransferArgs) (*Transferred, error) {
		if asked = append(asked, a); len(asked) == 1 {
			return nil, store.Errorf(store.CodeUnknown, "the answer of the leader was lost")
		}
		return &Transferred{From: a.From, Leader: "n2", Term: 4, Changed: true}, nil
	}
	n := &notes{}
	f.record = n
	c, _ := serveFake(t, f)
	got, err := c.Transfer(soon(t), TransferArgs{})
	if err != nil || !got.Changed || got.Leader != "n2" || len(asked) != 2 || asked[0] != (TransferArgs{From: "n1"}) || asked[1] != asked[0] {
		t.Errorf("got %+v, %v after %+v", got, err, asked)
	}
	if e := n.last(); e.Type != "leadership.transfer" || e.Target != "node/n2" || e.Result != "ok" || e.Message != "from node/n1" {
		t.Errorf("on record: %+v", e)
	}
	f.transfer = func(a TransferArgs) (*Transferred, error) {
		return nil, store.Errorf(store.CodeRefused, "it cannot lead")
	}
	if _, err := c.Transfer(soon(t), TransferArgs{Name: "n3"}); !errors.Is(err, store.ErrRefused) {
		t.Errorf("got %v", err)
	}
	if e := n.last(); e.Target != "node/n3" || e.Result != "refused" {
		t.Errorf("on record: %+v", e)
	}
	if _, err := c.Write(soon(t), &mutation.Request{Op: mutation.OpTenantCreate, Name: "acme"}); err != nil {
		t.Error(err)
	}
}
