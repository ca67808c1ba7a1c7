package node

import (
	"slices"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// Clocks. The time of every command is the leader's, and what is too late ends
// things for good: keys leave a keyset, requests are forgotten while their
// retries are under way. So no leader trusts its clock alone. Nodes tell each
// other the time when they ask how they are; the median of the voters heard is
// the time of the cluster, and a leader that is far off it takes that one for its
// commands, proposes no expiry, and lets another voter lead.
const (
	// maxSkew is how far a clock may be off the median.
	maxSkew = 5 * time.Second
	// maxRound is the longest round trip from which a clock is read: it is wrong
	// by up to half of it.
	maxRound = time.Second
	// clockMemory is how long a clock that was read counts: crystals drift by less
	// than a hundredth of a second meanwhile, and that of a leader that has just
	// died helps to judge the next one's.
	clockMemory = time.Minute
)

// clocks are those of the other members, as they were read. A clock that is read
// runs on by this node's monotonic time, so that a step of this node's own clock
// shows at once.
type clocks struct {
	mu sync.Mutex
	m  map[string]reading
}

// reading is what a clock showed at a moment.
type reading struct {
	shown time.Time // by that clock
	at    time.Time // by this machine's monotonic time
}

// now is what the clock shows by now.
func (r reading) now() time.Time { return r.shown.Add(time.Since(r.at)) }

// read notes what a member said of its clock in answer to a question that was
// asked then. The answer is taken for half of the round trip old.
func (c *clocks) read(id string, shownUS int64, asked time.Time) {
	round := time.Since(asked)
	if shownUS == 0 || round > maxRound { // an earlier version says nothing
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[string]reading{}
	}
	c.m[id] = reading{time.UnixMicro(shownUS).Add(round / 2), time.Now()}
}

func (c *clocks) of(id string) (reading, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, ok := c.m[id]
	return r, ok && time.Since(r.at) < clockMemory
}

// clusterTime is the median of the clocks of the voters, this node's own
// included. It is not known while fewer than a majority were heard, nor where
// there is nobody else to ask.
func (n *Node) clusterTime() (median time.Time, known bool) {
	own := n.cfg.Now()
	var shown []time.Time
	voters := 0
	for _, m := range n.Members() {
		if !m.Voter {
			continue
		}
		voters++
		if m.ID == n.self.NodeID {
			shown = append(shown, own)
		} else if r, ok := n.clocks.of(m.ID); ok {
			shown = append(shown, r.now())
		}
	}
	return medianOf(shown, voters)
}

// medianOf is the median of the clocks of some voters. Of two that are in the
// middle it is the earlier one, and so of two at all: too early, things last
// longer than they should; too late, they end, and nothing brings them back.
func medianOf(shown []time.Time, voters int) (median time.Time, known bool) {
	if len(shown) < max(voters/2+1, 2) {
		return time.Time{}, false
	}
	slices.SortFunc(shown, time.Time.Compare)
	return shown[(len(shown)-1)/2], true
}

// skew is how far this node's clock is ahead of the cluster's, negative if it is
// behind, and 0 if it is not off by more than it may be or nobody can tell.
func (n *Node) skew() time.Duration {
	_, off := n.timed()
	return off
}

// timed is the time of a command that this node proposes now as the leader: its
// clock's, or the cluster's if that is far off, and how far.
func (n *Node) timed() (now time.Time, off time.Duration) {
	now = n.cfg.Now()
	if median := n.median.Load(); median != nil {
		if off = beyond(now.Sub(median.now())); off != 0 {
			now = median.now()
		}
	}
	return now, off
}

func (n *Node) commandTime() time.Time {
	now, _ := n.timed()
	return now
}

// nowAtMost is the time by which things end in a command of this time: command
// time may have been led ahead by a clock that nobody could judge.
func (n *Node) nowAtMost(command store.Time) store.Time {
	return min(command, store.TimeOf(n.commandTime()))
}

// unjudged reports whether there are others to compare this node's clock with and
// too few of them were heard: it may be off by anything then.
func (n *Node) unjudged() bool {
	return n.cfg.Probe != nil && n.median.Load() == nil && n.voters() > 1
}

// offOf is how far a member's clock is ahead of the cluster's.
func (n *Node) offOf(id string) time.Duration {
	r, read := n.clocks.of(id)
	median := n.median.Load()
	if !read || median == nil {
		return 0
	}
	return r.now().Sub(median.now())
}

func beyond(off time.Duration) time.Duration {
	if off.Abs() <= maxSkew {
		return 0
	}
	return off
}

// lookAtClock finds the time of the cluster anew, and says once when the clock of
// this node is off it, and when it no longer is.
func (n *Node) lookAtClock() {
	if median, known := n.clusterTime(); known {
		n.median.Store(&reading{median, time.Now()})
	} else {
		n.median.Store(nil)
	}
	off := n.skew()
	switch before := n.skewed.Swap(off != 0); {
	case off != 0 && !before:
		n.cfg.Log.Error("clock_skew: the clock of this node is off the median of the voters; set it right (does time synchronization run?)",
			"off", signed(off), "allowed", maxSkew, "leads", n.Leads())
	case off == 0 && before:
		n.cfg.Log.Info("the clock of this node is no longer off the median of the voters")
	}
}

// signed writes a duration with its sign: +3m12s is ahead.
func signed(d time.Duration) string {
	d = d.Round(time.Second)
	if d > 0 {
		return "+" + d.String()
	}
	return d.String()
}
