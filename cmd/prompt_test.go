package cmd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrompts(t *testing.T) {
	for _, tt := range []struct {
		name, args, stdin string
		code              int
		out, err          string
		asked             int // requests
	}{
		{"a tenant by its slug", "tenant delete acme", "acme\n", 0, "tenant/acme deleted\n",
			"all its clients, scopes and keys go with it\ndelete tenant \"acme\"? type acme to confirm: ", 1},
		{"yes is no slug", "tenant delete acme", "yes\n", 2, "",
			"all its clients, scopes and keys go with it\ndelete tenant \"acme\"? type acme to confirm: cpctl: not confirmed; nothing was changed\n", 0},
		{"a client by yes", "client delete web -t acme", "y\n", 0, "client/acme/web deleted\n", "delete client \"web\" of tenant \"acme\"? [y/N] ", 1},
		{"nothing is no", "client delete web -t acme", "\n", 2, "", "delete client \"web\" of tenant \"acme\"? [y/N] cpctl: not confirmed; nothing was changed\n", 0},
		{"the end of input is no", "client delete web -t acme", "", 2, "", "delete client \"web\" of tenant \"acme\"? [y/N] cpctl: not confirmed; nothing was changed\n", 0},
		{"each of several", "client delete web batch -t acme", "n\ny\n", 2, "client/acme/batch deleted\n",
			"delete client \"web\" of tenant \"acme\"? [y/N] cpctl: not confirmed; nothing was changed\ndelete client \"batch\" of tenant \"acme\"? [y/N] ", 1},
		{"--no-input", "client delete web -t acme --no-input", "y\n", 2, "",
			"cpctl: refusing to delete client \"web\" of tenant \"acme\" without confirmation; pass --yes\n", 0},
		{"a dry run destroys nothing", "tenant delete acme --dry-run", "", 0, "tenant/acme deleted (dry run)\n", "", 1},
		{"a rotation is not asked about", "key rotate -t acme", "", 0, "keyset/acme rotated\n", "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.terminal, w.stdin = true, tt.stdin
			w.env["NO_COLOR"] = "1"
			w.run(strings.Fields(tt.args)...).want(t, tt.code, tt.out, tt.err)
			if len(w.requests) != tt.asked {
				t.Errorf("%d requests, want %d", len(w.requests), tt.asked)
			}
		})
	}
	t.Run("CPCTL_NO_INPUT", func(t *testing.T) {
		w := newWorld()
		w.terminal, w.env["CPCTL_NO_INPUT"] = true, "1"
		w.run("tenant", "delete", "acme").want(t, 2, "", "cpctl: refusing to delete tenant \"acme\" without confirmation; pass --yes\n")
	})
}

func TestRestoreAsksForTheLeader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "b.tgz")
	if err := os.WriteFile(path, archive(t), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	w.terminal, w.status, w.stdin = true, threeNodes, "n2\n"
	w.run("restore", path).want(t, 2, "", "the cluster now holds 128 tenants, 1904 clients, 700 scopes, 256 keys\n"+
		"restore "+path+" over the whole state? type n1 to confirm: cpctl: not confirmed; nothing was changed\n")
	if w.restored != nil {
		t.Error("restored all the same")
	}
	w.stdin = "n1\n"
	if r := w.run("restore", path); r.code != 0 || len(w.restored) == 0 {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}
