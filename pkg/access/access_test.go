package access

import (
	"errors"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestWhoMayDoWhat is the table of rights once more, by the people of it: a
// right that is given or taken by mistake shows here.
func TestWhoMayDoWhat(t *testing.T) {
	people := map[string]Actor{
		"root":           Local("0"),
		"admin":          {Role: Admin, Name: "ada"},
		"operator":       {Role: Operator, Name: "ana"},
		"bound operator": {Role: Operator, Name: "ana", Tenant: "acme"},
		"reader":         {Role: Reader, Name: "ci"},
		"bound reader":   {Role: Reader, Name: "ci", Tenant: "acme"},
		"node":           {Role: Node, Name: "n1"},
		"newcomer":       Newcomer("00112233445566ff", "10.0.0.9:4711"),
		"nobody":         {},
		"a later role":   {Role: "owner", Name: "eve"},
	}
	admins := "root, admin"
	for _, tt := range []struct {
		action Action
		tenant string
		may    string // everybody else may not
	}{
		{Health, "", "root, admin, operator, reader"},
		{Health, "acme", "root, admin, operator, reader, bound operator, bound reader"},
		{Renew, "acme", "root, admin, operator, reader, bound operator, bound reader, node"},
		{Read, "acme", "root, admin, operator, reader, bound operator, bound reader"},
		{Read, "globex", "root, admin, operator, reader"},
		{Read, "", "root, admin, operator, reader"},
		{Write, "acme", "root, admin, operator, bound operator"},
		{Write, "globex", "root, admin, operator"},
		{Write, store.GlobalOwner, "root, admin, operator"},
		{Write, "", "root, admin, operator"},
		{Tenants, "acme", "root, admin, operator"},
		{Status, "", "root, admin, operator, reader"},
		{Status, "acme", "root, admin, operator, reader"},
		{Save, "acme", admins},
		{Restore, "acme", admins},
		{Export, "acme", admins},
		{Inspect, "acme", admins},
		{Members, "", admins},
		{Tokens, "", admins},
		{Certs, "", admins},
		{Rotate, "", admins},
		{Auditing, "", admins},
		{"something new", "acme", ""},
	} {
		for name, who := range people {
			want := false
			for _, w := range strings.Split(tt.may, ", ") {
				want = want || w == name
			}
			err := Check(who, tt.action, tt.tenant)
			if got := err == nil; got != want {
				t.Errorf("%s does %s of %q: allowed %v, want %v", name, tt.action, tt.tenant, got, want)
			}
			if err != nil && !errors.Is(err, store.ErrDenied) {
				t.Errorf("%s does %s: %v is not denied", name, tt.action, err)
			}
		}
	}
	if rows := len(Table()); rows != 15 {
		t.Errorf("the table has %d rows; the test above knows 15", rows)
	}
}

func TestEveryRequestNeedsARight(t *testing.T) {
	for op, want := range map[mutation.Op]Action{
		mutation.OpTenantCreate: Tenants, mutation.OpTenantUpdate: Tenants, mutation.OpTenantDelete: Tenants,
		mutation.OpClientCreate: Write, mutation.OpScopeDelete: Write, mutation.OpKeyRotate: Write, "unknown": Write,
	} {
		action, tenant := OfRequest(&mutation.Request{Op: op, Tenant: "acme", Name: "acme"})
		if action != want || tenant != "acme" {
			t.Errorf("%s is %s of %q, want %s of acme", op, action, tenant, want)
		}
	}
}

func TestActorsAreNamedAlike(t *testing.T) {
	for want, a := range map[string]Actor{
		"unix/1000":      Local("1000"),
		"operator/ana":   {Role: Operator, Name: "ana", Source: "10.0.0.9:4711"},
		"reader/ci@acme": {Role: Reader, Name: "ci", Tenant: "acme"},
		"node/n1":        {Role: Node, Name: "n1"},
		"token/0011":     Newcomer("0011", "10.0.0.9:4711"),
	} {
		if got := a.String(); got != want {
			t.Errorf("%+v is called %q, want %q", a, got, want)
		}
	}
}
