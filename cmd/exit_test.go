package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing wrong", nil, 0},
		{"an error without a class", errors.New("x"), 1},
		{"internal", store.ErrInternal, 1},
		{"usage", usagef("x"), 2},
		{"invalid", store.ErrInvalid, 2},
		{"not found", store.ErrNotFound, 3},
		{"already exists", store.ErrExists, 4},
		{"conflict", store.ErrConflict, 5},
		{"request id reused", store.ErrRequestReused, 6},
		{"denied", store.ErrDenied, 7},
		{"refused", store.ErrRefused, 8},
		{"unknown outcome", store.ErrUnknown, 9},
		{"unavailable", store.ErrUnavailable, 10},
		{"time over", fmt.Errorf("write: %w", context.DeadlineExceeded), 10},
		{"integrity", store.ErrIntegrity, 11},
		{"newer", store.ErrNewer, 12},
		{"wrapped", fmt.Errorf("create tenant: %w", store.ErrExists), 4},
		{"a code of its own", fmt.Errorf("node: %w", &exitError{13, errors.New("log")}), 13},
		{"an unknown class of a newer server", store.Errorf("later", "x"), 1},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("%s: exit %d, want %d", tt.name, got, tt.want)
		}
	}
}

// A refusal of the cluster is one line on stderr, nothing on stdout, and its exit code.
func TestRefusalsReachTheUser(t *testing.T) {
	answers := func(err error) *world {
		w := newWorld()
		w.fake.write = func(_ context.Context, req *mutation.Request) (*mutation.Answer, error) {
			if req.ID == "" {
				req.ID = "id-1" // as the client does
			}
			return nil, err
		}
		return w
	}
	t.Run("exists", func(t *testing.T) {
		answers(store.Errorf(store.CodeExists, "tenant %q already exists", "acme")).run("tenant", "create", "acme").
			want(t, 4, "", "cpctl: tenant \"acme\" already exists\n")
	})
	t.Run("all faults of a document", func(t *testing.T) {
		answers(store.Invalid(`client "web"`, []store.Field{{Path: "redirect_uris[1]", Message: "must be absolute"}, {Message: "too large"}})).
			run("client", "create", "web", "-t", "acme").
			want(t, 2, "", "cpctl: client \"web\" is not valid\n  redirect_uris[1]: must be absolute\n  too large\n")
	})
	const settle = "cpctl: no answer\n  the change may have been made; find out, and make it at most once, with:\n"
	t.Run("unknown outcome names the command that settles it", func(t *testing.T) {
		w := answers(store.Errorf(store.CodeUnknown, "no answer"))
		w.run("tenant", "create", "acme", "--display-name", "Acme & Söhne").
			want(t, 9, "", settle+"  cpctl tenant create acme --display-name 'Acme & Söhne' --request-id id-1\n")
		w.run("tenant", "create", "acme", "--request-id", "r1").want(t, 9, "", settle+"  cpctl tenant create acme --request-id r1\n")
		w.run("tenant", "create", "--request-id=r1", "--", "acme").want(t, 9, "", settle+"  cpctl tenant create --request-id r1 -- acme\n")
		one := settle + "  the same command for this one alone, with --request-id id-1\n"
		w.run("tenant", "delete", "a", "b", "-y").want(t, 9, "", one+one)
	})
	t.Run("as JSON", func(t *testing.T) {
		answers(store.Errorf(store.CodeUnavailable, "no leader").WithHint("see: x")).run("tenant", "create", "acme", "-o", "json").
			want(t, 10, "", "{\n  \"error\": {\n    \"code\": \"unavailable\",\n    \"message\": \"no leader\",\n    \"hint\": \"see: x\",\n    \"retryable\": true\n  }\n}\n")
	})
	t.Run("control characters of a message", func(t *testing.T) {
		answers(store.Errorf(store.CodeRefused, "a\x1b[31mb\u202ec")).run("tenant", "create", "acme").
			want(t, 8, "", "cpctl: a\ufffd[31mb\ufffdc\n")
	})
}

func TestTimeIsOver(t *testing.T) {
	w := newWorld()
	w.fake.write = func(ctx context.Context, _ *mutation.Request) (*mutation.Answer, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	w.env["CPCTL_DATA_DIR"] = "/d"
	w.run("tenant", "create", "acme", "--timeout", "1ms").want(t, 10, "",
		"cpctl: no answer from unix:/d/cpctl.sock after 1ms\n  see: cpctl cluster status; --timeout gives it longer\n")
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	w := newWorld()
	w.ctx = ctx
	w.fake.write = func(ctx context.Context, _ *mutation.Request) (*mutation.Answer, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	w.run("tenant", "create", "a", "b", "c").want(t, 130, "", "cpctl: interrupted\n")
	if len(w.requests) != 1 {
		t.Errorf("%d requests after the interrupt, want the first only", len(w.requests))
	}
}

func TestSeveralNames(t *testing.T) {
	w := newWorld()
	w.fake.write = func(_ context.Context, req *mutation.Request) (*mutation.Answer, error) {
		switch req.Name {
		case "b":
			return nil, store.Errorf(store.CodeExists, "tenant %q already exists", "b")
		case "c":
			return nil, store.Errorf(store.CodeRefused, "no")
		}
		return &mutation.Answer{Outcome: mutation.Created, Name: "tenant/" + req.Name, Published: true}, nil
	}
	w.run("tenant", "create", "a", "b", "c", "d").want(t, 4, "tenant/a created\ntenant/d created\n",
		"cpctl: tenant \"b\" already exists\ncpctl: no\n")
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestBrokenPipeIsSilent(t *testing.T) {
	for _, args := range [][]string{{"tenant", "list"}, {"tenant", "get", "acme"}, {"--help"}, {"version"}, {"tenant", "list", "-o", "json"}} {
		w := newWorld()
		w.out = failing{&os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}}
		w.run(args...).want(t, 0, "", "")
	}
}

func TestFullDiskIsAnError(t *testing.T) {
	w := newWorld()
	w.out = failing{syscall.ENOSPC}
	r := w.run("tenant", "list")
	if r.code != 1 || !strings.Contains(r.err, "no space left") {
		t.Errorf("exit %d, stderr %q, want 1 and the reason", r.code, r.err)
	}
}

// Help and usage errors need no server.
func TestHelpNeverDials(t *testing.T) {
	var paths [][]string
	var walk func([]string, *Env)
	walk = func(at []string, env *Env) {
		root := newRoot(env)
		cmd, _, err := root.Find(at)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, at)
		for _, c := range cmd.Commands() {
			walk(append(append([]string{}, at...), c.Name()), env)
		}
	}
	walk(nil, &Env{Out: io.Discard, Err: io.Discard})
	if len(paths) < 30 {
		t.Fatalf("%d commands, want all", len(paths))
	}
	for _, path := range paths {
		w := newWorld()
		r := w.run(append(path, "--help")...)
		if r.code != 0 || r.out == "" || r.err != "" || len(w.dialled) != 0 {
			t.Errorf("%v --help: exit %d, stderr %q, dialled %v", path, r.code, r.err, w.dialled)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(file, []byte("slug: acme\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, err string }{
		{"tenant gt", "unknown command \"gt\" for \"cpctl tenant\"\n  did you mean \"get\"? see: cpctl tenant --help"},
		{"frobnicate", "unknown command \"frobnicate\" for \"cpctl\"\n  see: cpctl --help"},
		{"clientt --help", "unknown command \"clientt\" for \"cpctl\"\n  did you mean \"client\"? see: cpctl --help"},
		{"tenant -h gt", "unknown command \"gt\" for \"cpctl tenant\"\n  did you mean \"get\"? see: cpctl tenant --help"},
		{"tenant creat acme --issuer x", "unknown command \"creat\" for \"cpctl tenant\"\n  did you mean \"create\"? see: cpctl tenant --help"},
		{"help tenat", "unknown command \"tenat\" for \"cpctl\"\n  did you mean \"tenant\"? see: cpctl --help"},
		{"tenant create a --dispaly-name x", "unknown flag --dispaly-name\n  did you mean --display-name? see: cpctl tenant create --help"},
		{"tenant create a -z", "unknown flag -z\n  see: cpctl tenant create --help"},
		{"tenant create a --issuer", "--issuer needs a value"},
		{"tenant create", "missing SLUG\n  see: cpctl tenant create --help"},
		{"tenant get", "missing SLUG\n  see: cpctl tenant get --help"},
		{"client secret revoke web", "missing SECRET-ID\n  see: cpctl client secret revoke --help"},
		{"tenant list acme", "unexpected argument \"acme\"\n  see: cpctl tenant list --help"},
		{"tenant list -o xml", "\"xml\" is not a format of --output\n  the formats are table, wide, json, yaml, name"},
		{"tenant list --color red", "\"red\" is no value of --color\n  it is auto, always, never"},
		{"tenant list --timeout soon", "\"soon\" is no value of --timeout: must be a duration such as 30s, 15m or 7d"},
		{"tenant list --timeout -1s", "\"-1s\" is no value of --timeout: must be a duration such as 30s, 15m or 7d"},
		{"tenant list --min-index x", "\"x\" is no value of --min-index: must be a whole number"},
		{"tenant list -l env", "-l \"env\" must be KEY=VALUE"},
		{"tenant list --limit -1", "--limit must be zero or more"},
		{"tenant list -s 10.0.0.1", "--server \"10.0.0.1\" is not an address\n  it is HOST:PORT, such as 10.0.0.1:7700 or [fd00::1]:7700, or unix:PATH"},
		{"tenant list -s :7700", "--server \":7700\" is not an address\n  it is HOST:PORT, such as 10.0.0.1:7700 or [fd00::1]:7700, or unix:PATH"},
		{"tenant list -s h:0", "--server \"h:0\" is not an address\n  it is HOST:PORT, such as 10.0.0.1:7700 or [fd00::1]:7700, or unix:PATH"},
		{"tenant list -s h:65536", "--server \"h:65536\" is not an address\n  it is HOST:PORT, such as 10.0.0.1:7700 or [fd00::1]:7700, or unix:PATH"},
		{"tenant list -s n1/cpctl.sock", "--server \"n1/cpctl.sock\" is not an address\n  a socket is written unix:n1/cpctl.sock"},
		{"tenant list -s unix:/a,", "--server has an empty address"},
		{"tenant list -s unix:", "--server \"unix:\" has no path"},
		{"tenant list -s /a.sock", "--server \"/a.sock\" is not an address\n  a socket is written unix:/a.sock"},
		{"client list", "which tenant?\n  pass -t SLUG or set CPCTL_TENANT"},
		{"client get client/acme/web -t globex", "client/acme/web is not in tenant \"globex\"\n  leave out -t, or the tenant in the name"},
		{"tenant get client/acme/web", "\"client/acme/web\" does not name a tenant"},
		{"key list", "whose keys?\n  pass -t SLUG, set CPCTL_TENANT, or --global for the platform's own"},
		{"key list -t acme --global", "-t and --global exclude each other"},
		{"tenant update acme", "nothing to change\n  give a field, -f FILE or --set PATH=VALUE; see: cpctl tenant update --help"},
		{"tenant update acme --set x", "--set \"x\" must be PATH=VALUE"},
		{"tenant update acme --label =x", "--label \"=x\" must be KEY=VALUE, or KEY- to remove it"},
		{"tenant update a b --issuer x --request-id r", "--request-id goes with one name, not 2"},
		{"tenant delete a b --yes --if-revision 4", "--if-revision goes with one name, not 2"},
		{"tenant create a --request-id a/b", "--request-id: request id \"a/b\" must be 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\""},
		{"tenant create a --if-revision 4", "create makes what is not there: no --if-revision but 0 can hold"},
		{"tenant create a b -f -", "-f - can be read for one name, not 2"},
		{"tenant create a -f " + dir + "/none", dir + "/none: no such file or directory"},
		{"tenant create a -f " + dir, dir + ": is a directory"},
		{"client create a b -t acme --secret-out s", "--secret-file and --secret-out go with one name, not 2"},
		{"client create a -t acme --public --confidential", "--confidential and --public exclude each other"},
		{"client create a -t acme --secret-file a --secret-out b", "--secret-file and --secret-out exclude each other"},
		{"client create a -t acme --secret-out " + dir + "/none/s", "cannot write in " + dir + "/none: no such file or directory"},
		{"client create a -t acme --secret-out " + dir, dir + " is a directory"},
		{"scope delete x -t acme --mode maybe", "\"maybe\" is no value of --mode: must be restrict or detach"},
		{"tenant delete acme", "refusing to delete tenant \"acme\" without confirmation; pass --yes"},
		{"client delete web -t acme", "refusing to delete client \"web\" of tenant \"acme\" without confirmation; pass --yes"},
		{"key revoke k1 -t acme", "refusing to revoke key \"k1\" of \"acme\" without confirmation; pass --yes"},
		{"client secret revoke web s1 -t acme", "refusing to revoke secret \"s1\" of client \"web\" of tenant \"acme\" without confirmation; pass --yes"},
		{"cluster remove n3", "refusing to remove node \"n3\" from the cluster without confirmation; pass --yes"},
		{"cluster leave", "refusing to take the node at unix:.local/state/cpctl/cpctl.sock out of the cluster without confirmation; pass --yes"},
		{"cluster leave -y -s 10.0.0.1:7700,10.0.0.2:7700", "which node is to leave? 2 servers are named\n  name one with --server"},
		{"cluster remove n3 -y --request-id /", "--request-id: request id \"/\" must be 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\""},
		{"cluster autoremove --min-voters 3", "--min-voters needs --after"},
		{"cluster autoremove --after 0s", "--after 0 would remove whoever is slow\n  to remove nobody: --off"},
		{"snapshot inspect " + dir + "/none", dir + "/none: no such file or directory"},
		{"restore " + dir + "/none -y", dir + "/none: no such file or directory"},
		{"restore " + file + " -y -t acme", "this version restores the whole state, not one tenant of it; leave out -t"},
		{"completion bsh", "\"bsh\" is not a shell that completion is made for\n  did you mean \"bash\"?"},
		{"bench --clients 1,x", "--clients \"1,x\" must be numbers from 1 to 4096 with commas between"},
		{"bench --count 0", "--count must be from 1 to 1000000"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			w := newWorld()
			w.run(strings.Fields(tt.args)...).want(t, 2, "", "cpctl: "+tt.err+"\n")
			if len(w.requests)+len(w.gets)+len(w.lists) != 0 || w.removed != "" {
				t.Error("the cluster was asked")
			}
		})
	}
	t.Run("an empty name", func(t *testing.T) {
		newWorld().run("tenant", "delete", "", "-y").want(t, 2, "", "cpctl: argument 1 is empty\n  see: cpctl tenant delete --help\n")
	})
	t.Run("a variable of the environment", func(t *testing.T) {
		w := newWorld()
		w.env["CPCTL_TIMEOUT"] = "x"
		w.run("tenant", "list").want(t, 2, "", "cpctl: CPCTL_TIMEOUT=\"x\": must be a duration such as 30s, 15m or 7d\n")
	})
	t.Run("as JSON, before the flags could be read", func(t *testing.T) {
		newWorld().run("tenant", "list", "--nope", "-o", "json").want(t, 2, "",
			"{\n  \"error\": {\n    \"code\": \"usage\",\n    \"message\": \"unknown flag --nope\",\n    \"hint\": \"see: cpctl tenant list --help\",\n    \"retryable\": false\n  }\n}\n")
	})
}
