package rpc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// Who is cut off says so, and for how long; a read has a way out.
func TestANodeWithoutALeaderSaysWhatWouldDo(t *testing.T) {
	t.Parallel()
	c, path := serveFake(t, &fake{img: stateWith(t, map[string]string{"tenants/acme/tenant.json": `{"slug":"acme"}`})})
	get := GetArgs{Kind: "tenant", Name: "acme"}
	for name, tt := range map[string]struct {
		call func() error
		way  bool
	}{
		"a read of one":    {func() error { _, err := c.Get(within(t, time.Second), get); return err }, true},
		"a read of a kind": {func() error { _, err := c.List(within(t, time.Second), ListArgs{Kind: "tenant"}); return err }, true},
		"what is no read": {func() error {
			_, err := repeat[AdmitArgs, struct{}](within(t, time.Second), c, "Cluster.Admit", AdmitArgs{})
			return err
		}, false},
	} {
		var e *store.Error
		err := tt.call()
		for range 4 { // a machine that stands still may cut off an attempt that was sent
			if errors.Is(err, store.ErrUnknown) {
				err = tt.call()
			}
		}
		if !errors.As(err, &e) || e.Code != store.CodeUnavailable {
			t.Fatalf("%s: %v", name, err)
		}
		if !strings.HasPrefix(e.Hint, `unix:`+path+` node "n1" knows of no leader; it last heard of one 1.5s ago`) {
			t.Errorf("%s: hint %q", name, e.Hint)
		}
		if !strings.Contains(e.Hint, "\nif a majority of the voters is lost for good: cpctl recover plan --help") {
			t.Errorf("%s: hint %q", name, e.Hint)
		}
		if strings.HasSuffix(e.Hint, "\nwhat a node knew last: the same command with --stale") != tt.way {
			t.Errorf("%s: hint %q", name, e.Hint)
		}
	}
	get.Read.Stale = true
	if _, err := c.Get(soon(t), get); err != nil {
		t.Errorf("the way out: %v", err)
	}
}
