package cmd

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestCompletion(t *testing.T) {
	for _, tt := range []struct{ name, args, want string }{
		{"verbs", "tenant ge", "get"},
		{"tenants", "tenant get ", "acme globex"},
		{"tenants that go on", "tenant get g", "globex"},
		{"not those given already", "tenant get acme ", "globex"},
		{"clients of the tenant", "client get -t acme ", "batch web"},
		{"clients of no tenant", "client get ", ""},
		{"the flag -t", "client get -t a", "acme"},
		{"scopes of a client", "client update web -t acme --scope o", "orders:read"},
		{"formats", "tenant list -o j", "json"},
		{"algorithms", "key rotate --alg ES", "ES256 ES384"},
		{"keys", "key revoke -t acme k", "k1 k0"},
		{"members", "cluster remove ", "n1 n3"},
		{"shells", "completion ", "bash zsh fish powershell"},
		{"help", "help clu", "cluster"},
		{"one client only", "client secret list -t acme web ", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.status = threeNodes
			r := w.run(append([]string{"__complete"}, words(tt.args)...)...)
			var got []string
			for line := range strings.Lines(r.out) {
				if word, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); word != "" && word[0] != ':' {
					got = append(got, word)
				}
			}
			if strings.Join(got, " ") != tt.want || r.code != 0 {
				t.Errorf("exit %d: %q, want %q\n%s", r.code, got, tt.want, r.err)
			}
		})
	}
}

// words splits a line; a final space begins an empty word.
func words(line string) []string {
	all := strings.Fields(line)
	if strings.HasSuffix(line, " ") {
		all = append(all, "")
	}
	return all
}

// What does not answer gives no completions, no error, and soon.
func TestCompletionIsSilentAndSoon(t *testing.T) {
	w := newWorld()
	w.fail = store.Errorf(store.CodeUnavailable, "no leader")
	if r := w.run("__complete", "tenant", "get", ""); r.code != 0 || !strings.HasPrefix(r.out, ":4\n") || strings.Contains(r.err, "leader") {
		t.Errorf("%+v", r)
	}
	start := time.Now()
	names, err := siblings(context.Background(), hanging{}, "tenant", "")
	if took := time.Since(start); err == nil || names != nil || took > 10*patience {
		t.Errorf("%v, %v after %v", names, err, took)
	}
}

// hanging never answers.
type hanging struct{ reader }

func (hanging) List(ctx context.Context, _ rpc.ListArgs) (*rpc.ListReply, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range shells {
		w := newWorld()
		if r := w.run("completion", shell); r.code != 0 || !strings.Contains(r.out, "cpctl") || r.err != "" {
			t.Errorf("%s: exit %d, %d bytes, %s", shell, r.code, len(r.out), r.err)
		}
	}
}
