package cmd

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// What a command line asks of the cluster.
func TestRequests(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"acme.yaml": "slug: acme\n# who they are\ndisplay_name: Acme\nlabels: {env: prod, old: x}\n",
		"web.json":  `{"tenant":"acme","client_id":"web","revision":4}`,
		"secret":    "s3cret\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ args, want string }{
		{"tenant create acme", `{"op":"tenant.create","tenant":"acme","name":"acme"}`},
		{"tenant create tenant/acme --if-not-exists --dry-run", `{"dry_run":true,"op":"tenant.create","tenant":"acme","name":"acme","if_not_exists":true}`},
		{"tenant create acme --display-name A --issuer https://a --state suspended",
			`{"op":"tenant.create","tenant":"acme","name":"acme","patch":{"display_name":"A","issuer":"https://a","state":"suspended"}}`},
		{"tenant create -f DIR/acme.yaml --display-name B --label new=1 --label old-",
			`{"op":"tenant.create","tenant":"acme","name":"acme","patch":{"slug":"acme","display_name":"B","labels":{"env":"prod","old":null,"new":"1"}}}`},
		{"tenant update acme --label env=prod --label old-", `{"op":"tenant.update","tenant":"acme","name":"acme","patch":{"labels":{"env":"prod","old":null}}}`},
		{"tenant update acme --if-revision 0 --request-id r.1 --issuer x",
			`{"id":"r.1","op":"tenant.update","tenant":"acme","name":"acme","patch":{"issuer":"x"},"if_revision":0}`},
		{"tenant update acme --set token_policy.access_token_ttl=10m --set quotas={\"max_clients\":5} --add contacts=a=b --remove contacts=\"c\"",
			`{"op":"tenant.update","tenant":"acme","name":"acme","set":[{"path":"token_policy.access_token_ttl","value":"10m"},{"path":"quotas","value":{"max_clients":5}}],"add":[{"path":"contacts","value":"a=b"}],"remove":[{"path":"contacts","value":"c"}]}`},
		{"tenant update acme --set oauth_policy.require_pkce=false --set issuer=", `{"op":"tenant.update","tenant":"acme","name":"acme","set":[{"path":"oauth_policy.require_pkce","value":false},{"path":"issuer","value":""}]}`},
		{"tenant delete acme -y --ignore-not-found", `{"op":"tenant.delete","tenant":"acme","name":"acme","ignore_not_found":true}`},
		{"client create -t acme", `{"op":"client.create","tenant":"acme"}`},
		{"client create client/acme/web --public", `{"op":"client.create","tenant":"acme","name":"web","patch":{"token_endpoint_auth_method":"none"}}`},
		{"client create web -t acme --confidential --enabled=false", `{"op":"client.create","tenant":"acme","name":"web","patch":{"token_endpoint_auth_method":"client_secret_basic","enabled":false}}`},
		{"client create -f DIR/web.json", `{"op":"client.create","tenant":"acme","name":"web","patch":{"tenant":"acme","client_id":"web","revision":4}}`},
		{"client create -f DIR/web.json -t globex", `{"op":"client.create","tenant":"globex","name":"web","patch":{"tenant":"acme","client_id":"web","revision":4}}`},
		{"client create web -t acme --secret-file DIR/secret", `{"op":"client.create","tenant":"acme","name":"web","secret":"s3cret"}`},
		{"client update web -t acme --redirect-uri https://a/?x=1,2 --redirect-uri https://b --scope openid --grant-type refresh_token",
			`{"op":"client.update","tenant":"acme","name":"web","patch":{"redirect_uris":["https://a/?x=1,2","https://b"],"grant_types":["refresh_token"],"scopes":["openid"]}}`},
		{"client secret rotate web -t acme --overlap 7d", `{"op":"client.secret.rotate","tenant":"acme","name":"web","overlap":"168h"}`},
		{"client secret revoke web s1 -t acme -y", `{"op":"client.secret.revoke","tenant":"acme","name":"web","secret_id":"s1"}`},
		{"scope create orders:read -t acme --claim a --claim b --depends-on openid --default --consent never",
			`{"op":"scope.create","tenant":"acme","name":"orders:read","patch":{"claims":["a","b"],"depends_on":["openid"],"default":true,"consent":"never"}}`},
		{"scope create a/b -t acme", `{"op":"scope.create","tenant":"acme","name":"a/b"}`},
		{"scope delete tenant/x -t acme -y --mode detach", `{"op":"scope.delete","tenant":"acme","name":"tenant/x","detach":true}`},
		{"scope delete -y -t acme -- -x", `{"op":"scope.delete","tenant":"acme","name":"-x"}`},
		{"key rotate -t acme --alg ES256", `{"op":"key.rotate","tenant":"acme","alg":"ES256"}`},
		{"key rotate --global", `{"op":"key.rotate","tenant":"global"}`},
		{"key revoke key/acme/k1 -y --reason leaked", `{"op":"key.revoke","tenant":"acme","kid":"k1","reason":"leaked"}`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			w := newWorld()
			if r := w.run(strings.Fields(strings.ReplaceAll(tt.args, "DIR", dir))...); r.code != 0 {
				t.Fatalf("exit %d: %s", r.code, r.err)
			}
			got, err := json.Marshal(w.requests[0])
			if err != nil {
				t.Fatal(err)
			}
			if strings.Replace(string(got), `"id":"",`, "", 1) != tt.want || len(w.requests) != 1 {
				t.Errorf("%d requests\ngot  %s\nwant %s", len(w.requests), got, tt.want)
			}
			if w.closed != len(w.dialled) {
				t.Errorf("%d of %d clients closed", w.closed, len(w.dialled))
			}
		})
	}
}

func TestReads(t *testing.T) {
	w := newWorld()
	w.run("client", "list", "-t", "acme", "-l", "a=b", "-l", "c=d=e", "--limit", "3", "--continue", "x", "--min-index", "9")
	got, _ := json.Marshal(w.lists)
	want := `[{"kind":"client","tenant":"acme","labels":{"a":"b","c":"d=e"},"limit":3,"continue":"x","read":{"min_index":9}}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	w.run("tenant", "get", "acme", "--stale")
	if want := (rpc.GetArgs{Kind: "tenant", Tenant: "acme", Name: "acme", Read: rpc.ReadOptions{Stale: true}}); len(w.gets) != 1 || w.gets[0] != want {
		t.Errorf("got %+v, want %+v", w.gets, want)
	}
}

func TestRotateWaits(t *testing.T) {
	w := newWorld()
	w.fake.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		return &mutation.Answer{Outcome: mutation.Rotated, Name: "keyset/acme", Index: 40}, nil
	}
	w.run("key", "rotate", "-t", "acme", "--wait", "-q").want(t, 0, "keyset/acme rotated\n", "")
	if len(w.gets) != 1 || w.gets[0].Read.MinIndex != 40 {
		t.Errorf("waited with %+v, want a read at index 40", w.gets)
	}
}

// Without --server it is the socket in the data directory, as for the node.
func TestServers(t *testing.T) {
	for _, tt := range []struct {
		name string
		args string
		env  map[string]string
		want string
	}{
		{"the state directory of a user", "", map[string]string{"HOME": "/home/u"}, "unix:/home/u/.local/state/cpctl/cpctl.sock"},
		{"XDG", "", map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "/x"}, "unix:/x/cpctl/cpctl.sock"},
		{"a relative XDG is none", "", map[string]string{"HOME": "/home/u", "XDG_STATE_HOME": "x"}, "unix:/home/u/.local/state/cpctl/cpctl.sock"},
		{"CPCTL_DATA_DIR", "", map[string]string{"CPCTL_DATA_DIR": "/d"}, "unix:/d/cpctl.sock"},
		{"--data-dir", "--data-dir n1", map[string]string{"CPCTL_DATA_DIR": "/d"}, "unix:n1/cpctl.sock"},
		{"CPCTL_SERVER", "", map[string]string{"CPCTL_SERVER": "unix:/a,unix:/b"}, "unix:/a unix:/b"},
		{"--server", "-s unix:/c", map[string]string{"CPCTL_SERVER": "unix:/a"}, "unix:/c"},
	} {
		w := newWorld()
		w.env = tt.env
		w.run(append([]string{"tenant", "list"}, strings.Fields(tt.args)...)...)
		if got := strings.Join(w.dialled[0], " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if got := (&Env{Root: true}).dataDir(); got != "/var/lib/cpctl" {
		t.Errorf("for root: %s", got)
	}
}

// Errors point into the file that they come from.
func TestDocumentErrors(t *testing.T) {
	faults := store.Invalid(`client "web"`, []store.Field{
		{Path: "labels", Message: "too many"},
		{Path: "access_token_ttl", Message: `cannot read "soon" as a duration`},
		{Path: "redirect_uris[0]", Message: "must be absolute"},
	})
	for _, tt := range []struct{ name, text, err string }{
		{"a field in YAML", "client_id: web\nredirect_uris:\n  - x\naccess_token_ttl: soon\n",
			"stdin:4:19: cannot read \"soon\" as a duration\n   3 |   - x\n>  4 | access_token_ttl: soon\n                         ^\n  labels: too many\n  redirect_uris[0]: must be absolute\n"},
		{"a field in JSON", "{\n  \"client_id\": \"web\",\n  \"access_token_ttl\": \"soon\"\n}\n",
			"stdin:3:23: cannot read \"soon\" as a duration\n   2 |   \"client_id\": \"web\",\n>  3 |   \"access_token_ttl\": \"soon\"\n                             ^\n  labels: too many\n  redirect_uris[0]: must be absolute\n"},
		{"fields that the file does not have", "client_id: web\n",
			"client \"web\" is not valid\n  labels: too many\n  access_token_ttl: cannot read \"soon\" as a duration\n  redirect_uris[0]: must be absolute\n"},
		{"broken JSON", "{\"client_id\": \"web\",\n \"x\": }\n", "stdin:2:7: invalid character '}' looking for beginning of value\n   1 | {\"client_id\": \"web\",\n>  2 |  \"x\": }\n             ^\n"},
		{"a name that comes twice", `{"a":1,"a":2}`, "stdin: the document \"a\" is given twice\n"},
		{"a list", "- a\n", "stdin: the document is not an object\n"},
		{"two documents", "client_id: web\n---\nclient_id: b\n", "stdin: holds more than one document\n"},
		{"nothing", " \n", "stdin is empty\n"},
		{"no text", "\xff\xfe", "stdin is no text in UTF-8\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.stdin = tt.text
			w.fake.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) { return nil, faults }
			w.run("client", "update", "web", "-t", "acme", "-f", "-").want(t, 2, "", "cpctl: "+tt.err)
		})
	}
	t.Run("YAML that cannot be read has a place", func(t *testing.T) {
		w := newWorld()
		w.stdin = "client_id: web\nscopes: [a\n"
		r := w.run("client", "update", "web", "-t", "acme", "-f", "-")
		if r.code != 2 || !strings.HasPrefix(r.err, "cpctl: stdin:2:") || !strings.Contains(r.err, ">  2 | scopes: [a\n") {
			t.Errorf("exit %d: %s", r.code, r.err)
		}
	})
	t.Run("as JSON all fields are there", func(t *testing.T) {
		w := newWorld()
		w.stdin = "access_token_ttl: soon\n"
		w.fake.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) { return nil, faults }
		var doc struct {
			Error struct {
				Code   string
				Fields []store.Field
			}
		}
		r := w.run("client", "update", "web", "-t", "acme", "-f", "-", "-o", "json")
		if err := json.Unmarshal([]byte(r.err), &doc); err != nil || doc.Error.Code != "invalid" || len(doc.Error.Fields) != 3 {
			t.Errorf("%v: %s", err, r.err)
		}
	})
}
