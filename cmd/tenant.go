package cmd

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

var tenants = &noun{
	kind: "tenant", plural: "tenants", arg: "SLUG", member: "slug",
	example: `acme --display-name "Acme Inc."`,
	create:  mutation.OpTenantCreate, update: mutation.OpTenantUpdate, delete: mutation.OpTenantDelete,
	fields: func(in *input) {
		in.text("display-name", "display_name", "name to show")
		in.text("issuer", "issuer", "issuer `URL` of its tokens (https)")
		in.choice("state", "state", "whether it is in use", "active", "suspended")
	},
	table: tenantTable,
}

func newTenant(env *Env) *cobra.Command {
	return nounCommand(env, tenants, "Tenants: the customers of the platform")
}

func tenantTable(e *Env, items []json.RawMessage) (table, error) {
	t := table{titles: []string{"SLUG", "STATE", "NAME", "ISSUER", "AGE>"}}
	if e.flags.output == formatWide {
		t.titles = []string{"SLUG", "STATE", "NAME", "ISSUER", "LABELS", "REVISION>", "CREATED", "UPDATED", "BY"}
	}
	for _, item := range items {
		var d store.Tenant
		if err := json.Unmarshal(item, &d); err != nil {
			return t, err
		}
		row := []string{d.Slug, d.State, d.DisplayName, d.Issuer}
		t.rows = append(t.rows, e.tail(row, d.Labels, d.Meta))
	}
	return t, nil
}
