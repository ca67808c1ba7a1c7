package rpc

import (
	"context"
	"errors"
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
