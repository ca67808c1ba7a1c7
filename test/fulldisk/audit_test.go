package fulldisk

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/test/live"
)

// TestAnAuditLogOnAFullDisk: where it is required nothing is done that cannot be
// recorded, and reads go on; elsewhere writes go on and the lines are counted.
func TestAnAuditLogOnAFullDisk(t *testing.T) {
	needMounts(t)
	c := live.New(t)
	required := c.Add("--audit-required")
	free := c.Add()
	for _, n := range c.Nodes {
		mountTmpfs(t, filepath.Join(n.Dir, "audit"), "size=1m")
	}
	c.Found()
	c.Must(required.Server(), "tenant", "create", tenant)
	for _, n := range c.Nodes {
		fill(t, filepath.Join(n.Dir, "audit"))
	}
	// What is left of the page of the last line is used up first.
	live.Until(t, "changes are refused", func() bool {
		return quick(t, c, required, "tenant", "update", tenant, "--label", "a=b").Exit == 10
	})
	r := quick(t, c, required, "tenant", "create", "globex")
	for _, want := range []string{"audit log", filepath.Join(required.Dir, "audit", "audit.jsonl"), "no space left", "--audit-required"} {
		if r.Exit != 10 || !strings.Contains(r.Stderr, want) {
			t.Errorf("exit %d, want 10 and a message with %q:\n%s", r.Exit, want, r.Stderr)
		}
	}
	if r := quick(t, c, required, "snapshot", "save", filepath.Join(c.Dir, "x.tgz")); r.Exit != 10 {
		t.Errorf("snapshot save: exit %d, want 10\n%s", r.Exit, r.Stderr)
	}
	degraded(t, c, required, "audit_log")
	c.Must(required.Server(), "tenant", "get", tenant)
	if r := c.Cpctl(required.Server(), nil, "tenant", "get", "globex"); r.Exit != 3 {
		t.Errorf("what was refused is there: exit %d", r.Exit)
	}

	for range 20 {
		c.Must(free.Server(), "tenant", "update", tenant, "--display-name", "again")
	}
	degraded(t, c, free, "audit_log")
	if log := free.LogTail(); !strings.Contains(log, "the audit log cannot be written") {
		t.Errorf("the log says\n%s", log)
	}

	for _, n := range c.Nodes {
		unfill(t, filepath.Join(n.Dir, "audit"))
		c.Must(n.Server(), "tenant", "update", tenant, "--display-name", "after "+n.Name)
		live.Until(t, "node "+n.Name+" is alive again", func() bool { return state(c, n, n).State == "alive" })
	}
	c.Must(free.Server(), "audit", "--verify")
	if r := c.Must(free.Server(), "audit", "-o", "wide"); !strings.Contains(string(r.Stdout), "lines that could not be written: ") {
		t.Errorf("no line says that some were lost:\n%s", r.Stdout)
	}
	c.Identical()
}
