package cluster

import (
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/test/live"
)

// typed runs a command as an operator types it, with a --timeout.
func typed(t *testing.T, c *live.Cluster, timeout time.Duration, servers string, args ...string) *live.Result {
	t.Helper()
	r, err := live.Run(c.Dir, nil, append(args, "-s", servers, "--timeout", timeout.String())...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// says checks an exit code and that each of these words is on one of the streams.
func says(t *testing.T, r *live.Result, exit int, words ...string) {
	t.Helper()
	out := string(r.Stdout) + r.Stderr
	for _, w := range words {
		if r.Exit != exit || !strings.Contains(out, w) {
			t.Errorf("cpctl %s: exit %d, want %d and %q\n%s", strings.Join(r.Args, " "), r.Exit, exit, w, out)
			return
		}
	}
}

// A leader that is cut off leads no longer: the majority goes on, and the one that
// is alone answers nothing that may be old, says so, and says what would do.
func TestALeaderThatIsCutOffAnswersNothingThatMayBeOld(t *testing.T) {
	c := live.FoundApart(t, 3)
	c.Must(c.Nodes[0].Server(), "tenant", "create", "acme", "--display-name", "Old")
	r := count(t, c, "counted")
	alone, others := c.Leader(), c.Followers()
	began := time.Now()
	c.Net.Split(others)
	r.more(t)
	inTime(t, "the majority wrote", began)
	awaitLeader(t, c, others)
	c.Must(others[0].Server(), "tenant", "update", "acme", "--display-name", "New")
	at := r.answered(alone)

	const timeout = 1500 * time.Millisecond
	began = time.Now()
	says(t, typed(t, c, timeout, alone.Server(), "tenant", "get", "acme"), 10, "no leader among", `node "`+alone.Name+`" knows of no leader`, "--stale", "cpctl cluster status")
	if took := time.Since(began); took > timeout+soon/2 {
		t.Errorf("a read with --timeout %s took %s", timeout, took)
	}
	says(t, typed(t, c, timeout, alone.Server(), "snapshot", "save", c.Dir+"/s.tgz"), 10, `node "`+alone.Name+`" knows of no leader`, "see: cpctl cluster status")
	says(t, typed(t, c, timeout, alone.Server(), "tenant", "create", "late"), 10, `node "`+alone.Name+`" knows of no leader`)
	says(t, typed(t, c, live.Patience, alone.Server(), "tenant", "get", "acme", "--stale"), 0, "Old", alone.Name+" last heard of a leader ", " ago")
	says(t, typed(t, c, live.Patience, alone.Server(), "cluster", "status"), 0, "leader     none", "0 voters; 1 of 3 is in reach, and writes need 2", "lost")
	says(t, typed(t, c, live.Patience, alone.Server(), "cluster", "health"), 10, "node "+alone.Name+" is not ready", "knows of no leader")
	says(t, typed(t, c, live.Patience, alone.Server()+","+others[0].Server(), "tenant", "get", "acme"), 0, "New")
	says(t, typed(t, c, live.Patience, others[1].Server(), "cluster", "status"), 0, "can lose   0 voters\n")
	if now := r.answered(alone); now > at {
		t.Errorf("%s has answered %d reads while it was alone", alone.Name, now-at)
	}

	c.Net.Heal()
	r.serves(t, alone, "after healing")
	says(t, typed(t, c, live.Patience, alone.Server(), "tenant", "get", "acme"), 0, "New")
	says(t, typed(t, c, live.Patience, alone.Server(), "tenant", "get", "late"), 3, `tenant "late"`)
	r.end()
	c.Identical()
}
