package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

const tenants = 20

func tenant(i int) string { return fmt.Sprintf("tenant-%02d", i%tenants) }
func client(i int) string { return fmt.Sprintf("client-%08d", i) }

// patch is the request for a client, about 600 bytes: what a web application with
// a few addresses asks for.
func patch(i int) json.RawMessage {
	host := fmt.Sprintf("app-%08d.customers.example.com", i)
	uris := []string{"https://" + host + "/oauth/callback", "https://" + host + "/oauth/silent-renew", "https://" + host + "/signin-oidc"}
	return json.RawMessage(fmt.Sprintf(`{"client_name":"Application %d of the customer portal","description":"%s",`+
		`"token_endpoint_auth_method":"none","redirect_uris":["%s"],"post_logout_redirect_uris":["https://%s/signed-out"],`+
		`"allowed_cors_origins":["https://%s"],"grant_types":["authorization_code","refresh_token"],"contacts":["owner-%d@example.com"]}`,
		i, "Signs customers in, and shows them their orders and invoices.", strings.Join(uris, `","`), host, host, i))
}
