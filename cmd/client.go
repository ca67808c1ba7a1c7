package cmd

import (
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// authMethods are the values of token_endpoint_auth_method (RFC 7591).
var authMethods = []string{"none", "client_secret_basic", "client_secret_post", "private_key_jwt"}

var clients = &noun{
	kind: "client", plural: "clients", arg: "ID", member: "client_id", optional: true,
	example: `web -t acme --public --redirect-uri https://app.acme.example/cb`,
	create:  mutation.OpClientCreate, update: mutation.OpClientUpdate, delete: mutation.OpClientDelete,
	fields: func(in *input) {
		in.text("name", "client_name", "name to show")
		in.preset("public", "token_endpoint_auth_method", "none", "has no secret: short for --token-endpoint-auth-method none")
		in.preset("confidential", "token_endpoint_auth_method", "client_secret_basic",
			"has a secret: short for --token-endpoint-auth-method client_secret_basic")
		in.choice("token-endpoint-auth-method", "token_endpoint_auth_method", "how it authenticates", authMethods...)
		in.cmd.MarkFlagsMutuallyExclusive("public", "confidential", "token-endpoint-auth-method")
		in.list("redirect-uri", "redirect_uris", "`URI` that users come back to (repeatable)")
		in.list("grant-type", "grant_types", "grant `TYPE` it may use (repeatable)")
		in.list("scope", "scopes", "`SCOPE` it may ask for (repeatable)")
		in.toggle("enabled", "enabled", "whether it may be used")
		in.completeList("scope", "scope")
		completeFlag(in.cmd, "grant-type", completeWords("authorization_code", "refresh_token", "client_credentials"))
	},
	table: clientTable,
}

func newClient(env *Env) *cobra.Command {
	return nounCommand(env, clients, "OAuth clients: the applications of a tenant", newSecret(env))
}

func clientTable(e *Env, items []json.RawMessage) (table, error) {
	t := table{titles: []string{"ID", "TYPE", "REDIRECTS>", "SCOPES>", "AGE>"}}
	if e.flags.output == formatWide {
		t.titles = []string{"ID", "TYPE", "REDIRECTS>", "SCOPES>", "NAME", "AUTH", "ENABLED", "LABELS", "REVISION>", "CREATED", "UPDATED", "BY"}
	}
	for _, item := range items {
		var d store.Client
		if err := json.Unmarshal(item, &d); err != nil {
			return t, err
		}
		kind := "confidential"
		if d.TokenEndpointAuthMethod == "none" {
			kind = "public"
		}
		row := []string{d.ClientID, kind, strconv.Itoa(len(d.RedirectURIs)), strconv.Itoa(len(d.Scopes))}
		if e.flags.output == formatWide {
			row = append(row, d.ClientName, d.TokenEndpointAuthMethod, yesNo(d.Enabled))
		}
		t.rows = append(t.rows, e.tail(row, d.Labels, d.Meta))
	}
	return t, nil
}
