package rpc

import (
	"context"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// probeWait is how long a member may take to say how it is.
const probeWait = time.Second

func (s *Server) status(ctx context.Context) *ClusterStatus {
	members, self := s.node.Members(), s.progress()
	out := &ClusterStatus{FormatVersion: store.FormatVersion, Kind: "cluster_status", ClusterID: s.node.ClusterID(),
		Term: self.Term, CommitIndex: self.Commit, Counts: s.node.Image().Counts(), Nodes: make([]NodeStatus, len(members))}
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	said := make([]*Progress, len(members))
	var asked sync.WaitGroup
	for i, m := range members {
		if m.ID == s.node.ID() {
			said[i] = &self
			continue
		}
		asked.Go(func() {
			if p, err := s.Probe(ctx, m); err == nil {
				said[i] = &p
			}
		})
	}
	asked.Wait()
	voters, alive := 0, 0
	for i, m := range members {
		p := said[i]
		if m.Voter {
			voters++
			if p != nil {
				alive++
			}
		}
		if p != nil {
			out.Term, out.CommitIndex = max(out.Term, p.Term), max(out.CommitIndex, p.Commit, p.Applied) // what is applied is committed, also by who has not heard so since its start
		}
	}
	for i, m := range members {
		out.Nodes[i] = s.nodeStatus(m, said[i], out)
	}
	var roll mutation.Rollover
	s.node.Image().System(applier.RekeyPath, &roll)
	out.Rekey, out.Autoremove = roll.Phase, autoremove(s.node.Image())
	out.CanLose = max(alive-(voters/2+1), 0)
	return out
}

// progress is how this node is, its audit log included.
func (s *Server) progress() Progress {
	p := s.node.Progress()
	if s.records() {
		p.Unrecorded = s.record.Failing()
	}
	return p
}

func (s *Server) nodeStatus(m Member, p *Progress, all *ClusterStatus) NodeStatus {
	n := NodeStatus{Name: m.Name, ID: m.ID, Address: m.Address, Role: "follower", State: "lost", LastContactMS: -1}
	if !m.Voter {
		n.Role = "non-voter"
	}
	var gone mutation.LeavingNodes
	if s.node.Image().System(applier.LeavingPath, &gone) && gone.Of(m.ID) != nil {
		l := gone.Of(m.ID)
		n.Reason, n.Leaving = "leaving", &Leaving{l.Why, l.At}
	}
	if p == nil { // what it said when it was last heard
		if last, ok := s.node.LastHeard(m.ID); ok {
			n.Lag, n.LastContactMS = behind(all, last.Applied), time.Since(last.Seen).Milliseconds()
		}
		return n
	}
	n.State = "alive"
	switch {
	case p.Drifted, p.Split:
		n.State, n.Reason = "degraded", "drift"
	case p.Degraded:
		n.State, n.Reason = "degraded", p.Reason
	case p.Short: // its files are good, but it keeps the whole cluster from taking changes
		n.State, n.Reason = "degraded", "disk_full"
	case p.KeyLess: // it cannot open what is sealed, nor lead
		n.State, n.Reason = "degraded", "cluster_key"
	case p.Standing != "":
		n.State, n.Reason = "degraded", p.Standing
	case p.Unrecorded != "":
		n.State, n.Reason = "degraded", "audit_log"
	case p.SkewMS != 0 && p.Leads: // nothing expires under it
		n.State, n.Reason = "degraded", "clock_skew"
	case p.SkewMS != 0: // it does all that a follower has to
		n.Reason = "clock_skew"
	}
	n.ClockSkewMS = p.SkewMS
	if p.Leads && p.Term == all.Term {
		n.Role, all.Leader = "leader", m.Name
	}
	n.AppliedIndex, n.PublishedIndex, n.Revision, n.LastContactMS = p.Applied, p.Published, p.Revision, p.ContactMS
	n.Digest, n.StateDigest, n.Version = p.Digest, p.StateDigest, p.Version
	n.Lag = behind(all, p.Applied)
	return n
}

// autoremove is when members that are lost are removed, nil: never.
func autoremove(img *store.Image) *Autoremove {
	var a mutation.Autoremove
	if !img.System(applier.AutoremovePath, &a) {
		return nil
	}
	return (*Autoremove)(&a)
}

// behind is how many entries a node lacks. What it applied may be newer than
// what the others said a moment before.
func behind(all *ClusterStatus, applied uint64) uint64 {
	return max(all.CommitIndex, applied) - applied
}
