package live

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cpctl/cpctl/pkg/rpc"
)

// Tree reads the files below a directory: path -> bytes. It is `diff -r -x
// .applied` that also looks at modes, and at directories that hold no file.
func Tree(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	filled := map[string]bool{".": true} // directories that hold a file
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == ".applied" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			if info.Mode().Perm() != 0o700 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			dirs = append(dirs, name)
			return nil
		case info.Mode() != 0o600: // a link or a device has more bits
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		for up := filepath.Dir(name); !filled[up]; up = filepath.Dir(up) {
			filled[up] = true
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !filled[d] {
			t.Errorf("the directory %s of %s holds no file", d, dir)
		}
	}
	return files
}

// SameTree reports every path in which two trees differ.
func SameTree(t testing.TB, what string, got, want map[string][]byte) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch b, there := got[name]; {
		case !there:
			t.Errorf("%s: %s is missing", what, name)
		case !bytes.Equal(b, want[name]):
			t.Errorf("%s: %s differs:\n%s\nwant\n%s", what, name, clip(b), clip(want[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, wanted := want[name]; !wanted {
			t.Errorf("%s: %s should not be there", what, name)
		}
	}
}

func clip(b []byte) string { return fmt.Sprintf("%.400s", b) }

// Identical waits until the cluster has settled, and checks that every node has
// the same state and the same files. It returns the files.
func (c *Cluster) Identical() map[string][]byte {
	c.t.Helper()
	files, _ := c.Still()
	return files
}

// Still is Identical, and how the cluster was all the while. A change that nobody
// asks for any more, and was on a line that was slow, may come at any time; what was
// read around it is read again.
func (c *Cluster) Still() (map[string][]byte, *rpc.ClusterStatus) {
	c.t.Helper()
	st := c.Settled()
	for range 10 {
		trees := make([]map[string][]byte, len(c.Nodes))
		for i, n := range c.Nodes {
			trees[i] = Tree(c.t, n.Data())
		}
		before := st
		if st = c.Settled(); st.Nodes[0].Revision != before.Nodes[0].Revision {
			continue
		}
		for _, m := range st.Nodes {
			if m.Digest != st.Nodes[0].Digest || m.StateDigest != st.Nodes[0].StateDigest || m.Revision != st.Nodes[0].Revision {
				c.t.Errorf("node %s: revision %d, digest %s, state digest %s; node %s: %d, %s, %s", m.Name, m.Revision, m.Digest, m.StateDigest,
					st.Nodes[0].Name, st.Nodes[0].Revision, st.Nodes[0].Digest, st.Nodes[0].StateDigest)
			}
		}
		for i, n := range c.Nodes[1:] {
			SameTree(c.t, "node "+n.Name+" against "+c.Nodes[0].Name, trees[i+1], trees[0])
		}
		return trees[0], st
	}
	c.t.Fatal("the state goes on changing, and nobody asks for it")
	return nil, nil
}
