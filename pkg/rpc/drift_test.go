package rpc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

var wrongState = store.Errorf(store.CodeIntegrity, "its state is not the majority's").WithHint("ask another node")

// A server whose state is not the majority's sends everybody elsewhere; where
// there is nowhere else a command ends at once, and nothing was done.
func TestAServerWithAWrongStateSendsPeopleElsewhere(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	now := time.Now()
	ana := member(t, ca, access.Admin, "ana", 1, now)
	odd := &fake{leads: true, unsound: wrongState}
	p := openPort(t, odd, member(t, ca, access.Node, "n1", 1, now), nil, nil)
	sound := &fake{leads: true, img: stateWith(t, nil), restore: func(archive io.Reader) (*Restored, error) {
		_, err := io.Copy(io.Discard, archive)
		return &Restored{}, err
	}}
	good := openPort(t, sound, member(t, ca, access.Node, "n2", 1, now), nil, nil)
	for what, do := range everyWay(clientOf(t, &ana, p.address)) {
		if what == "once" { // Health tells what is the matter
			continue
		}
		var e *store.Error
		if err := do(soon(t)); !errors.As(err, &e) || e.Code != store.CodeIntegrity || e.Hint != "ask another node" ||
			!strings.Contains(e.Message, "server "+p.address+": its state is not the majority's") {
			t.Errorf("%s where there is no other server: %v", what, err)
		}
	}
	if odd.mu.Lock(); len(odd.writes) > 0 {
		t.Error("the write was looked at")
	}
	odd.mu.Unlock()
	for what := range everyWay(nil) {
		if err := everyWay(clientOf(t, &ana, p.address, good.address))[what](soon(t)); err != nil {
			t.Errorf("%s where there is another server: %v", what, err)
		}
	}
	sound.mu.Lock()
	defer sound.mu.Unlock()
	if len(sound.writes) != 1 {
		t.Errorf("%d writes came to the other server", len(sound.writes))
	}
}

// A server that cannot be reached may be starting: it is waited for.
func TestAWrongStateIsNoReasonToGiveUpTheOthers(t *testing.T) {
	t.Parallel()
	_, path := serveFake(t, &fake{unsound: wrongState})
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	ana := member(t, newAuthority(t), access.Admin, "ana", 1, time.Now())
	_, err := clientOf(t, &ana, "unix:"+path, nobodyAt(t)).Write(ctx, someWrite())
	var e *store.Error
	if !errors.As(err, &e) || e.Code != store.CodeUnavailable || !strings.Contains(e.Hint, "its state is not the majority's") {
		t.Errorf("err = %v", err)
	}
}

// At its socket such a server still says how it is, and takes the repair.
func TestAServerWithAWrongStateTellsHowItIs(t *testing.T) {
	t.Parallel()
	f := &fake{unsound: wrongState, leads: true, self: &SelfCheck{Faults: []Fault{}}, at: []Progress{{Drifted: true}, {}}}
	c, _ := serveFake(t, f)
	st, err := c.Status(soon(t))
	if err != nil || st.Nodes[0].State != "degraded" || st.Nodes[0].Reason != "drift" {
		t.Errorf("status: %+v, %v", st, err)
	}
	if _, err := c.Health(soon(t), false); err != nil {
		t.Errorf("health: %v", err)
	}
	if _, err := c.Check(soon(t), CheckArgs{Repair: true}); err != nil || f.repairs != 1 {
		t.Errorf("check: %d repairs, %v", f.repairs, err)
	}
	for what, call := range map[string]func(context.Context) error{
		"get": func(ctx context.Context) error {
			_, err := c.Get(ctx, GetArgs{Kind: "tenant", Name: "acme"})
			return err
		},
		"list": func(ctx context.Context) error {
			_, err := c.List(ctx, ListArgs{Kind: "tenant", Read: ReadOptions{Stale: true}})
			return err
		},
	} {
		if err := call(soon(t)); !errors.Is(err, store.ErrIntegrity) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// fetching is a node that asks another one, over TLS.
func fetching(t *testing.T, f *fake, as access.Role) *Server {
	t.Helper()
	ca := newAuthority(t)
	p := openPort(t, f, member(t, ca, access.Node, "n1", 1, time.Now()), nil, nil)
	own := member(t, ca, as, "n2", 1, time.Now())
	dialler := clientOf(t, &own, p.address)
	asks := &fake{img: store.NewImage(), dial: func(_ Member, protocol string) (net.Conn, error) {
		return dialler.dial(soon(t), p.address, protocol)
	}}
	return &Server{node: asks, peers: newPeers(asks)}
}

func TestANodeGivesItsStateToAnother(t *testing.T) {
	t.Parallel()
	f := &fake{img: stateWith(t, nil), digests: map[uint64]string{5: "d"}}
	s, m := fetching(t, f, access.Node), Member{ID: "id-1"}
	var head snapshot.Manifest
	var got *snapshot.Contents
	err := s.FetchState(soon(t), m, 4, func(h snapshot.Manifest, archive io.Reader) (err error) {
		head = h
		got, err = snapshot.Read(archive, snapshot.Limits{})
		return err
	})
	if err != nil || head.StateDigest != f.img.StateDigest() || head.Index != 5 || got.Image.StateDigest() != head.StateDigest || f.waited != 4 {
		t.Errorf("%+v, %v, waited for %d", head, err, f.waited)
	}
	if d, err := s.DigestAt(soon(t), m, 5, "x"); d != "d" || err != nil {
		t.Errorf("digest %q, %v", d, err)
	}
	if _, err := s.DigestAt(soon(t), m, 6, "x"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a digest that is not known: %v", err)
	}
	f.unsound = wrongState
	if err := s.FetchState(soon(t), m, 4, nil); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("a state that is wrong is given away: %v", err)
	}
}

func TestAStateIsNotForPeople(t *testing.T) {
	t.Parallel()
	s := fetching(t, &fake{img: stateWith(t, nil)}, access.Admin)
	err := s.FetchState(soon(t), Member{ID: "id-1"}, 0, func(snapshot.Manifest, io.Reader) error { return errors.New("given") })
	if !errors.Is(err, store.ErrDenied) {
		t.Errorf("err = %v, want denied", err)
	}
}

// A state that is cut off is not taken for a whole one.
func TestAStateThatIsCutOffIsNotTaken(t *testing.T) {
	t.Parallel()
	var whole bytes.Buffer
	img := stateWith(t, nil)
	if err := snapshot.Write(&whole, img, "cluster-1"); err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		var req streamRequest
		readJSON(there, maxHead, &req)
		m := snapshot.ManifestOf(img, "cluster-1")
		writeJSON(there, streamReply{Manifest: &m})
		writeChunk(there, whole.Bytes()[:whole.Len()/2])
	}()
	asks := &fake{img: store.NewImage(), dial: func(Member, string) (net.Conn, error) { return here, nil }}
	s := &Server{node: asks, peers: newPeers(asks)}
	err := s.FetchState(soon(t), Member{}, 0, func(_ snapshot.Manifest, archive io.Reader) error {
		_, err := snapshot.Read(archive, snapshot.Limits{})
		return err
	})
	closed := errors.Is(err, io.ErrClosedPipe) // a net.Pipe takes no deadline once its other end is closed
	if err == nil || !closed && !strings.Contains(fmt.Sprint(err), "unexpected EOF") {
		t.Errorf("err = %v", err)
	}
}
