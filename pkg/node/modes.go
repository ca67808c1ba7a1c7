package node

import (
	"errors"
	"io/fs"
	"os"

	"github.com/cpctl/cpctl/pkg/store"
)

// private is what of the data directory nobody else may read, or with a few
// bits less, change: whoever passes the directory could else be this node, or
// open what is sealed.
var private = []struct {
	name string
	most fs.FileMode
}{
	{"cluster.key", 0o600},
	{"tls", 0o755},
	{"tls/node.key", 0o600},
	{"tls/node.crt", 0o644},
	{"tls/ca.crt", 0o644},
}

// tooOpen calls for each of them that is there and has a mode that lets others
// do more than they should.
func (d *dataDir) tooOpen(each func(name string, is, want fs.FileMode) error) error {
	for _, p := range private {
		info, err := os.Stat(d.file(p.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // whoever needs it says more
		}
		if err != nil {
			return err
		}
		if is := info.Mode().Perm(); is&^p.most&0o077 != 0 {
			want := fs.FileMode(0o600)
			if info.IsDir() {
				want = 0o700
			}
			if err := each(p.name, is, want); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkModes refuses to start with a key that others can read, as it does with
// a data directory that is open to them.
func (d *dataDir) checkModes() error {
	return d.tooOpen(func(name string, is, want fs.FileMode) error {
		return store.Errorf(store.CodeRefused, "%s has mode %04o: others could read or change it", d.file(name), is).
			WithHint("if nobody has: chmod %04o %s; if somebody may have, see \"cpctl cluster rekey --help\" and \"cpctl cert revoke --help\"", want, d.file(name))
	})
}

// checkModes reports what a start would refuse; with repair it takes away from
// others what is not theirs.
func (n *Node) checkModes(c *SelfCheck, repair bool) {
	err := n.dir.tooOpen(func(name string, is, want fs.FileMode) error {
		repaired := repair && os.Chmod(n.dir.file(name), want) == nil
		c.add(name, repaired, "has mode %04o: others could read or change it; make it %04o with chmod", is, want)
		return nil
	})
	if err != nil {
		c.add("tls", false, "%v", err)
	}
}
