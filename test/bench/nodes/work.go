package nodes

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
)

// Tenants is over how many the documents are spread.
const Tenants = 20

// Tenant is the tenant of a document, and ClientID its name there.
func Tenant(i int) string   { return fmt.Sprintf("tenant-%02d", i%Tenants) }
func ClientID(i int) string { return fmt.Sprintf("client-%08d", i) }

// Patch is the request for a client, about 600 bytes: what a web application with
// a few addresses asks for.
func Patch(i int) json.RawMessage {
	host := fmt.Sprintf("app-%08d.customers.example.com", i)
	uris := []string{"https://" + host + "/oauth/callback", "https://" + host + "/oauth/silent-renew", "https://" + host + "/signin-oidc"}
	return json.RawMessage(fmt.Sprintf(`{"client_name":"Application %d of the customer portal","description":"%s",`+
		`"token_endpoint_auth_method":"none","redirect_uris":["%s"],"post_logout_redirect_uris":["https://%s/signed-out"],`+
		`"allowed_cors_origins":["https://%s"],"grant_types":["authorization_code","refresh_token"],"contacts":["owner-%d@example.com"]}`,
		i, "Signs customers in, and shows them their orders and invoices.", strings.Join(uris, `","`), host, host, i))
}

// Create asks for the document with that number.
func Create(i int) *mutation.Request {
	return &mutation.Request{Op: mutation.OpClientCreate, Tenant: Tenant(i), Name: ClientID(i), Patch: Patch(i)}
}

// MakeTenants makes those that the documents are of.
func MakeTenants(ctx context.Context, client *rpc.Client) error {
	for i := range Tenants {
		quota := json.RawMessage(`{"quotas":{"max_clients":1000000}}`)
		if _, err := client.Write(ctx, &mutation.Request{Op: mutation.OpTenantCreate, Name: Tenant(i), Patch: quota}); err != nil {
			return err
		}
	}
	return nil
}
