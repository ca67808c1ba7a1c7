package rpc

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestARekeyGoesOnUntilItIsDone: one call is a part of the way; the next ones are
// about the roll-over that the first was told of.
func TestARekeyGoesOnUntilItIsDone(t *testing.T) {
	said := []*RekeyReply{
		{Roll: "another's", Phase: "begun", Waiting: []string{"n2 does not answer"}},
		nil, // the leader changes
		{Roll: "another's", Phase: "switched", Values: 7},
		{Roll: "another's", Phase: "retired", Values: 9, Done: true},
	}
	f := &fake{leads: true}
	f.rekey = func(string) (*RekeyReply, error) {
		r := said[0]
		said = said[1:]
		if r == nil {
			return nil, store.Errorf(store.CodeUnknown, "leadership was lost")
		}
		return r, nil
	}
	c, _ := serveFake(t, f)
	var told []string
	r, err := c.Rekey(soon(t), func(r *RekeyReply) { told = append(told, r.Phase) })
	if err != nil || r.Values != 9 || !r.Done {
		t.Fatalf("%+v, %v", r, err)
	}
	if !slices.Equal(told, []string{"begun", "switched"}) {
		t.Errorf("told %v", told)
	}
	if len(f.rolls) != 4 || f.rolls[0] == "" || f.rolls[0] == "another's" || !slices.Equal(f.rolls[1:], []string{"another's", "another's", "another's"}) {
		t.Errorf("asked for %v", f.rolls)
	}
}

func TestARekeyThatIsNotDoneSaysWhatItWaitsFor(t *testing.T) {
	f := &fake{leads: true, rekey: func(roll string) (*RekeyReply, error) {
		time.Sleep(20 * time.Millisecond) // as the slice of a leader, which waits
		return &RekeyReply{Roll: roll, Phase: "begun", KeyID: "4ew", Waiting: []string{"n3 does not answer"}}, nil
	}}
	c, _ := serveFake(t, f)
	_, err := c.Rekey(within(t, 200*time.Millisecond), func(*RekeyReply) {})
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeUnavailable || !strings.Contains(e.Message, "n3 does not answer") || !strings.Contains(e.Hint, "cpctl cluster rekey") {
		t.Errorf("err = %v", err)
	}
}

// TestOnlyNodesGetTheClusterKey: it is in no answer on the socket, nor for
// people who come over the port, whatever their role.
func TestOnlyNodesGetTheClusterKey(t *testing.T) {
	f := &fake{leads: true, cluster: []byte("cpctl-cluster-key-1:SECRET:1\n")}
	c, _ := serveFake(t, f)
	conn, _, err := c.connection(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := do[ClusterKeyArgs, *ClusterKeyReply](soon(t), conn, "Peer.ClusterKey", nil, ClusterKeyArgs{"1"}); err == nil || !strings.Contains(err.Error(), "can't find service") {
		t.Errorf("the socket gives the cluster key away: %v", err)
	}
	if _, err := do[ClusterKeyArgs, *ClusterKeyReply](soon(t), conn, "Cluster.ClusterKey", nil, ClusterKeyArgs{"1"}); err == nil {
		t.Error("operators may ask for the cluster key")
	}
	s := &Server{node: f, log: c.opts.Log}
	for role, may := range map[access.Role]bool{access.Node: true, access.Admin: false, access.Operator: false, access.Reader: false, "": false} {
		call := &Call[ClusterKeyArgs]{Args: ClusterKeyArgs{"1"}, caller: &Caller{By: access.Actor{Role: role}, gone: t.Context(), server: s}}
		var reply Reply[*ClusterKeyReply]
		if err := (&Peer{s}).ClusterKey(call, &reply); err != nil {
			t.Fatal(err)
		}
		if got := reply.Err == nil && len(reply.Value.Key) > 0; got != may || !got && !errors.Is(reply.Err, store.ErrDenied) {
			t.Errorf("role %q gets it: %v (%v), want %v", role, got, reply.Err, may)
		}
	}
}

func TestAClusterKeyIsWipedOnItsWay(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	sent := &Reply[*ClusterKeyReply]{Value: &ClusterKeyReply{Key: []byte("SECRET")}}
	failed := make(chan error, 1)
	go func() { failed <- newCodec(near, nil).writeFrame(1, "", sent) }()
	c := newCodec(far, nil)
	_, _, err := c.readFrame()
	var got Reply[*ClusterKeyReply]
	if err := errors.Join(err, clientCodec{codec: c}.ReadResponseBody(&got), <-failed); err != nil {
		t.Fatal(err)
	}
	if string(got.Value.Key) != "SECRET" || !blank(c.body) || !blank(sent.Value.Key) {
		t.Errorf("received %q, left in the frame %q, left with the sender %q", got.Value.Key, c.body, sent.Value.Key)
	}
}

// TestAMemberWithoutTheKeyIsDegraded in the status of its cluster.
func TestAMemberWithoutTheKeyIsDegraded(t *testing.T) {
	f := &fake{leads: true, at: []Progress{{Name: "n1", ID: "id-1", KeyLess: true}}}
	c, _ := serveFake(t, f)
	st, err := c.Status(soon(t))
	if err != nil || st.Nodes[0].State != "degraded" || st.Nodes[0].Reason != "cluster_key" {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestARollOverThatIsNotAtItsEndIsInTheStatus, for whoever finds the cluster there.
func TestARollOverThatIsNotAtItsEndIsInTheStatus(t *testing.T) {
	tx := store.NewImage().Begin()
	if err := tx.PutSystem(applier.RekeyPath, mutation.Rollover{Phase: mutation.RollSwitched}); err != nil {
		t.Fatal(err)
	}
	img, _ := tx.Freeze(5, 1)
	c, _ := serveFake(t, &fake{leads: true, img: img})
	if st, err := c.Status(soon(t)); err != nil || st.Rekey != "switched" {
		t.Errorf("%+v, %v", st, err)
	}
}
