package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A follower that hears its leader is not led astray by being asked.
func TestAskingRaftForItsLeaderDeposesNone(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	leader := c.leader()
	term := leader.raft().CurrentTerm()
	for i := range 50 {
		for _, n := range c.others() {
			n.askRaft(n.raft())
		}
		c.must(tenantNamed(fmt.Sprintf("t%d", i)))
	}
	for _, n := range c.running() {
		if got := n.raft().CurrentTerm(); got != term {
			t.Errorf("%s is in term %d, was in %d", n.Name(), got, term)
		}
		if cfg := n.raft().ReloadableConfig(); cfg.HeartbeatTimeout != c.timeout || cfg.ElectionTimeout != c.timeout {
			t.Errorf("%s has timeouts of %s and %s now, want %s", n.Name(), cfg.HeartbeatTimeout, cfg.ElectionTimeout, c.timeout)
		}
	}
}

// Silence counts from the last word, and raft is asked once for each.
func TestSilenceIsBrokenOffOnce(t *testing.T) {
	t.Parallel()
	s := silence{bearable: func() time.Duration { return 700 * time.Millisecond }}
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	for _, tt := range []struct {
		name      string
		state     raft.RaftState
		last, now time.Time
		want      bool
	}{
		{"never heard of", raft.Follower, time.Time{}, at(0), false},
		{"heard just now", raft.Follower, at(0), at(10), false},
		{"silent, but bearable", raft.Follower, at(0), at(690), false},
		{"silent for too long", raft.Follower, at(0), at(710), true},
		{"still silent", raft.Follower, at(0), at(900), false},
		{"heard again", raft.Follower, at(1000), at(1001), false},
		{"silent again", raft.Follower, at(1000), at(1800), true},
		{"a leader hears nobody", raft.Leader, at(1000), at(9000), false},
		{"a candidate asks already", raft.Candidate, at(2000), at(9000), false},
	} {
		if got := s.unbearable(tt.state, tt.last, tt.now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
