package rpc

import (
	"context"
	"errors"
	"net/rpc"
	"testing"
	"time"
)

func TestCallsBeyondThePaceWait(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Unix(1_700_000_000, 0)
	for range callsAtOnce {
		if spent := p.take(1, now); spent > callsAtOnce {
			t.Fatalf("%v are spent after so few calls", spent)
		}
	}
	if spent := p.take(1, now); spent != callsAtOnce+1 {
		t.Errorf("%v are spent, want one too many", spent)
	}
	if spent := p.take(0, now.Add(time.Second)); spent != callsAtOnce+1-callsPerSecond {
		t.Errorf("%v are spent a second later", spent)
	}
	if spent := p.take(0, now.Add(time.Hour)); spent != 0 {
		t.Errorf("%v are spent an hour later", spent)
	}

	// A call waits for what was sent before it, and ends with its connection.
	p = pace{}
	if err := p.wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.sent(callBytes * (callsAtOnce + callsPerSecond/5))
	begun := time.Now()
	if err := p.wait(t.Context()); err != nil || time.Since(begun) < 100*time.Millisecond {
		t.Errorf("waited %s, %v; want a fifth of a second", time.Since(begun), err)
	}
	p.sent(1 << 40)
	gone, leave := context.WithCancel(t.Context())
	leave()
	if err := p.wait(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("one who is gone: %v", err)
	}
}

// The next call of a peer may wait long for its turn. Nobody waits with it once
// an answer could not be written.
func TestNobodyWaitsForTheTurnOfAConnectionThatIsGone(t *testing.T) {
	t.Parallel()
	ana, _, err := newGuests().enter(person("ana"), ProtocolRPC, nil)
	if err != nil {
		t.Fatal(err)
	}
	ahead := time.Now().Add(time.Hour)
	ana.pace.take(1e9, ahead)
	c, client := pipeOf(t, ana)
	ended := make(chan error, 1)
	go func() { ended <- c.ReadRequestHeader(new(rpc.Request)) }()
	client.Write(framed(1, "Cluster.List", `{"args":{}}`))
	deadline := time.Now().Add(patience)
	for spent := 0.0; spent <= 1e9; { // it waits
		if time.Now().After(deadline) {
			t.Fatal("the call takes no turn")
		}
		time.Sleep(time.Millisecond)
		ana.pace.mu.Lock()
		spent = ana.pace.spent
		ana.pace.mu.Unlock()
	}
	client.Close()
	if err := c.WriteResponse(&rpc.Response{Seq: 0}, struct{}{}); err == nil {
		t.Fatal("an answer was written to nobody")
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the call was read")
		}
	case <-time.After(patience):
		t.Error("its next call is still waited for")
	}
}
