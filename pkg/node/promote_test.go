package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestAMemberThatWantedNoVoteGetsOneByHand(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.quiet["n2"], c.dirs["n2"] = true, t.TempDir()+"/n2"
	n2 := c.open("n2", true)
	c.until("n2 is a member", func() error {
		if !c.leader().isMember(n2.ID()) {
			return errors.New("not yet")
		}
		return nil
	})
	c.mu.Lock()
	c.mute = map[string]bool{"n2": true}
	c.mu.Unlock()
	leader := c.leader()
	c.until("nobody hears of n2", func() error {
		if _, ok := leader.heard(n2.ID()); ok {
			return errors.New("it was heard a moment ago")
		}
		return nil
	})
	if _, err := leader.Promote(c.soon(), "n2", access.Local("0")); !errors.Is(err, store.ErrRefused) || !strings.Contains(err.Error(), "answer") {
		t.Errorf("promoted while it does not answer: %v", err)
	}
	if leader.records()[n2.ID()].Voter {
		t.Error("a refused promotion is on record")
	}
	c.mu.Lock()
	c.mute = nil
	c.mu.Unlock()
	var p *Promotion
	c.until("it is promoted", func() (err error) {
		p, err = leader.Promote(c.soon(), "n2", access.Local("0"))
		return err
	})
	if !p.Changed || p.Member.Name != "n2" || p.Voters != 2 || p.CanLose != 0 {
		t.Errorf("promoted: %+v", p)
	}
	if !leader.records()[n2.ID()].Voter {
		t.Error("its record says that it wants no vote")
	}
	if p, err := leader.Promote(c.soon(), n2.ID(), access.Local("0")); err != nil || p.Changed {
		t.Errorf("again: %+v, %v", p, err)
	}
	if _, err := leader.Promote(c.soon(), "n9", access.Local("0")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	if _, err := leader.Promote(c.soon(), "n2", access.Actor{Role: access.Operator, Name: "ana"}); !errors.Is(err, store.ErrDenied) {
		t.Errorf("by an operator: %v", err)
	}
}

// What keeps a member from its vote is said with the figures.
func TestWhatKeepsAMemberFromItsVote(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.quiet["n2"], c.dirs["n2"] = true, t.TempDir()+"/n2"
	n2 := c.open("n2", true)
	leader := c.leader()
	var m Member
	c.until("n2 is ready", func() error {
		var ok bool
		all, _ := leader.Roster()
		if m, ok = memberNamed(all, "n2"); !ok {
			return errors.New("no member")
		}
		if not := leader.unready(m); not != nil {
			return errors.New(not.why)
		}
		return nil
	})
	good := n2.Progress()
	good.Seen = time.Now()
	said := func(change func(*Progress)) string {
		p := good
		p.Seen = time.Now()
		change(&p)
		leader.peers.set(m.ID, peerState{Progress: p})
		if not := leader.unready(m); not != nil && !not.soon {
			return not.why
		}
		return ""
	}
	for want, change := range map[string]func(*Progress){
		"entries behind (at 0 of ":           func(p *Progress) { p.Applied = 0; leaderAhead(c) },
		"does not have the cluster key ":     func(p *Progress) { p.KeyCheck, p.KeyChecks = "", nil },
		"cannot be written (disk_full)":      func(p *Progress) { p.Degraded, p.Reason = true, "disk_full" },
		"too little disk space is left":      func(p *Progress) { p.Short = true },
		"not good (certificate_expired)":     func(p *Progress) { p.Standing = "certificate_expired" },
		"it has not answered for 1m0s at 12": func(p *Progress) { p.Seen = time.Now().Add(-time.Minute) },
	} {
		c.until("it says "+want, func() error { // the watch may come between with the truth
			if got := said(change); !strings.Contains(got, want) {
				return errors.New(got)
			}
			return nil
		})
	}
}

// leaderAhead makes more entries than a member may be behind.
func leaderAhead(c *trio) {
	for c.leader().raft().CommitIndex() <= promoteWithin {
		c.must(tenantNamed("t" + strings.ToLower(time.Now().Format("150405.000000000")[7:])))
	}
}

// A member that has caught up for a moment is not stable yet.
func TestAVoteIsGivenToWhoKeepsUpForAWhile(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	leader := c.leader()
	leader.cfg.steady = time.Hour
	c.dirs["n2"] = t.TempDir() + "/n2"
	n2 := c.open("n2", true)
	c.until("it keeps up", func() error {
		if leader.spells.well(leader.lead.Load(), n2.ID()) < 2*watchEvery {
			return errors.New("not yet")
		}
		return nil
	})
	if n := leader.voters(); n != 1 {
		t.Errorf("%d voters", n)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if _, err := leader.Promote(ctx, "n2", access.Local("0")); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "it has kept up for ") {
		t.Errorf("promoted by hand: %v", err)
	}
}
