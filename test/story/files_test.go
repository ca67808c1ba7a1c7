package story_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// files is
//
//	files NAME
//
// It lists what a node publishes, the files below NAME/data, sorted.
func files(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: files NAME")
	}
	tree, err := published(ts.MkAbs(args[0]))
	ts.Check(err)
	for _, path := range slices.Sorted(maps.Keys(tree)) {
		fmt.Fprintln(ts.Stdout(), path)
	}
}

// published reads what is below data/, without the node's own record of it.
func published(dir string) (map[string]string, error) {
	root, tree := filepath.Join(dir, "data"), map[string]string{}
	return tree, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".applied" {
			return err
		}
		b, err := os.ReadFile(path)
		tree[strings.TrimPrefix(path, root+"/")] = string(b)
		return err
	})
}

// same is
//
//	same NAME NAME...
//
// It waits until the nodes publish the same files with the same bytes.
func same(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: same NAME NAME...")
	}
	until(ts, func() error {
		first, err := published(ts.MkAbs(args[0]))
		if err != nil {
			return err
		}
		if len(first) == 0 {
			return fmt.Errorf("%s publishes nothing", args[0])
		}
		for _, name := range args[1:] {
			other, err := published(ts.MkAbs(name))
			if err != nil {
				return err
			}
			if !maps.Equal(first, other) {
				return fmt.Errorf("%s and %s publish different files", args[0], name)
			}
		}
		return nil
	})
}

// voters is
//
//	voters N
//
// It waits until the node n1 knows of a leader and N voters that are alive: a
// node that joins is a member without a vote until it has caught up.
func voters(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: voters N")
	}
	until(ts, func() error {
		out, err := command(ts, []string{"cpctl", "cluster", "status", "-o", "json"}).Output()
		if err != nil {
			return err
		}
		var seen struct {
			Leader string
			Nodes  []struct{ Role, State string }
		}
		if err := json.Unmarshal(out, &seen); err != nil {
			return err
		}
		n := 0
		for _, m := range seen.Nodes {
			if m.Role != "non-voter" && m.State == "alive" {
				n++
			}
		}
		if fmt.Sprint(n) != args[0] || seen.Leader == "" {
			return fmt.Errorf("there are %d voters and the leader %q, want %s and one", n, seen.Leader, args[0])
		}
		return nil
	})
}

// until tries again until there is no error, not longer than patience.
func until(ts *testscript.TestScript, try func() error) {
	over := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			ts.Fatalf("after %s: %v", patience, err)
		}
	}
}

// modes is
//
//	modes DIR
//
// Nobody but the owner may do anything with what is at and below DIR.
func modes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: modes DIR")
	}
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			return fmt.Errorf("%s has mode %04o", path, mode)
		}
		return nil
	}))
}

// nowhere is
//
//	[!] nowhere WORD PATH...
//
// WORD is in no file at or below the paths: not as it is, not in hex or base64,
// and not inside of what is compressed. With ! it is in one at least.
func nowhere(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args[0]) < 8 {
		ts.Fatalf("usage: [!] nowhere WORD PATH..., WORD of 8 bytes or more")
	}
	read, found := 0, ""
	for _, path := range args[1:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(path), func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path != ts.MkAbs(args[1]) {
				return nil // a live node may remove files meanwhile
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			read++
			if holds(b, args[0]) {
				found = path
			}
			return nil
		}))
	}
	if read == 0 {
		ts.Fatalf("there are no files at %v", args[1:])
	}
	if !neg && found != "" {
		ts.Fatalf("%s holds it", found)
	}
	if neg && found == "" {
		ts.Fatalf("none of %d files holds it", read)
	}
}

func holds(b []byte, word string) bool {
	for _, form := range []string{word, hex.EncodeToString([]byte(word)), base64.RawStdEncoding.EncodeToString([]byte(word)[:len(word)/3*3])} {
		if bytes.Contains(b, []byte(form)) {
			return true
		}
	}
	if z, err := gzip.NewReader(bytes.NewReader(b)); err == nil {
		if plain, err := io.ReadAll(z); err == nil {
			return holds(plain, word)
		}
	}
	return false
}

// resum is
//
//	resum FILE
//
// FILE is node.json, which the script has changed: it gets the checksum of what
// it holds now, as a build that writes such files would give it.
func resum(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: resum FILE")
	}
	body, _, found := strings.Cut(ts.ReadFile(args[0]), ",\n  \"checksum\": ")
	if !found {
		ts.Fatalf("%s has no checksum", args[0])
	}
	sum := crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), fmt.Appendf(nil, "%s,\n  \"checksum\": \"%08x\"\n}\n", body, sum), 0o600))
}
