package cmd

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
)

// withSecret is a cluster that makes a secret.
func withSecret() *world {
	w := newWorld()
	w.fake.write = func(context.Context, *mutation.Request) (*mutation.Answer, error) {
		return &mutation.Answer{Outcome: mutation.Created, Name: "client/acme/web", Secret: "cps_SECRET", Published: true,
			Document: json.RawMessage(`{"format_version":"1.0","kind":"client"}`)}, nil
	}
	return w
}

// A generated secret is shown once: on stdout alone, or in a file.
func TestGeneratedSecret(t *testing.T) {
	create := []string{"client", "create", "web", "-t", "acme"}
	t.Run("on a table", func(t *testing.T) {
		withSecret().run(create...).want(t, 0, "client/acme/web created\nclient_secret   cps_SECRET\n", "the secret is shown this once\n")
	})
	t.Run("in JSON", func(t *testing.T) {
		r := withSecret().run(append(create, "-o", "json")...)
		if !strings.Contains(r.out, `"client_secret": "cps_SECRET"`) || r.err != "" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("not as a name", func(t *testing.T) {
		withSecret().run(append(create, "-o", "name")...).want(t, 0, "client/acme/web\n",
			"client/acme/web: the secret was not shown; another is made by: cpctl client secret rotate client/acme/web\n")
	})
	t.Run("alone on stdout", func(t *testing.T) {
		withSecret().run(append(create, "--secret-out", "-")...).want(t, 0, "cps_SECRET\n", "client/acme/web created\n")
	})
	t.Run("in a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, []byte("old, longer than the new one"), 0o644); err != nil {
			t.Fatal(err)
		}
		r := withSecret().run(append(create, "-o", "json", "--secret-out", path)...)
		if r.code != 0 || strings.Contains(r.out+r.err, "SECRET") {
			t.Errorf("%+v", r)
		}
		wantFile(t, path, "cps_SECRET\n")
	})
	t.Run("no file without a secret", func(t *testing.T) {
		dir := t.TempDir()
		newWorld().run(append(create, "--secret-out", filepath.Join(dir, "s"))...).want(t, 0, "client/acme/web created\n",
			"client/acme/web: no secret was generated\n")
		wantEmpty(t, dir)
	})
}

func wantFile(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	st, serr := os.Stat(path)
	if err != nil || serr != nil {
		t.Fatal(err, serr)
	}
	if string(b) != text || st.Mode().Perm() != 0o600 {
		t.Errorf("%s: %q, mode %o; want %q, mode 600", path, b, st.Mode().Perm(), text)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".cpctl-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v; want an empty directory", entries, err)
	}
}

func TestImportedSecret(t *testing.T) {
	for _, tt := range []struct{ name, stdin, want, err string }{
		{"one final newline is dropped", "s3cret\n\n", "s3cret\n", ""},
		{"a carriage return with it", "s3cret\r\n", "s3cret", ""},
		{"none is fine", "s3cret", "s3cret", ""},
		{"nothing is refused", "\n", "", "cpctl: the secret is empty\n"},
		{"a whole file is refused", strings.Repeat("x", 5000), "", "cpctl: - is larger than 4.1 kB\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.stdin = tt.stdin
			r := w.run("client", "create", "web", "-t", "acme", "--secret-file", "-", "-q")
			if tt.err != "" {
				r.want(t, 2, "", tt.err)
				return
			}
			if r.code != 0 || w.requests[0].Secret == nil || *w.requests[0].Secret != tt.want || strings.Contains(r.out+r.err, "s3cret") {
				t.Errorf("%+v, request %+v", r, w.requests)
			}
		})
	}
}
