package node

import "time"

// yield hands leadership over when this node cannot do what a leader has to, and
// another voter can: write its files, seal, tell the time, and has the right state.
func (n *Node) yield(again *reluctance) {
	why := ""
	switch files := n.files.Status(); {
	case files.Degraded:
		why = files.Reason
	case n.lacksKey(n.Image()):
		why = "cluster_key"
	case n.skew() != 0 && n.mayYieldClock():
		if n.askAround(); n.skew() == 0 { // all clocks were set at once
			return
		}
		why = clockSkew
	default:
		*again = reluctance{}
		return
	}
	if time.Now().Before(again.from) {
		return
	}
	failed := false
	for _, to := range n.successors() {
		if to.unfit != "" {
			return
		}
		if why == clockSkew && to.off.Abs() > maxSkew/2 { // or it might think the same of itself, and hand it back
			continue
		}
		n.cfg.Log.Warn("this node cannot lead as it is; handing leadership over", "to", to.Name, "reason", why)
		err := n.handTo(to.Member)
		if err == nil {
			if now := time.Now(); why == clockSkew {
				n.clockYield.Store(&now)
			}
			return
		}
		failed = true
		n.cfg.Log.Warn("leadership was not handed over", "to", to.Name, "error", err)
	}
	if failed { // nobody could change anything meanwhile
		again.wait(time.Now())
		n.cfg.Log.Warn("nobody takes leadership over", "again_in", again.pause)
	}
}

// reluctance is how long a leader that could not hand over waits before it tries
// again: while it tries, nobody can change anything.
type reluctance struct {
	from  time.Time // the next attempt
	pause time.Duration
}

const (
	firstReluctance = time.Second
	maxReluctance   = time.Minute
)

func (r *reluctance) wait(now time.Time) {
	r.pause = min(max(2*r.pause, firstReluctance), maxReluctance)
	r.from = now.Add(r.pause)
}

// mayYieldClock reports whether this node has not handed leadership over because
// of its clock for a while.
func (n *Node) mayYieldClock() bool {
	last := n.clockYield.Load()
	return last == nil || time.Since(*last) > clockPause
}

const (
	clockSkew  = "clock_skew"
	clockPause = 10 * time.Second // between two times that a node hands leadership over because of its clock
)
