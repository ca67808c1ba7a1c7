package mutation

import (
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

func TestAMutationNamesItsObject(t *testing.T) {
	want := map[Kind]string{
		TenantCreate: "tenant/acme", TenantUpdate: "tenant/acme", TenantDelete: "tenant/acme",
		ClientCreate: "client/acme/web", ClientUpdate: "client/acme/web", ClientDelete: "client/acme/web",
		ScopeCreate: "scope/acme/web", ScopeDelete: "scope/acme/web", KeyRotate: "keyset/acme",
	}
	for kind := range kinds {
		ref := Mutation{Kind: kind, Tenant: "acme", Name: "web"}.Ref()
		switch name, operators := want[kind], !strings.HasPrefix(string(kind), "sys."); {
		case operators && (ref.String() != name || ref.Path() == ""):
			t.Errorf("%s is about %s (%s), want %s", kind, ref, ref.Path(), name)
		case !operators && (ref.Kind != "system" || ref.Path() != ""):
			t.Errorf("%s is about %s (%s), want no document", kind, ref, ref.Path())
		}
	}
}

// TestTheCatalogueIsClosed holds the catalogue to the one that was released: a
// kind that is taken out makes old logs unreadable, one that is added needs a
// higher level.
func TestTheCatalogueIsClosed(t *testing.T) {
	want := strings.Fields(`tenant.create tenant.update tenant.delete client.create client.update client.delete
		scope.create scope.delete key.rotate sys.epoch sys.found sys.recover sys.level sys.cert sys.revoke sys.ca sys.answer sys.export sys.rekey sys.rewrap
		sys.token sys.token.revoke sys.enrol sys.leave sys.vote sys.autoremove sys.stage.begin sys.stage.put sys.stage.commit sys.stage.abort`)
	if len(kinds) != len(want) || Level != 1 {
		t.Errorf("%d kinds at level %d, want %d at level 1", len(kinds), Level, len(want))
	}
	for _, kind := range want {
		if !kinds[Kind(kind)] {
			t.Errorf("%s is not in the catalogue", kind)
		}
	}
}

// TestNoOperationIsTheClustersOwn: what an operator may ask for and what the
// cluster says to itself are two sets.
func TestNoOperationIsTheClustersOwn(t *testing.T) {
	for op, want := range map[Op]Outcome{
		OpTenantCreate: Created, OpTenantUpdate: Updated, OpTenantDelete: Deleted,
		OpClientCreate: Created, OpClientUpdate: Updated, OpClientDelete: Deleted,
		OpClientSecretRotate: Rotated, OpClientSecretRevoke: Revoked,
		OpScopeCreate: Created, OpScopeUpdate: Updated, OpScopeDelete: Deleted,
		OpKeyRotate: Rotated, OpKeyRevoke: Revoked,
	} {
		if got := OutcomeOf(op); got != want || strings.HasPrefix(string(op), "sys.") {
			t.Errorf("OutcomeOf(%s) = %s, want %s", op, got, want)
		}
	}
	if ref := (store.Ref{Kind: "system", Name: string(SysFound)}); ref.Path() != "" {
		t.Errorf("%s has the path %q", ref, ref.Path())
	}
}
