package faults

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/test/live"
)

// hands is what people do to data/, and what a check says of it first.
var hands = []struct {
	fact  string
	do    func(data string) error
	fault string
}{
	{"a document is edited", func(d string) error {
		return os.WriteFile(d+"/tenants/acme/clients/app-00003.json", []byte(`{"client_id":"app-00003","redirect_uris":["https://evil.example"]}`), 0o600)
	}, "data/tenants/acme/clients/app-00003.json   changed"},
	{"keys are deleted", func(d string) error { return os.RemoveAll(d + "/keys") }, "data/keys/acme/jwks.json"},
	{"a client is added", func(d string) error {
		return os.WriteFile(d+"/tenants/acme/clients/evil.json", []byte("{}"), 0o600)
	}, "data/tenants/acme/clients/evil.json   foreign"},
	{"a document becomes a link", func(d string) error {
		return errors.Join(os.Remove(d+"/keys/acme/keyset.json"), os.Symlink("/etc/passwd", d+"/keys/acme/keyset.json"))
	}, "data/keys/acme/keyset.json   changed"},
	{"a directory takes the place of a document", func(d string) error {
		return errors.Join(os.Remove(d+"/keys/acme/jwks.json"), os.MkdirAll(d+"/keys/acme/jwks.json/in/it", 0o700))
	}, "data/keys/acme/jwks.json   changed"},
	{"a pipe takes the place of a document", func(d string) error {
		return errors.Join(os.Remove(d+"/tenants/acme/tenant.json"), unix.Mkfifo(d+"/tenants/acme/tenant.json", 0o600))
	}, "data/tenants/acme/tenant.json   changed"},
	{"everything may be read by all", func(d string) error {
		return filepath.WalkDir(d, func(path string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Chmod(path, 0o777)) })
	}, "data   "},
	{"the marker is emptied", func(d string) error { return os.Truncate(d+"/.applied", 0) }, "data/.applied   changed"},
	{"data/ is moved away", func(d string) error { return os.Rename(d, d+".away") }, "data   foreign"},
	{"data/ is replaced by a copy", func(d string) error {
		return errors.Join(os.Rename(d, d+".old"), os.CopyFS(d, os.DirFS(d+".old")))
	}, "data   foreign"},
}

// What hands have done to data/ of one node is found and put right, while the
// node runs and at its start, and neither the other node nor a snapshot has it.
func TestWhatHandsHaveDoneIsPutRight(t *testing.T) {
	c := live.Found(t, 2, "--snapshot-threshold", "20", "--snapshot-interval", "100ms")
	n, peer := c.Nodes[1], c.Nodes[0]
	c.Must(n.Server(), "tenant", "create", "acme")
	c.Must(n.Server(), "key", "rotate", "-t", "acme")
	c.Flood(live.FewCallers, "acme", 0, 30)
	want := c.Identical()
	for _, h := range hands {
		var r *live.Result
		for range 5 { // an election moves the index, and what is published with it puts right what it meets
			if err := h.do(n.Data()); err != nil {
				t.Fatalf("%s: %v", h.fact, err)
			}
			if r = c.Cpctl(peer.Server(), nil, "cluster", "check"); r.Exit != 0 {
				break
			}
			clear(t, n)
		}
		if r.Exit != 11 || !strings.Contains(squeeze(r.Stdout), squeeze([]byte(n.Name+" "+h.fault))) || strings.Contains(string(r.Stdout), "\n"+peer.Name+" ") {
			t.Errorf("%s: exit %d, want 11 and %s %s\n%s%s", h.fact, r.Exit, n.Name, h.fault, r.Stdout, r.Stderr)
		}
		file := filepath.Join(c.Dir, "archive.tgz")
		c.Must(n.Server(), "snapshot", "save", file)
		wantArchive(t, h.fact, file, want)
		if r := c.Cpctl(peer.Server(), nil, "cluster", "check", "--repair"); r.Exit != 0 {
			t.Errorf("%s: the repair: exit %d\n%s%s", h.fact, r.Exit, r.Stdout, r.Stderr)
		}
		c.Must(peer.Server(), "cluster", "check")
		live.SameTree(t, h.fact, live.Tree(t, n.Data()), want)
		live.SameTree(t, h.fact+": the other node", live.Tree(t, peer.Data()), want)

		clear(t, n)
		n.Stop()
		if err := h.do(n.Data()); err != nil {
			t.Fatalf("%s, while the node is down: %v", h.fact, err)
		}
		n.Start()
		c.Await(n)
		live.Until(t, h.fact+": the start has put it right", func() bool {
			return c.Cpctl(n.Server(), nil, "cluster", "check").Exit == 0
		})
		live.SameTree(t, h.fact+", at a start", live.Tree(t, n.Data()), want)
		clear(t, n)
		if t.Failed() {
			t.Fatalf("after: %s", h.fact)
		}
	}
	c.Must(n.Server(), "client", "delete", "app-00003", "-t", "acme", "--yes")
	c.Identical()
	checkSnapshots(t, n, "app-00003.json")
}

// clear removes what hands have put beside data/.
func clear(t *testing.T, n *live.Node) {
	t.Helper()
	for _, name := range []string{".away", ".old"} {
		if err := os.RemoveAll(n.Data() + name); err != nil {
			t.Fatal(err)
		}
	}
}

// squeeze makes one space of many: columns are as wide as their longest cell.
func squeeze(b []byte) string { return strings.Join(strings.Fields(string(b)), " ") }

// wantArchive compares the documents of an archive with files.
func wantArchive(t *testing.T, fact, file string, want map[string][]byte) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, err := snapshot.Read(f, snapshot.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", fact, err)
	}
	for name, b := range want {
		if d := a.Image.Get(name); d == nil || !bytes.Equal(d.Bytes, b) {
			t.Errorf("%s: %s in the archive is not what it was", fact, name)
		}
	}
}

// checkSnapshots wants every snapshot that raft has taken of a node to be whole.
func checkSnapshots(t *testing.T, n *live.Node, document string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(n.Dir, "raft", "snapshots", "*", "state.bin"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no snapshots: %v", err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		a, err := snapshot.Read(f, snapshot.Limits{})
		f.Close()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if d := a.Image.Get("tenants/acme/clients/" + document); d != nil && bytes.Contains(d.Bytes, []byte("evil")) {
			t.Errorf("%s has what hands have written", file)
		}
	}
}
