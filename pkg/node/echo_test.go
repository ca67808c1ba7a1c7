package node

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/store"
)

// called is a call to a voter that waits to be answered.
type called struct {
	voter  raft.ServerID
	answer chan error
}

// Answers count from voters that were asked after the round began, and only a
// majority decides.
func TestAnAnswerToAnEarlierCallConfirmsNothing(t *testing.T) {
	t.Parallel()
	calls := make(chan called)
	q := &electorate{ask: func(s raft.Server, term uint64) error {
		c := called{s.ID, make(chan error)}
		calls <- c
		return <-c.answer
	}}
	servers := []raft.Server{{ID: "n1"}, {ID: "n2"}, {ID: "n3"}, {ID: "guest", Suffrage: raft.Nonvoter}}
	over := make(chan struct{})
	confirm := func() chan error {
		done := make(chan error, 1)
		go func() { done <- q.confirm("n1", servers, 7, over, nil) }()
		return done
	}
	take := func() called {
		t.Helper()
		select {
		case c := <-calls:
			return c
		case <-time.After(patience):
			t.Fatal("no voter is asked")
			return called{}
		}
	}
	first := confirm()
	before := map[raft.ServerID]called{}
	for range 2 {
		c := take()
		before[c.voter] = c
	}
	before["n2"].answer <- nil
	if err := <-first; err != nil {
		t.Fatalf("one of two others is a majority with this node: %v", err)
	}

	second := confirm() // n3 has not answered the first call yet
	again := take()
	if again.voter != "n2" {
		t.Fatalf("asked %s", again.voter)
	}
	before["n3"].answer <- nil // that it led then
	third := take()            // and is asked anew
	select {
	case err := <-second:
		t.Fatalf("confirmed by an answer of before: %v", err)
	default:
	}
	third.answer <- errLater
	select {
	case err := <-second:
		t.Fatalf("decided by one of two: %v", err)
	default:
	}
	again.answer <- nil
	if err := <-second; err != nil {
		t.Errorf("n2 has answered: %v", err)
	}
}

func TestOnlyAMajorityConfirms(t *testing.T) {
	t.Parallel()
	no := fmt.Errorf("no: %w", errLater)
	for _, c := range []struct {
		fact    string
		answers []error // of the other voters
		ok      bool
	}{
		{"alone", nil, true},
		{"one of two", []error{no}, false},
		{"both of two", []error{nil}, true},
		{"two of three", []error{nil, no}, true},
		{"one of three", []error{no, no}, false},
		{"two of four", []error{no, nil, no}, false},
		{"three of four", []error{no, nil, nil}, true},
		{"two of five", []error{no, nil, no, no}, false},
		{"three of five", []error{no, nil, nil, no}, true},
	} {
		servers := []raft.Server{{ID: "self"}}
		answers := map[raft.ServerID]error{}
		for i, err := range c.answers {
			id := raft.ServerID(fmt.Sprint("n", i))
			servers, answers[id] = append(servers, raft.Server{ID: id}), err
		}
		q := &electorate{ask: func(s raft.Server, term uint64) error { return answers[s.ID] }}
		if err := q.confirm("self", servers, 1, nil, nil); (err == nil) != c.ok || err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v", c.fact, err)
		}
	}
}

// A voter that cannot be asked is asked again: its connection may have been lost.
func TestAVoterThatCannotBeAskedIsAskedAgain(t *testing.T) {
	t.Parallel()
	asked := 0
	q := &electorate{ask: func(raft.Server, uint64) error {
		if asked++; asked < 3 {
			return errors.New("the connection broke")
		}
		return nil
	}}
	if err := q.confirm("n1", []raft.Server{{ID: "n1"}, {ID: "n2"}}, 1, nil, nil); err != nil || asked != 3 {
		t.Errorf("%v after %d calls", err, asked)
	}
}

// A leader that is a leader no longer does not wait for voters that are silent.
func TestARoundEndsWithTheLeadership(t *testing.T) {
	t.Parallel()
	silent := make(chan error)
	defer close(silent)
	q := &electorate{ask: func(raft.Server, uint64) error { return <-silent }}
	over := make(chan struct{})
	close(over)
	if err := q.confirm("n1", []raft.Server{{ID: "n1"}, {ID: "n2"}}, 1, over, nil); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// Who was removed while it was asked never answers, and the leader that removed it
// leads on: the round ends, and the next one asks those that are left.
func TestARoundEndsWhenOthersAreTheVoters(t *testing.T) {
	t.Parallel()
	q := &electorate{ask: func(raft.Server, uint64) error { return errors.New("the certificate was revoked") }}
	looks := 0
	others := func() bool { looks++; return looks > 1 }
	if err := q.confirm("n1", []raft.Server{{ID: "n1"}, {ID: "n2"}}, 1, make(chan struct{}), others); err != errOthers || looks != 2 {
		t.Errorf("looked %d times: %v", looks, err)
	}
}

// A read that began before the other voter was removed is answered, and so are
// those after it.
func TestARemovalHoldsUpNoRead(t *testing.T) {
	t.Parallel()
	c := trioIn(t, "")
	c.wires, c.timeout = newWires(), 4*time.Second // it leads on for two seconds without the other one
	c.found("n1", "n2")
	leader, gone := c.leader(), c.others()[0]
	read := make(chan error, 1)
	c.mu.Lock()
	c.step = func(n *Node, at string) error {
		switch at {
		case "decided":
			c.wires.cut(leader.Name(), gone.Name())
			c.wires.cut(gone.Name(), leader.Name())
			before := n.confirm.enter(n.confirmIndex)
			go func() { <-before.done; read <- before.err }()
			c.until("that read is under way", func() error {
				n.confirm.mu.Lock()
				defer n.confirm.mu.Unlock()
				if n.confirm.next == before {
					return errors.New("it waits for the one before")
				}
				return nil
			})
		case "revoked":
			c.wires.heal()
		}
		return nil
	}
	c.mu.Unlock()
	if _, err := c.removal(RemoveRequest{Name: gone.Name(), ID: uuid.NewString()}); err != nil {
		t.Fatal(err)
	}
	if _, err := leader.ReadIndex(c.soon()); err != nil {
		t.Errorf("a read after it: %v", err)
	}
	select {
	case err := <-read:
		if err != errOthers && err != nil {
			t.Errorf("the read before it: %v", err)
		}
	case <-time.After(patience):
		t.Error("the read before it has no answer")
	}
}
