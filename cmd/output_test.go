package cmd

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

var threeNodes = &rpc.ClusterStatus{
	FormatVersion: "1.0", Kind: "cluster_status", ClusterID: "c1", Leader: "n1", Term: 4, CommitIndex: 10482, CanLose: 1,
	Counts: store.Counts{Tenants: 128, Clients: 1904, Scopes: 700, Keys: 256},
	Nodes: []rpc.NodeStatus{
		{Name: "n1", ID: "id1", Address: "10.0.0.1:7700", Role: "leader", State: "alive", AppliedIndex: 10482},
		{Name: "n3", ID: "id3", Address: "10.0.0.3:7700", Role: "follower", State: "lost", Lag: 312, LastContactMS: 41_000},
	},
}

// What each command prints, on which stream.
func TestOutput(t *testing.T) {
	for _, tt := range []struct {
		name, args string
		env        map[string]string
		change     func(*world)
		out, err   string
	}{
		{name: "clients as a table", args: "client list -t acme", out: `
ID      TYPE           REDIRECTS   SCOPES   AGE
batch   confidential           0        3   41d
web     public                 2        5    3h
`},
		{name: "ls, without headers", args: "client ls -t acme --no-headers", out: `
batch   confidential   0   3   41d
web     public         2   5    3h
`},
		{name: "tenants as a table", args: "tenant list", out: `
SLUG     STATE       NAME   ISSUER                      AGE
acme     active      Acme   -                           41d
globex   suspended   -      https://id.globex.example    3h
`},
		{name: "tenants wide", args: "tenant list -o wide", out: `
SLUG     STATE       NAME   ISSUER                      LABELS     REVISION   CREATED                UPDATED                BY
acme     active      Acme   -                           env=prod          7   2026-01-01T00:00:00Z   2026-01-02T00:00:00Z   unix/0
globex   suspended   -      https://id.globex.example   -                 9   2026-02-10T21:00:00Z   2026-02-10T21:00:00Z   unix/0
`},
		{name: "names", args: "client list -t acme -o name", out: "client/acme/batch\nclient/acme/web\n"},
		{name: "the tenant from the environment", args: "scope list", env: map[string]string{"CPCTL_TENANT": "acme"}, out: `
NAME          SYSTEM   DEFAULT   CONSENT    CLAIMS   AGE
orders:read   no       yes       required        1    3h
`},
		{name: "nothing is a note", args: "scope list -t globex", err: "no scopes\n"},
		{name: "nothing, quietly", args: "scope list -t globex -q"},
		{name: "nothing as JSON", args: "scope list -t globex -o json",
			out: "{\n  \"format_version\": \"1.0\",\n  \"kind\": \"scope_list\",\n  \"index\": 12,\n  \"items\": []\n}\n"},
		{name: "the format from the environment", args: "scope list -t globex", env: map[string]string{"CPCTL_OUTPUT": "yaml"},
			out: "format_version: \"1.0\"\nkind: scope_list\nindex: 12\nitems: []\n"},
		{name: "a flag goes before its variable", args: "scope list -t globex -o name", env: map[string]string{"CPCTL_OUTPUT": "json"}, err: "no scopes\n"},
		{name: "a page announces the rest", args: "client list -t acme --limit 2 -o name", change: func(w *world) { w.next = "web b" },
			out: "client/acme/batch\nclient/acme/web\n", err: "there are more: --continue 'web b'\n"},
		{name: "stale says how old", args: "client list -t acme --stale -o name", change: func(w *world) { w.ageMS = 1500 },
			out: "client/acme/batch\nclient/acme/web\n", err: "stale: index 12; n1 last heard of a leader 1.5s ago\n"},
		{name: "stale without any leader", args: "client list -t acme --stale -o name", change: func(w *world) { w.ageMS = -1 },
			out: "client/acme/batch\nclient/acme/web\n", err: "stale: index 12; n1 has not heard of a leader since it started\n"},
		{name: "one tenant", args: "tenant get acme", out: `
slug                            acme
display_name                    Acme
state                           active
token_policy.access_token_ttl   15m
contacts                        a@acme.example
                                b@acme.example
labels.env                      prod
revision                        7
created_at                      41d ago
updated_at                      40d ago
updated_by                      unix/0
`},
		{name: "by its full name", args: "client get client/acme/web -o name", out: "client/acme/web\n"},
		{name: "several, as a stream of YAML", args: "scope get orders:read scope/acme/orders:read -t acme -o yaml", out: strings.Repeat(`---
format_version: "1.0"
kind: scope
tenant: acme
name: orders:read
claims:
  - tier
system: false
default: true
consent: required
created_at: "2026-02-10T21:00:00Z"
`, 2)[4:]},
		{name: "keys", args: "key list -t acme", out: `
KID   ALG     STATE      AGE   VERIFIES
k1    EdDSA   active      3h   -
k0    EdDSA   retiring   41d   in 1d
`},
		{name: "names of keys", args: "key list -t acme -o name", out: "key/acme/k1\nkey/acme/k0\n"},
		{name: "a tenant without keys", args: "key list -t globex", err: "no keys\n"},
		{name: "a platform without keys", args: "key list --global", err: "no keys\n"},
		{name: "the public set is itself", args: "key jwks -t acme", out: "{\n  \"keys\": [\n    {\n      \"kty\": \"OKP\",\n      \"kid\": \"k1\"\n    }\n  ]\n}\n"},
		{name: "secrets", args: "client secret list batch -t acme", out: `
ID   STATE    HINT      AGE   EXPIRES
s1   active   ...k1Aa    1d   -
`},
		{name: "secrets as JSON", args: "client secret list batch -t acme -o json", out: `{
  "format_version": "1.0",
  "kind": "client_secret_list",
  "index": 12,
  "items": [
    {
      "id": "s1",
      "state": "active",
      "hint": "...k1Aa",
      "created_at": "2026-02-10T00:00:00Z",
      "expires_at": null
    }
  ]
}
`},
		{name: "the status in a pipe", args: "cluster status", change: func(w *world) { w.status = threeNodes }, out: `
leader     n1 10.0.0.1:7700
term       4
applied    10482 of 10482
can lose   1 voter
tenants    128
clients    1904
scopes     700
keys       256
NODE   ROLE       STATE     LAG   CONTACT
n1     leader     ● alive     0       0ms
n3     follower   ✗ lost    312       41s
`},
		{name: "the status of a roll-over that is not at its end", args: "cluster status", change: func(w *world) {
			st := *threeNodes
			st.Rekey, st.Nodes = "switched", st.Nodes[:1]
			w.status = &st
		}, out: `
leader        n1 10.0.0.1:7700
term          4
applied       10482 of 10482
can lose      1 voter
cluster key   roll-over switched; go on with: cpctl cluster rekey
tenants       128
clients       1904
scopes        700
keys          256
NODE   ROLE     STATE     LAG   CONTACT
n1     leader   ● alive     0       0ms
`},
		{name: "the status in a minority", args: "cluster status", change: func(w *world) {
			st := *threeNodes
			st.Leader, st.CanLose = "", 0
			st.Nodes = []rpc.NodeStatus{st.Nodes[0], st.Nodes[1], {Name: "n4", Role: "follower", State: "lost", LastContactMS: -1}}
			st.Nodes[0].Role = "follower"
			w.status = &st
		}, out: `
leader     none
term       4
applied    10482 of 10482
can lose   0 voters; 1 of 3 is in reach, and writes need 2
tenants    128
clients    1904
scopes     700
keys       256
NODE   ROLE       STATE     LAG   CONTACT
n1     follower   ● alive     0       0ms
n3     follower   ✗ lost    312       41s
n4     follower   ✗ lost      -         -
`, err: "if a majority of the voters is lost for good: cpctl recover plan --help\n"},
		{name: "the members", args: "cluster members", change: func(w *world) { w.status = threeNodes }, out: `
NODE   ROLE       STATE     ADDRESS         ID
n1     leader     ● alive   10.0.0.1:7700   id1
n3     follower   ✗ lost    10.0.0.3:7700   id3
`},
		{name: "ready", args: "cluster health", change: func(w *world) { w.health = &rpc.HealthReply{Node: "n1", Leader: "n2", Index: 9, Ready: true} },
			out: "node n1 is ready: leader n2, index 9\n"},
		{name: "a leader that has followed", args: "cluster transfer", change: func(w *world) {
			w.transferred = &rpc.Transferred{From: "n1", Leader: "n2", Term: 7, Index: 90, Changed: true}
		}, out: "node/n2 leads now instead of node/n1, term 7\n"},
		{name: "a leader that leads already", args: "cluster transfer n2", change: func(w *world) {
			w.transferred = &rpc.Transferred{From: "n2", Leader: "n2", Term: 7, Index: 90}
		}, out: "node/n2 unchanged\n"},
		{name: "a transfer as JSON", args: "cluster transfer n2 -o json", change: func(w *world) {
			w.transferred = &rpc.Transferred{From: "n1", Leader: "n2", Term: 7, Index: 90, Changed: true}
		}, out: `{
  "format_version": "1.0",
  "kind": "leadership_transfer",
  "from": "n1",
  "leader": "n2",
  "term": 7,
  "index": 90,
  "changed": true
}
`},
		{name: "clocks that are off", args: "cluster status", change: func(w *world) {
			w.status = &rpc.ClusterStatus{Nodes: []rpc.NodeStatus{
				{Name: "n1", Role: "leader", State: "degraded", Reason: "clock_skew", ClockSkewMS: 192_500},
				{Name: "n2", Role: "follower", State: "alive", Reason: "clock_skew", ClockSkewMS: -7_000_000},
				{Name: "n3", Role: "follower", State: "alive"}}}
		}, out: `
leader     none
term       0
applied    0 of 0
can lose   0 voters
tenants    0
clients    0
scopes     0
keys       0
NODE   ROLE       STATE        LAG   CONTACT   REASON
n1     leader     ! degraded     0       0ms   clock_skew, 3m ahead
n2     follower   ● alive        0       0ms   clock_skew, 1h behind
n3     follower   ● alive        0       0ms   -
`},
		{name: "a removed member", args: "cluster remove n3 -y", change: func(w *world) { w.canLose = 1 }, out: "node/n3 removed, 2 voters left\n"},
		{name: "a write", args: "tenant update acme --issuer https://a", out: "tenant/acme updated\n"},
		{name: "a write as a name", args: "tenant update acme --issuer https://a -o name", out: "tenant/acme\n"},
		{name: "a dry run", args: "tenant update acme --issuer https://a --dry-run", out: "tenant/acme updated (dry run)\n"},
		{name: "a rotation", args: "key rotate -t acme", out: "keyset/acme rotated\n"},
		{name: "a delete", args: "client delete web -t acme --yes", out: "client/acme/web deleted\n"},
		{name: "a delete as JSON", args: "client delete web -t acme --yes -o json", out: `{
  "format_version": "1.0",
  "kind": "deletion",
  "deleted": [
    "client/acme/web"
  ],
  "revision": 7,
  "index": 12,
  "replayed": false
}
`},
		{name: "a write as JSON is the document and the write", args: "scope update orders:read -t acme --consent never -o json", out: `{
  "format_version": "1.0",
  "kind": "scope",
  "tenant": "acme",
  "name": "orders:read",
  "claims": [
    "tier"
  ],
  "system": false,
  "default": true,
  "consent": "required",
  "created_at": "2026-02-10T21:00:00Z",
  "index": 12,
  "replayed": false,
  "published": true
}
`},
		{name: "a write of a document that has gone since", args: "scope update gone -t acme --consent never -o json", out: `{
  "format_version": "1.0",
  "kind": "scope",
  "tenant": "acme",
  "name": "gone",
  "revision": 7,
  "index": 12,
  "replayed": false,
  "published": true
}
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			if tt.env != nil {
				w.env = tt.env
			}
			if tt.change != nil {
				tt.change(w)
			}
			w.run(strings.Fields(tt.args)...).want(t, 0, strings.TrimPrefix(tt.out, "\n"), tt.err)
		})
	}
}

// A suggestion is made for a name that is two edits away at most, never acted upon.
func TestNotFoundSuggests(t *testing.T) {
	for _, tt := range []struct{ args, err string }{
		{"tenant get acm", "tenant \"acm\" not found\n  did you mean \"acme\"? see: cpctl tenant list"},
		{"tenant get zzzzzz", "tenant \"zzzzzz\" not found\n  see: cpctl tenant list"},
		{"client get wed -t acme", "client \"wed\" not found in tenant \"acme\"\n  did you mean \"web\"? see: cpctl client list -t acme"},
		{"client get web -t acm", "tenant \"acm\" not found\n  did you mean \"acme\"? see: cpctl tenant list"},
		{"key list -t acm", "tenant \"acm\" not found\n  did you mean \"acme\"? see: cpctl tenant list"},
		{"key get k9 -t acme", "key \"k9\" not found in tenant \"acme\"\n  see: cpctl key list"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			newWorld().run(strings.Fields(tt.args)...).want(t, 3, "", "cpctl: "+tt.err+"\n")
		})
	}
}

func TestNotReadyIsUnavailable(t *testing.T) {
	w := newWorld()
	w.health = &rpc.HealthReply{Node: "n1", Reason: "no leader"}
	w.run("cluster", "health").want(t, 10, "", "cpctl: node n1 is not ready: no leader\n  see: cpctl cluster status\n")
}

// The private part of a key never leaves, even if a server sends it.
func TestKeysHaveNoPrivatePart(t *testing.T) {
	for _, args := range []string{"key list -t acme -o json", "key list -t acme -o wide", "key get k1 -t acme", "key get k1 -t acme -o yaml", "key get key/acme/k1 -o wide"} {
		r := newWorld().run(strings.Fields(args)...)
		if r.code != 0 || r.out == "" || strings.Contains(r.out, "SEALED") || strings.Contains(r.out, "private") {
			t.Errorf("%s: exit %d\n%s%s", args, r.code, r.out, r.err)
		}
	}
}

func TestControlCharactersOfDocuments(t *testing.T) {
	const evil = "a\u009b31m\u202eb"
	w := newWorld()
	w.docs = map[string]string{"tenant/acme": `{"format_version":"1.0","kind":"tenant","slug":"acme","display_name":"` + evil + `\u001b[2J\n"}`}
	for _, args := range []string{"tenant list", "tenant get acme", "tenant get acme -o wide", "tenant get acme -o json", "tenant list -o json", "tenant list -o yaml"} {
		r := w.run(strings.Fields(args)...)
		if r.code != 0 || strings.ContainsFunc(strings.ReplaceAll(r.out, "\n", ""), commanding) {
			t.Errorf("%s: exit %d, %q", args, r.code, r.out)
		}
	}
	var doc struct {
		Name string `json:"display_name"`
	}
	if err := json.Unmarshal([]byte(w.run("tenant", "get", "acme", "-o", "json").out), &doc); err != nil || doc.Name != evil+"\x1b[2J\n" {
		t.Errorf("JSON has %q (%v), want the value as it is", doc.Name, err)
	}
}

// YAML is the same document: each value keeps its type.
func TestYAMLIsTheSameDocument(t *testing.T) {
	const doc = `{"a":"1.0","b":"yes","c":"0123","d":null,"e":[],"f":{},"g":true,"h":12,"i":"null","j":"","k":"a: b # c","l":"two\nlines\n","m":["- x","~",{"n":"2026-01-01T00:00:00Z"}],"o":"\u001b[2J","p":1.5,"q":" lead","r":"@x","s":"1e3","t":"\u009b\u202e","u":"0x1F","v":"on",".inf":".inf","w":"!tag","x":"*y","z":"é\t\"'"}`
	b, err := toYAML([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(strings.ReplaceAll(string(b), "\n", ""), commanding) {
		t.Errorf("commands a terminal: %q", b)
	}
	back, err := fromYAML(b)
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	var want, got any
	if err := json.Unmarshal([]byte(doc), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(back, &got); err != nil {
		t.Fatal(err)
	}
	w, _ := json.Marshal(want)
	g, _ := json.Marshal(got)
	if string(w) != string(g) {
		t.Errorf("got  %s\nwant %s\nfrom\n%s", g, w, b)
	}
	var other map[string]any
	if err := yaml.Unmarshal(b, &other); err != nil {
		t.Error(err)
	}
}

func TestBoxesOnATerminalOnly(t *testing.T) {
	w := newWorld()
	w.status, w.terminal = threeNodes, true
	w.env["TERM"], w.env["NO_COLOR"] = "xterm", "1"
	w.run("cluster", "status").want(t, 0, strings.TrimPrefix(`
╭─────────────────────────────╮ ╭─────────────────────────────╮
│ Cluster                     │ │ Store                       │
│ leader     n1 10.0.0.1:7700 │ │ tenants   128               │
│ term       4                │ │ clients   1904              │
│ applied    10482 of 10482   │ │ scopes    700               │
│ can lose   1 voter          │ │ keys      256               │
╰─────────────────────────────╯ ╰─────────────────────────────╯
NODE   ROLE       STATE     LAG   CONTACT
n1     leader     ● alive     0       0ms
n3     follower   ✗ lost    312       41s
`, "\n"), "")
}

func TestBoxesStandOneBelowTheOtherWhereColumnsAreFew(t *testing.T) {
	for columns, want := range map[int]string{59: "╭─────────────────────────────╮", 60: "╭─────────────────────────────╮", 63: "╭─────────────────────────────╮ ╭─────────────────────────────╮"} {
		w := newWorld()
		w.status, w.terminal = threeNodes, true
		w.env["TERM"], w.env["NO_COLOR"] = "xterm", "1"
		out := w.with(func(e *Env) { e.Columns = func() int { return columns } }, "cluster", "status").out
		for i, line := range strings.Split(out, "\n") {
			if i == 0 && line != want {
				t.Errorf("%d columns begin with\n%s\nwant\n%s", columns, line, want)
			}
			if n := utf8.RuneCountInString(line); n > columns {
				t.Errorf("%d columns: %d in %q", columns, n, line)
			}
		}
	}
}

func TestColor(t *testing.T) {
	for _, tt := range []struct {
		name     string
		terminal bool
		env      map[string]string
		args     string
		want     bool
	}{
		{"a terminal", true, nil, "", true},
		{"a pipe", false, nil, "", false},
		{"--color always in a pipe", false, nil, "--color always", true},
		{"--color never on a terminal", true, nil, "--color never", false},
		{"CPCTL_COLOR", false, map[string]string{"CPCTL_COLOR": "always"}, "", true},
		{"NO_COLOR", true, map[string]string{"NO_COLOR": "1"}, "", false},
		{"an empty NO_COLOR", true, map[string]string{"NO_COLOR": ""}, "", true},
		{"the flag against NO_COLOR", false, map[string]string{"NO_COLOR": "1"}, "--color always", true},
		{"CLICOLOR_FORCE in a pipe", false, map[string]string{"CLICOLOR_FORCE": "1"}, "", true},
		{"NO_COLOR against CLICOLOR_FORCE", false, map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, "", false},
		{"CI", true, map[string]string{"CI": "true"}, "", false},
		{"a dumb terminal", true, map[string]string{"TERM": "dumb"}, "", false},
		{"never in JSON", true, map[string]string{"CLICOLOR_FORCE": "1"}, "-o json", false},
		{"never in YAML", true, nil, "-o yaml --color always", false},
	} {
		w := newWorld()
		w.status, w.terminal = threeNodes, tt.terminal
		if tt.env != nil {
			w.env = tt.env
		}
		r := w.run(append([]string{"cluster", "status"}, strings.Fields(tt.args)...)...)
		if got := strings.Contains(r.out, "\x1b["); r.code != 0 || got != tt.want {
			t.Errorf("%s: exit %d, coloured %v, want %v\n%s", tt.name, r.code, got, tt.want, r.out)
		}
	}
}

// A coloured table has the columns of a plain one.
func TestColorDoesNotMoveColumns(t *testing.T) {
	w := newWorld()
	w.status = threeNodes
	plain, colored := w.run("cluster", "members"), w.run("cluster", "members", "--color", "always")
	strip := strings.NewReplacer("\x1b[32m", "", "\x1b[31m", "", "\x1b[0m", "")
	if got := strip.Replace(colored.out); got != plain.out || colored.out == plain.out {
		t.Errorf("got\n%s\nwant\n%s", got, plain.out)
	}
}

// Why a node is degraded is there without asking for more.
func TestStatusSaysWhyANodeIsDegraded(t *testing.T) {
	w := newWorld()
	st := *threeNodes
	st.Nodes = slices.Clone(st.Nodes)
	st.Nodes[1].State, st.Nodes[1].Reason = "degraded", "disk_full"
	w.status = &st
	r := w.run("cluster", "status")
	if !strings.Contains(r.out, "CONTACT   REASON\n") || !strings.Contains(r.out, "41s   disk_full\n") {
		t.Errorf("it prints\n%s", r.out)
	}
}
