package node

import (
	"math/rand/v2"
	"time"

	"github.com/hashicorp/raft"
)

// Raft asks how long a follower has heard nothing of its leader only when a timer
// fires, which is one to three heartbeat timeouts after the last word; and who has
// not asked yet refuses its vote to who has. So it takes the later of two
// followers to elect a leader, a second and more after the last one died.
//
// This watches the silence all the time, and has raft ask when it has lasted a
// little longer than raft bears at least. It makes nobody vote: that is raft's.
const (
	// Silence is broken off after so many percent of the heartbeat timeout, by lot:
	// two that ask at the same moment would split the votes.
	leastSilence = 120
	mostSilence  = 160
)

// silence is how a follower bears it.
type silence struct {
	bearable func() time.Duration
	heard    time.Time     // when the leader was last heard
	bears    time.Duration // how long after that raft is asked; 0: it was
}

// unbearable reports whether it is time to ask raft, once for each silence.
func (s *silence) unbearable(state raft.RaftState, last, now time.Time) bool {
	switch {
	case state != raft.Follower || last.IsZero():
	case !last.Equal(s.heard):
		s.heard, s.bears = last, s.bearable()
	case s.bears > 0 && now.Sub(last) > s.bears:
		s.bears = 0
		return true
	}
	return false
}

// watchSilence runs until the node stops.
func (n *Node) watchSilence() {
	tick := time.NewTicker(max(n.cfg.HeartbeatTimeout/25, time.Millisecond))
	defer tick.Stop()
	s := silence{bearable: func() time.Duration {
		return n.cfg.HeartbeatTimeout * time.Duration(leastSilence+rand.IntN(mostSilence-leastSilence)) / 100
	}}
	for {
		select {
		case <-tick.C:
		case <-n.closing:
			return
		}
		if r := n.raft(); s.unbearable(r.State(), r.LastContact(), time.Now()) {
			n.askRaft(r)
		}
	}
}

// askRaft makes a follower's timer fire: raft does so when its timeouts become
// shorter, since it may be late by the new ones.
func (n *Node) askRaft(r *raft.Raft) {
	was := r.ReloadableConfig()
	longer := was
	longer.HeartbeatTimeout++
	longer.ElectionTimeout++
	for _, c := range []raft.ReloadableConfig{longer, was} {
		if err := r.ReloadConfig(c); err != nil {
			n.cfg.Log.Warn("raft was not asked for its leader", "error", err)
		}
	}
}
