package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// settleWait bounds how long a check waits for members to come to one index, so
// that their digests can be compared.
const settleWait = 2 * time.Second

// stateFault is the path of a fault of the state itself, which is no file.
const stateFault = "(state)"

// The problems of a member whose state is not that of the others.
const (
	differs  = "another state than the majority's at index %d (digest %.12s, the majority's %.12s)"
	disputed = "members have different states at index %d, here with digest %.12s, and no majority of the voters tells which is right"
)

// undecided says what to do about the latter.
const undecided = "nothing is repaired by itself here. If a voter is down, bring it back: it may decide. Else save an archive of the state that is right\n" +
	"(cpctl snapshot save FILE --server ADDRESS OF ITS NODE), remove the nodes of the other one and join them again with empty directories"

// check has every member check itself, all at once, and compares their digests.
func (s *Server) check(ctx context.Context, args CheckArgs) *CheckReport {
	members := s.node.Members()
	out := &CheckReport{FormatVersion: store.FormatVersion, Kind: "check_report", ClusterID: s.node.ClusterID(),
		Repair: args.Repair, Nodes: make([]NodeCheck, len(members))}
	var asked sync.WaitGroup
	for i, m := range members {
		asked.Go(func() {
			c, err := s.checkOne(ctx, m, args)
			n := NodeCheck{Name: m.Name, ID: m.ID, Voter: m.Voter, Faults: []Fault{}}
			if err != nil {
				n.Reason = err.Error()
			} else {
				n.Checked, n.Reason, n.Index, n.StateDigest, n.Hint, n.Drift = c.Unchecked == "", c.Unchecked, c.Index, c.StateDigest, c.Hint, c.Drift
				n.Faults = append(n.Faults, c.Faults...)
			}
			out.Nodes[i] = n
		})
	}
	asked.Wait()
	s.compare(ctx, members, out.Nodes)
	return out
}

func (s *Server) checkOne(ctx context.Context, m Member, args CheckArgs) (*SelfCheck, error) {
	if m.ID == s.node.ID() {
		return s.node.Check(ctx, args.Repair), nil
	}
	c, err := ask[CheckArgs, *SelfCheck](ctx, s.peers, m, "Peer.Check", nil, args)
	if err == nil && c == nil {
		err = errors.New("it said nothing")
	}
	return c, err
}

// compare asks all members what their state was at one index, and looks for those
// that were not what the majority of voters was. A member that knows it has said so.
func (s *Server) compare(ctx context.Context, members []Member, nodes []NodeCheck) {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	index := s.node.Progress().Applied
	for _, n := range nodes { // it may be behind
		index = max(index, n.Index)
	}
	digests := make([]string, len(members))
	var asked sync.WaitGroup
	for i, m := range members {
		if nodes[i].StateDigest == "" {
			continue // it did not answer
		}
		asked.Go(func() {
			var err error
			if m.ID == s.node.ID() {
				digests[i], err = s.node.DigestAt(ctx, index, "")
			} else {
				digests[i], err = s.DigestAt(ctx, m, index, "")
			}
			if err != nil {
				s.log.Debug("a member does not say what its state was", "name", m.Name, "index", index, "error", err)
			}
		})
	}
	asked.Wait()
	weigh(index, members, nodes, digests)
}

// weigh compares the digests of members at an index, "" of those that did not say.
func weigh(index uint64, members []Member, nodes []NodeCheck, digests []string) {
	voters, votes := 0, map[string]int{}
	for i, m := range members {
		if m.Voter {
			if voters++; digests[i] != "" {
				votes[digests[i]]++
			}
		}
	}
	right, seen := "", map[string]bool{}
	for i := range members {
		if digests[i] != "" {
			nodes[i].Index, nodes[i].StateDigest = index, digests[i]
			seen[digests[i]] = true
		}
		if 2*votes[digests[i]] > voters {
			right = digests[i]
		}
	}
	for i := range nodes {
		if n := &nodes[i]; digests[i] != "" && digests[i] != right && len(seen) > 1 {
			n.doubt(right)
		}
	}
}

// doubt adds the fault of another state than the right one, "" if nobody knows
// which that is, unless the member has found it itself.
func (n *NodeCheck) doubt(right string) {
	if slices.ContainsFunc(n.Faults, func(f Fault) bool { return f.Path == stateFault && !f.Repaired }) {
		return
	}
	if n.Drift = (&Drift{Index: n.Index, Digest: n.StateDigest, Right: right}); right != "" {
		n.Faults = append(n.Faults, Fault{Path: stateFault, Problem: fmt.Sprintf(differs, n.Index, n.StateDigest, right)})
		return
	}
	n.Faults = append(n.Faults, Fault{Path: stateFault, Problem: fmt.Sprintf(disputed, n.Index, n.StateDigest)})
	n.Hint = cmp.Or(n.Hint, undecided)
}
