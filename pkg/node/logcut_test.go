package node

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

// TestALogIsCutBehindARestore: raft itself would keep thousands of entries, however
// large. A node that was away meanwhile gets the snapshot in their place.
func TestALogIsCutBehindARestore(t *testing.T) {
	t.Parallel()
	c := trioIn(t, "")
	c.keptLog = 500 << 10
	c.found("n1", "n2", "n3")
	var away *Node
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			away = n
		}
	}
	c.agree()
	behind := away.Image().Index
	c.close(away.Name())
	c.large(30)
	archive := archiveOf(t, c.leader())
	c.emptied()
	for { // by whoever leads: a slow machine may lose a leader of two
		_, err := restore(c.leader(), archive, "r", false)
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
			t.Fatal(err)
		}
	}
	for i := range keptEntries + 10 { // these stay
		c.must(tenantNamed(fmt.Sprintf("later-%d", i)))
	}
	c.until("a short log on both", func() error {
		for _, n := range c.running() {
			first, err := n.logs.FirstIndex()
			if err != nil {
				t.Fatal(err)
			}
			if first <= behind+1 || n.longLog() > 0 {
				return fmt.Errorf("that of %s begins at %d, with %d bytes of old entries", n.Name(), first, n.longLog())
			}
		}
		return nil
	})
	c.open(away.Name(), false)
	c.agree()
	for _, name := range []string{"n1", "n2", "n3"} {
		c.close(name)
		c.open(name, false)
	}
	c.agree()
	if img := c.leader().Image(); img.Get(store.TenantPath("large-29")) == nil {
		t.Error("what was restored is gone")
	}
}
