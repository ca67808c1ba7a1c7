package node

import (
	"context"
	"fmt"
	"testing"

	"github.com/cpctl/cpctl/pkg/access"
)

// Removed, and the authority replaced, while it was down: nobody can tell it so
// over TLS, and it says what it sees.
func TestANodeThatTheAuthorityLeftBehindSaysSo(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	away := "n1"
	if c.leader().Name() == away {
		away = "n2"
	}
	c.close(away)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.leader().Remove(ctx, RemoveRequest{Name: away}, access.Local("0")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.rotate(RotateRequest{}); err != nil {
		t.Fatal(err)
	}
	c.phase(CASwitched)
	c.until("nobody needs the old authority", func() error {
		_, err := c.rotate(RotateRequest{Retire: true})
		return err
	})
	gone := c.open(away, false)
	c.until("it says that the authority was replaced", func() error {
		if s := gone.Progress().Standing; s != "authority_replaced" {
			return fmt.Errorf("%q", s)
		}
		return nil
	})
	for _, n := range c.running() {
		if s := n.Progress().Standing; n != gone && s != "" {
			t.Errorf("%s, which went along, says %s", n.Name(), s)
		}
	}
}

func TestStrangersAreSpokenOfOnceAndOnlyIfNobodyIsKnown(t *testing.T) {
	var s strangers
	if s.only() {
		t.Error("nobody was met")
	}
	for i, step := range []struct {
		id       string
		stranger bool
		say      bool
		only     bool
	}{
		{"a", false, false, false}, {"b", true, false, false}, {"a", true, true, true}, {"b", true, false, true},
		{"a", false, false, false}, {"a", true, false, true},
	} {
		if say := s.met(step.id, step.stranger); say != step.say || s.only() != step.only {
			t.Errorf("step %d: say %v, only %v", i, say, s.only())
		}
	}
}
