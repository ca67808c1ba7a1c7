package config

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

const (
	somePEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUAQ==\n-----END CERTIFICATE-----\n"
	someKey = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49SECRET\n-----END PRIVATE KEY-----\n"
)

func some(name string) Context {
	return Context{Name: name, Servers: []string{"10.0.0.1:7700", "[fd00::1]:7700", "unix:/run/n1/cpctl.sock"},
		Tenant: "acme", CA: somePEM + somePEM, Certificate: somePEM, Key: someKey}
}

// put writes contexts to a file of its own and returns its path.
func put(t *testing.T, all ...Context) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cpctl", "config.yaml")
	err := Update(context.Background(), path, func(f *File) error {
		for _, c := range all {
			f.Put(c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func wantRefusal(t *testing.T, err error, code store.Code, parts ...string) {
	t.Helper()
	var e *store.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("err = %v, want one of code %s", err, code)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error()+"\n"+e.Hint, part) {
			t.Errorf("%v\n  %s\ndoes not say %q", err, e.Hint, part)
		}
	}
}

func TestAFileIsReadAsItWasWritten(t *testing.T) {
	var all []Context
	for _, name := range []string{"prod", "0123", "1e3", "true", "null", "no", "0x1f", "1_000", "2026-01-01", "a.b-c_d", "0", "1.0"} {
		c := some(name)
		c.Tenant = name
		all = append(all, c)
	}
	all = append(all, Context{Name: "empty"}, Context{Name: "z", Servers: []string{"0x1f:1", "a b:#7", "- x:1", `"quoted":1`}})
	path := put(t, all...)
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Contexts) != len(all) {
		t.Errorf("%d contexts, want %d", len(f.Contexts), len(all))
	}
	for _, want := range all {
		if got := f.Find(want.Name); got == nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for name, want := range map[string]fs.FileMode{path: 0o600, path + ".lock": 0o600, filepath.Dir(path): fs.ModeDir | 0o700} {
		if st, err := os.Stat(name); err != nil || st.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", name, st.Mode(), err, want)
		}
	}
}

func TestWhatWouldReadBackAsSomethingElseIsNotWritten(t *testing.T) {
	path := put(t, some("prod"))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := Update(context.Background(), path, func(f *File) error { f.Put(Context{Name: "odd", Tenant: ".inf"}); return nil }); err == nil {
		t.Error("a word that comes back as a number was written")
	}
	if err := Update(context.Background(), path, func(f *File) error { f.Put(Context{Name: "../odd"}); return nil }); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a name with a path in it: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the file is another one now: %v", err)
	}
}

func TestWhatIsNotUnderstoodIsRefusedWithItsPlace(t *testing.T) {
	const head = "format_version: \"1.0\"\n"
	key := "    " + strings.ReplaceAll(strings.TrimSuffix(someKey, "\n"), "\n", "\n    ") + "\n"
	for _, c := range []struct {
		fact, text string
		code       store.Code
		says       string
	}{
		{"a member that nobody knows", head + "contexts:\n- name: prod\n  sever: [\"a:1\"]\n", store.CodeInvalid, `line 4, column 3: unknown field "sever"`},
		{"a member at the top", head + "curent: prod\ncontexts: []\n", store.CodeInvalid, `unknown field "curent"`},
		{"no version", "contexts: []\n", store.CodeInvalid, "no format_version"},
		{"a later version", "format_version: \"2.0\"\ncontexts: {}\nmore: 1\n", store.CodeNewer, `"2.0"`},
		{"two of one name", head + "contexts:\n- name: a\n- name: a\n", store.CodeInvalid, `two contexts "a"`},
		{"a name with a path in it", head + "contexts:\n- name: ../a\n", store.CodeInvalid, "the name of context 1 is none"},
		{"no name", head + "contexts:\n- tenant: a\n", store.CodeInvalid, "the name of context 1 is none"},
		{"no YAML", head + "contexts: [\n", store.CodeInvalid, "line "},
		{"a list where text is due", head + "contexts:\n- name: [a]\n", store.CodeInvalid, "line 3"},
		{"text where a list is due", head + "contexts:\n- name: a\n  servers: a:1\n", store.CodeInvalid, "line 4"},
		{"a key that is not indented", head + "contexts:\n- name: a\n  key: |\n" + someKey, store.CodeInvalid, "line "},
		{"a key without its bar", head + "contexts:\n- name: a\n  key:\n" + key + "  tenant: a: b\n", store.CodeInvalid, "line "},
		{"a key in the place of a name", head + "contexts:\n- key: a\n  name: |\n" + key, store.CodeInvalid, "the name of context 1 is none"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			path := put(t)
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Read(path)
			wantRefusal(t, err, c.code, path+": ", c.says)
			if strings.Contains(fmt.Sprint(err), "SECRET") {
				t.Errorf("the error holds a key: %v", err)
			}
		})
	}
}

func TestAFileThatOthersCanReadIsRefused(t *testing.T) {
	path := put(t, some("prod"))
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o620, 0o602, 0o644, 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		wantRefusal(t, err, store.CodeRefused, fmt.Sprintf("%s has mode %04o", path, mode), "chmod 600 "+path)
		err = Update(context.Background(), path, func(f *File) error { f.Put(some("other")); return nil })
		wantRefusal(t, err, store.CodeRefused, "chmod 600")
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if f, err := Read(path); err != nil || f.Find("prod") == nil || f.Find("other") != nil {
		t.Errorf("once it is nobody else's: %v, %v", f, err)
	}
}

func TestAFileThatIsNotThereIsToldApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "config.yaml")
	if _, err := Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("err = %v, want that it does not exist", err)
	}
	if _, err := Read(filepath.Dir(put(t))); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a directory: %v", err)
	}
	empty := put(t)
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := Read(empty); err != nil || len(f.Contexts) != 0 {
		t.Errorf("an empty file: %v, %v", f, err)
	}
}

func TestALinkIsFollowedAndStays(t *testing.T) {
	path := put(t, some("prod"))
	link := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := Update(context.Background(), link, func(f *File) error { f.Put(some("more")); return nil }); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", st.Mode(), err)
	}
	if f, err := Read(path); err != nil || f.Find("more") == nil {
		t.Errorf("the file has not got what was written through the link: %v, %v", f, err)
	}
}

func TestTheCurrentContextGoesWithItsDeletion(t *testing.T) {
	f := File{Current: "b"}
	for _, name := range []string{"c", "a", "b"} {
		f.Put(Context{Name: name})
	}
	if !f.Delete("a") || f.Current != "b" || !f.Delete("b") || f.Current != "" || f.Delete("b") {
		t.Errorf("left: %+v", f)
	}
	if names := f.Names(); len(names) != 1 || names[0] != "c" {
		t.Errorf("left: %v", names)
	}
}

func TestNoPrintShowsAKey(t *testing.T) {
	c := some("prod")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if text := fmt.Sprintf(verb+verb, c, &c.Key); strings.Contains(text, "SECRET") || strings.Contains(text, fmt.Sprintf("%x", "SECRET")) {
			t.Errorf("%s shows it: %s", verb, text)
		}
	}
}
