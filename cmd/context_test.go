package cmd

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/config"
	"github.com/cpctl/cpctl/pkg/store"
)

const quarter = 90 * 24 * time.Hour

// Each value comes from the first of flag, environment, context and default
// that has it.
func TestValuesComeFromTheFirstPlaceThatHasThem(t *testing.T) {
	ca := newIssuer(t)
	prod, stage := ca.issue("prod", ana(), noon, quarter), ca.issue("stage", ana(), noon, quarter)
	prod.Tenant, stage.Servers = "acme", []string{"10.9.0.1:7700"}
	local := "unix:/var/local/n1/cpctl.sock"
	for _, c := range []struct {
		fact, args string
		env        map[string]string
		servers    string
		tenant     string
		as         *config.Context // nil: nobody
		says       string
	}{
		{"the current context", "client list", nil, "10.0.0.1:7700,10.0.0.2:7700", "acme", &prod, ""},
		{"a context by the environment", "client list -t globex", map[string]string{"CPCTL_CONTEXT": "stage"}, "10.9.0.1:7700", "globex", &stage, ""},
		{"a context by a flag", "client list --context prod", map[string]string{"CPCTL_CONTEXT": "stage"}, "10.0.0.1:7700,10.0.0.2:7700", "acme", &prod, ""},
		{"a tenant of the environment", "client list", map[string]string{"CPCTL_TENANT": "globex"}, "10.0.0.1:7700,10.0.0.2:7700", "globex", &prod, ""},
		{"a tenant by a flag", "client list -t acme", map[string]string{"CPCTL_TENANT": "globex"}, "10.0.0.1:7700,10.0.0.2:7700", "acme", &prod, ""},
		{"servers of the environment", "client list", map[string]string{"CPCTL_SERVER": "h:1,unix:/s"}, "h:1,unix:/s", "acme", &prod, ""},
		{"servers by a flag", "client list -s [::1]:2", map[string]string{"CPCTL_SERVER": "h:1"}, "[::1]:2", "acme", &prod, ""},
		{"a context by a flag, servers of the environment", "client list --context prod", map[string]string{"CPCTL_SERVER": "h:1"}, "h:1", "acme", &prod,
			"CPCTL_SERVER goes before the servers of context \"prod\"\n"},
		{"a socket, where nobody shows a certificate", "client list -s unix:/s", nil, "unix:/s", "acme", nil, ""},
		{"the node of a directory", "client list -t acme --data-dir /var/local/n1", nil, local, "acme", nil, ""},
		{"the directory of the environment, which is only a default", "client list", map[string]string{"CPCTL_DATA_DIR": "/var/local/n1"}, "10.0.0.1:7700,10.0.0.2:7700", "acme", &prod, ""},
		{"the directory of the environment without a context", "client list -t acme", map[string]string{"CPCTL_DATA_DIR": "/var/local/n1", "HOME": "/nowhere"}, local, "acme", nil, ""},
		{"keys of the context's tenant", "key list", nil, "10.0.0.1:7700,10.0.0.2:7700", "acme", &prod, ""},
	} {
		t.Run(c.fact, func(t *testing.T) {
			w := newWorld().at(t, prod, stage)
			for k, v := range c.env {
				w.env[k] = v
			}
			w.docs["tenant/globex"] = w.docs["tenant/acme"]
			r := w.run(strings.Fields(c.args)...)
			if r.code != 0 || c.says != "" && r.err != c.says {
				t.Fatalf("exit %d, %s", r.code, r.err)
			}
			if got := strings.Join(w.dialled[0], ","); got != c.servers {
				t.Errorf("it asks %s, want %s", got, c.servers)
			}
			tenant := ""
			for _, l := range w.lists {
				tenant = l.Tenant
			}
			for _, g := range w.gets {
				tenant = g.Tenant
			}
			if tenant != c.tenant {
				t.Errorf("it asks about %q, want %q", tenant, c.tenant)
			}
			switch {
			case c.as == nil && w.as != nil:
				t.Errorf("it shows a certificate")
			case c.as != nil && (w.as == nil || string(w.as.CertPEM) != c.as.Certificate || string(w.as.KeyPEM) != string(c.as.Key) || string(w.as.CAPEM) != c.as.CA):
				t.Errorf("it does not show the certificate of %s", c.as.Name)
			}
		})
	}
}

func TestTheWayBackInNamesTheContext(t *testing.T) {
	prod := newIssuer(t).issue("prod", ana(), noon, quarter)
	w := newWorld().at(t, prod)
	crt, key := w.file(t, "a.crt", prod.Certificate), w.file(t, "a.key", string(prod.Key))
	for args, want := range map[string]string{
		"tenant list":                                       "cpctl login 10.0.0.1:7700,10.0.0.2:7700 --token-file FILE --name prod --replace",
		"tenant list -s unix:/s,h:1":                        "cpctl login h:1 --token-file FILE --name prod --replace",
		"tenant list --cert " + crt + " --key " + key:       "cpctl login 10.0.0.1:7700,10.0.0.2:7700 --token-file FILE --name CONTEXT",
		"tenant list -s h:1 --config " + w.file(t, "c", ""): "cpctl login h:1 --token-file FILE --name CONTEXT",
	} {
		if r := w.run(strings.Fields(args)...); r.code != 0 || w.hint != want {
			t.Errorf("%s: %q, want %q", args, w.hint, want)
		}
	}
}

func TestOnlyTheFlagBindsWhatIsMadeOrRestoredToATenant(t *testing.T) {
	prod := newIssuer(t).issue("prod", ana(), noon, quarter)
	prod.Tenant = "acme"
	w := newWorld().at(t, prod)
	if r := w.run("restore", "none.tgz", "--yes"); r.code != 2 || strings.Contains(r.err, "tenant") {
		t.Errorf("restore takes the tenant of the context for one of its own: %s", r.err)
	}
}

func TestWhatNeedsNoServerNeedsNoContexts(t *testing.T) {
	w := newWorld().at(t, config.Context{Name: "prod"})
	if err := os.Chmod(w.config(), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"version", "help roles", "tenant --help", "completion bash", "snapshot inspect none.tgz", "tenant list -s unix:/s"} {
		if r := w.run(strings.Fields(args)...); strings.Contains(r.err, "mode") {
			t.Errorf("%s: %s", args, r.err)
		}
	}
	for _, args := range []string{"tenant list", "client list -s h:1 -t acme", "context list", "context show", "context use prod", "context delete prod --yes"} {
		if r := w.run(strings.Fields(args)...); r.code != 8 || !strings.Contains(r.err, "chmod 600 "+w.config()) {
			t.Errorf("%s: exit %d, %s", args, r.code, r.err)
		}
	}
}

func TestContextsAreListedUsedAndDeleted(t *testing.T) {
	ca := newIssuer(t)
	bound := ana()
	bound.Tenant = "acme"
	prod, old := ca.issue("prod", ana(), noon, quarter), ca.issue("old", bound, noon.Add(-time.Hour), 30*time.Minute)
	prod.Tenant = "globex"
	w := newWorld().at(t, prod, old, config.Context{Name: "local"})
	w.run("context", "list").want(t, 0, ""+
		"    NAME    SERVERS                       WHO                 TENANT   CERTIFICATE\n"+
		"    local   -                             -                   -        -\n"+
		"    old     10.0.0.1:7700,10.0.0.2:7700   operator/ana@acme   -        expired on 2026-02-10T23:30:00Z\n"+
		"*   prod    10.0.0.1:7700,10.0.0.2:7700   operator/ana        globex   until 2026-05-12T00:00:00Z, 90d left\n", "")
	w.run("contexts", "ls", "-o", "name").want(t, 0, "context/local\ncontext/old\ncontext/prod\n", "")
	r := w.run("context", "list", "-o", "json")
	var list struct {
		Kind  string
		Items []struct {
			Name     string
			Current  bool
			Servers  []string
			Identity *struct{ Role, Name, Tenant, Serial string }
		}
	}
	if err := json.Unmarshal([]byte(r.out), &list); err != nil || list.Kind != "context_list" || len(list.Items) != 3 ||
		!list.Items[2].Current || list.Items[0].Servers == nil || list.Items[1].Identity.Tenant != "acme" || strings.Contains(r.out, "PRIVATE") {
		t.Errorf("%v\n%s", err, r.out)
	}

	w.run("context", "use", "old").want(t, 0, "context/old is current\n", "")
	w.run("context", "use", "context/prod", "-o", "name").want(t, 0, "context/prod\n", "")
	if f := w.kept(t); f.Current != "prod" || len(f.Contexts) != 3 {
		t.Errorf("kept: %v, current %s", f.Names(), f.Current)
	}
	w.env["CPCTL_CONTEXT"] = "old"
	w.run("context", "use", "prod").want(t, 0, "context/prod is current\n", "CPCTL_CONTEXT goes before the current context, and names \"old\"\n")
	delete(w.env, "CPCTL_CONTEXT")
	for _, args := range []string{"context use prodd", "context show prodd", "context delete prodd --yes", "tenant list --context prodd"} {
		w.run(strings.Fields(args)...).want(t, 3, "", "cpctl: context \"prodd\" not found\n  did you mean \"prod\"? see: cpctl context list\n")
	}
	if f := w.kept(t); f.Current != "prod" || len(f.Contexts) != 3 {
		t.Errorf("kept: %v, current %s", f.Names(), f.Current)
	}

	w.run("context", "delete", "old").want(t, 2, "", "cpctl: refusing to delete context \"old\" without confirmation; pass --yes\n")
	w.run("context", "delete", "old", "--yes").want(t, 0, "context/old deleted\n", "")
	w.run("context", "delete", "old", "--yes", "--ignore-not-found").want(t, 0, "context/old unchanged\n", "")
	serial := contextHolder(&prod).Serial
	w.run("context", "delete", "prod", "local", "-y").want(t, 0, "context/prod deleted\ncontext/local deleted\n",
		"it was the current context, and there is none now; choose one: cpctl context use NAME\n"+
			"the certificate that was in it is good until 2026-05-12T00:00:00Z; to take it back: cpctl cert revoke "+serial+"\n")
	w.run("context", "list").want(t, 0, "", "no contexts\n")
	if r := w.run("tenant", "list"); r.code != 0 || w.as != nil {
		t.Errorf("afterwards the local node is not asked: %s", r.err)
	}
}

func TestContextShowSaysWhereEachValueComesFrom(t *testing.T) {
	ca := newIssuer(t)
	prod := ca.issue("prod", ana(), noon, quarter)
	prod.Tenant = "acme"
	w := newWorld().at(t, prod, config.Context{Name: "stage", Servers: []string{"h:1"}})
	settings := func(args ...string) map[string]setting {
		t.Helper()
		r := w.run(append([]string{"context", "show", "-o", "json"}, args...)...)
		var doc struct {
			Kind, Name string
			Settings   []setting
		}
		if err := json.Unmarshal([]byte(r.out), &doc); err != nil || r.code != 0 || doc.Kind != "context" {
			t.Fatalf("exit %d, %v, %s%s", r.code, err, r.out, r.err)
		}
		if strings.Contains(r.out, "PRIVATE KEY") {
			t.Error("it shows the key")
		}
		out := map[string]setting{}
		for _, s := range doc.Settings {
			out[s.Name] = s
		}
		return out
	}
	check := func(got map[string]setting, want ...setting) {
		t.Helper()
		for _, s := range want {
			if g := got[s.Name]; !reflect.DeepEqual(g, s) {
				t.Errorf("got %+v, want %+v", g, s)
			}
		}
	}
	check(settings(), setting{"context", "prod", "current", ""}, setting{"config", w.config(), "default", ""},
		setting{"server", "10.0.0.1:7700,10.0.0.2:7700", "context", "prod"}, setting{"tenant", "acme", "context", "prod"},
		setting{"cert", "operator/ana of cluster c-1, until 2026-05-12T00:00:00Z, 90d left", "context", "prod"},
		setting{"ca", "cpctl cluster c-1, until 2036-02-08T00:00:00Z", "context", "prod"}, setting{"key", "kept, not shown", "context", "prod"},
		setting{"output", "json", "flag", "--output"}, setting{"timeout", "30s", "default", ""}, setting{"no-input", "false", "default", ""})
	w.env["CPCTL_TENANT"], w.env["CPCTL_TIMEOUT"], w.env["CPCTL_CONTEXT"] = "globex", "5s", "stage"
	check(settings("-s", "x:1"), setting{"context", "stage", "environment", "CPCTL_CONTEXT"}, setting{"server", "x:1", "flag", "--server"},
		setting{"tenant", "globex", "environment", "CPCTL_TENANT"}, setting{"timeout", "5s", "environment", "CPCTL_TIMEOUT"},
		setting{"cert", "", "default", ""})
	check(settings("prod"), setting{"context", "prod", "flag", "NAME"}, setting{"server", "10.0.0.1:7700,10.0.0.2:7700", "context", "prod"})
	w.env = map[string]string{"HOME": w.env["HOME"], "CPCTL_CERT": w.file(t, "a.crt", prod.Certificate)}
	check(settings("--key", "a.key"), setting{"key", "a.key", "flag", "--key"}, setting{"ca", "cpctl cluster c-1, until 2036-02-08T00:00:00Z", "context", "prod"},
		setting{"cert", w.env["CPCTL_CERT"] + " (operator/ana of cluster c-1, until 2026-05-12T00:00:00Z, 90d left)", "environment", "CPCTL_CERT"})

	w = newWorld().at(t)
	w.run("context", "show", "--config", "none.yaml").want(t, 2, "", "cpctl: none.yaml: no such file or directory\n  cpctl login makes it\n")
	r := w.run("context", "show", "--no-headers", "--data-dir", "/d")
	if r.code != 0 || !strings.HasPrefix(r.out, "context    -                  default\n") || !strings.Contains(r.out, "\nserver     unix:/d/cpctl.sock   flag --data-dir\n") {
		t.Logf("%q", r.out)
	}
	for _, line := range []string{"context -", "server unix:/d/cpctl.sock flag --data-dir", "tenant - default", "output table default"} {
		if !strings.Contains(strings.Join(strings.Fields(r.out), " "), line) {
			t.Errorf("without a context: it does not say %q:\n%s", line, r.out)
		}
	}
}

func TestCertificateAndKeyComeFromOnePlace(t *testing.T) {
	ca := newIssuer(t)
	prod, own := ca.issue("prod", ana(), noon, quarter), ca.issue("own", ana(), noon.Add(-quarter*3/4), quarter)
	w := newWorld().at(t, prod)
	crt, key, caFile := w.file(t, "a.crt", own.Certificate), w.file(t, "a.key", string(own.Key)), w.file(t, "ca.crt", own.CA)
	w.run("tenant", "list", "--cert", crt).want(t, 2, "", "cpctl: --cert and --key belong together\n  pass both, or set CPCTL_CERT and CPCTL_KEY\n")
	w.run("tenant", "list", "--cert", crt, "--key", "none").want(t, 2, "", "cpctl: none: no such file or directory\n")
	w.env["CPCTL_KEY"] = key
	r := w.run("tenant", "list", "--cert", crt)
	if r.code != 0 || string(w.as.CertPEM) != own.Certificate || string(w.as.KeyPEM) != string(own.Key) || string(w.as.CAPEM) != prod.CA {
		t.Errorf("exit %d, as %v", r.code, w.as)
	}
	if want := "the certificate in " + crt + " ends in 22d, and files are not renewed by themselves; a context is: cpctl login\n"; r.err != want {
		t.Errorf("it says %q, want %q", r.err, want)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := w.run("tenant", "list", "--cert", crt, "-o", "name"); !strings.HasPrefix(r.err, key+" has mode 0644: others could read the key; make it yours alone: chmod 600 "+key+"\n") {
		t.Errorf("it says %q", r.err)
	}
	w.run("tenant", "list", "--cert", crt, "-q", "-o", "name").want(t, 0, "tenant/acme\ntenant/globex\n", "")
	w.run("tenant", "list", "-s", "h:1", "--cert", crt, "--data-dir", "/d").want(t, 2, "",
		"cpctl: whom to trust? a certificate needs the cluster's authority beside it\n  pass --ca FILE, the ca.crt in tls/ of a node's data directory, or set CPCTL_CA\n")
	if r := w.run("tenant", "list", "-s", "h:1", "--cert", crt, "--ca", caFile, "-q", "-o", "name"); r.code != 0 || string(w.as.CAPEM) != own.CA {
		t.Errorf("with all three: exit %d, %s", r.code, r.err)
	}
}

func TestContextsComplete(t *testing.T) {
	w := newWorld().at(t, config.Context{Name: "prod"}, config.Context{Name: "stage"})
	for args, want := range map[string]string{
		"context use ": "prod\nstage\n:4\n", "context show s": "stage\n:4\n", "context delete prod ": "stage\n:4\n",
		"context use prod ": ":4\n", "tenant list --context ": "prod\nstage\n:4\n", "login --name ": "prod\nstage\n:4\n",
	} {
		if r := w.run(append([]string{"__complete"}, strings.Split(args, " ")...)...); r.out != want {
			t.Errorf("%q: %q, want %q", args, r.out, want)
		}
	}
	if len(w.dialled) > 0 {
		t.Error("a server was asked")
	}
}

func TestAContextThatWasBrokenByHandIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"format_version: \"1.0\"\ncurrent_context: gone\ncontexts: []\n":                                 "the current context \"gone\" is not in it\n  choose one: cpctl context use NAME\n",
		"format_version: \"1.0\"\ncurrent_context: a\ncontexts:\n- name: a\n  servers: [\"10.0.0.1\"]\n": "context \"a\", server \"10.0.0.1\" is not an address\n",
		"format_version: \"1.0\"\ncontexts:\n- nam: a\n":                                                 "line 3, column 3: unknown field \"nam\"",
	} {
		w := newWorld().at(t, config.Context{Name: "x"})
		if err := os.WriteFile(w.config(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r := w.run("tenant", "list"); r.code != 2 || !strings.Contains(r.err, want) || len(w.dialled) > 0 {
			t.Errorf("exit %d, %s, want it to say %q", r.code, r.err, want)
		}
	}
	w := newWorld().at(t)
	if err := os.MkdirAll(strings.TrimSuffix(w.config(), "/config.yaml"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.config(), []byte("format_version: \"7.1\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.run("tenant", "list"); r.code != 12 {
		t.Errorf("a later version: exit %d, %s", r.code, r.err)
	}
	if _, err := config.Read(w.config()); !errors.Is(err, store.ErrNewer) || errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
