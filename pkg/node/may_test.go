package node

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// The node that let somebody in may not have heard that they were sent away: the
// leader does, whatever is asked for.
func TestTheLeaderJudgesTheCertificateOfWhoAsks(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n := c.leader()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	admin := func(serial, name, authority string) access.Actor {
		t.Helper()
		id := mutation.Certificate{Serial: serial, Role: "admin", Name: name, Authority: authority, IssuedAt: store.TimeOf(time.Now()), NotAfter: store.TimeOf(time.Now().Add(time.Hour))}
		if err := n.recordCertificate(ctx, id, "test"); err != nil {
			t.Fatal(err)
		}
		return access.Actor{Role: access.Admin, Name: name, Serial: serial, Source: "10.0.0.9:1"}
	}
	ada, eve, old := admin("a1", "ada", ""), admin("e1", "eve", ""), admin("o1", "otto", "an authority of before")
	if _, _, err := n.Revoke(ctx, "e1", ada); err != nil {
		t.Fatal(err)
	}
	unknown := access.Actor{Role: access.Admin, Name: "mallory", Serial: "none", Source: "10.0.0.9:1"}
	for _, who := range []struct {
		by   access.Actor
		says string
	}{{eve, "was revoked by admin/ada"}, {old, "was retired"}, {unknown, "is not on record"}} {
		for what, do := range map[string]func() error{
			"write":  func() error { _, err := n.Write(ctx, tenantNamed("acme"), who.by); return err },
			"token":  func() error { _, err := n.RevokeToken(ctx, "0123456789abcdef", who.by); return err },
			"remove": func() error { _, err := n.Remove(ctx, RemoveRequest{Name: "n1"}, who.by); return err },
			"enrol":  func() error { _, err := n.Enrol(ctx, EnrolRequest{Name: "n9"}, who.by); return err },
			"export": func() error { _, _, err := n.RecordExport(ctx, "acme", "", "n1", who.by); return err },
			"revoke": func() error { _, _, err := n.Revoke(ctx, "a1", who.by); return err },
			"rotate": func() error { _, err := n.Rotate(ctx, RotateRequest{}, who.by); return err },
			"rekey":  func() error { _, err := n.Rekey(ctx, "r", who.by); return err },
			"restore": func() error {
				_, err := n.Restore(ctx, strings.NewReader(""), RestoreRequest{ID: "r"}, who.by)
				return err
			},
		} {
			if err := do(); !errors.Is(err, store.ErrDenied) || !strings.Contains(err.Error(), who.says) {
				t.Errorf("%s, %s: %v, want denied with %q", who.by, what, err, who.says)
			}
		}
	}
	req := tenantNamed("acme")
	req.ID = "made-by-ada"
	if _, err := n.Write(ctx, req, ada); err != nil {
		t.Errorf("who is good: %v", err)
	}
}
