package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/test/live"
)

// A node whose clock is wrong follows as well as any other. It says so, and does
// not lead: neither when the leader leaves, nor when somebody asks for it.
func TestANodeWhoseClockIsOffSaysSoAndDoesNotLead(t *testing.T) {
	c := found(t, 3)
	c.Must(c.Servers(0), "tenant", "create", "acme")
	off := c.Followers()[0]
	off.Stop()
	off.Clock = 20 * time.Minute
	off.Start()
	c.Await(off)

	var said rpc.NodeStatus
	live.Until(t, "it says that its clock is off", func() bool {
		for _, m := range c.Status().Nodes {
			if m.Name == off.Name {
				said = m
			} else if m.Reason != "" {
				t.Fatalf("%s says %s", m.Name, m.Reason)
			}
		}
		return said.Reason != ""
	})
	if ahead := time.Duration(said.ClockSkewMS) * time.Millisecond; said.Reason != "clock_skew" || said.State != "alive" || (ahead-off.Clock).Abs() > 5*time.Second {
		t.Errorf("status: %+v", said)
	}
	if out := string(c.Must(c.Servers(0), "cluster", "status").Stdout); !strings.Contains(out, "clock_skew, 20m ahead") && !strings.Contains(out, "clock_skew, 19m ahead") {
		t.Errorf("cluster status:\n%s", out)
	}
	if r := c.Cpctl(c.Servers(0), nil, "cluster", "transfer", off.Name); r.Exit != 8 || !strings.Contains(r.Stderr, "has a clock that is off the others' by") {
		t.Errorf("transfer: exit %d\n%s", r.Exit, r.Stderr)
	}
	left := c.Leader()
	left.Stop()
	if next := c.Leader(); next == off {
		t.Errorf("%s leads", off.Name)
	}
	doc := live.Decode[struct {
		Updated time.Time `json:"updated_at"`
	}](t, c.Must(off.Server(), "tenant", "update", "acme", "--display-name", "Acme", "-o", "json"))
	if ahead := time.Until(doc.Updated); ahead > time.Minute {
		t.Errorf("the time of the cluster is %s ahead", ahead)
	}
	left.Start()
	c.Await(left)
	c.Identical()
}
