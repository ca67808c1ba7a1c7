package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// settleWait bounds how long a check waits for members to be at one index, so
// that their digests can be compared. While there are writes they may never be.
const settleWait = 2 * time.Second

// differs is the problem of a member whose state is not that of the others.
const differs = "another state than the other members at index %d"

// check has every member check itself, all at once, and compares their digests.
func (s *Server) check(ctx context.Context, args CheckArgs) *CheckReport {
	members := s.node.Members()
	out := &CheckReport{FormatVersion: store.FormatVersion, Kind: "check_report", ClusterID: s.node.ClusterID(),
		Repair: args.Repair, Nodes: make([]NodeCheck, len(members))}
	var asked sync.WaitGroup
	for i, m := range members {
		asked.Go(func() {
			c, err := s.checkOne(ctx, m, args)
			n := NodeCheck{Name: m.Name, ID: m.ID, Faults: []Fault{}}
			if err != nil {
				n.Reason = err.Error()
			} else {
				n.Checked, n.Reason, n.Index, n.StateDigest, n.Hint = c.Unchecked == "", c.Unchecked, c.Index, c.StateDigest, c.Hint
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

// compare looks for members whose state differs from that of the others at the
// same index: more than half of those that are there are right.
func (s *Server) compare(ctx context.Context, members []Member, nodes []NodeCheck) {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	for pause := firstPause; !level(nodes) && rest(ctx, &pause); {
		for i, m := range members {
			if nodes[i].StateDigest == "" {
				continue // it did not answer
			}
			p := s.node.Progress()
			if m.ID != s.node.ID() {
				var err error
				if p, err = s.Probe(ctx, m); err != nil {
					continue
				}
			}
			nodes[i].Index, nodes[i].StateDigest = p.Applied, p.StateDigest
		}
	}
	type state struct {
		index  uint64
		digest string
	}
	votes, at := map[state]int{}, map[uint64]int{}
	for _, n := range nodes {
		if n.StateDigest != "" {
			votes[state{n.Index, n.StateDigest}]++
			at[n.Index]++
		}
	}
	for i, n := range nodes {
		if n.StateDigest != "" && 2*votes[state{n.Index, n.StateDigest}] <= at[n.Index] {
			nodes[i].Faults = append(nodes[i].Faults, Fault{Path: "(state)", Problem: fmt.Sprintf(differs, n.Index)})
		}
	}
}

// level reports whether all members that answered are at one index.
func level(nodes []NodeCheck) bool {
	var index uint64
	for _, n := range nodes {
		if n.StateDigest == "" {
			continue
		}
		if index != 0 && n.Index != index {
			return false
		}
		index = n.Index
	}
	return true
}
