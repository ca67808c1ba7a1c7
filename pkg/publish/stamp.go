package publish

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/store"
)

// stamp writes data/.applied.
func (p *Publisher) stamp(a Applied) error {
	if err := p.mark.write(a); err != nil {
		return fmt.Errorf("write %s/%s: %w", dataName, appliedName, err)
	}
	return nil
}

func (p *Publisher) record(state string, img *store.Image, index uint64) Applied {
	return Applied{
		State: state, Index: index, Term: img.Term, Revision: img.Revision(), Digest: img.DataDigest(),
		ClusterID: p.cfg.ClusterID, BootID: p.cfg.BootID,
	}
}

// ours reports whether data/ is still the directory that is open. It puts its
// mode right, and gives it a marker if it has none that is open.
func (p *Publisher) ours() (bool, error) {
	if !same(p.dir, dataName, p.root.fd) {
		return false, nil
	}
	if err := p.own.fix(p.sys, p.root.fd, p.own.dir); err != nil {
		return false, err
	}
	if p.mark != nil && same(p.root.fd, appliedName, p.mark.fd) {
		return true, nil
	}
	mark, err := makeApplied(p.root)
	if err != nil {
		return false, err
	}
	if p.mark != nil {
		p.mark.close()
	}
	p.mark = mark
	return true, nil
}

// same reports whether a name below a handle is the open file or directory.
func same(dir int, name string, fd int) bool {
	var open unix.Stat_t
	st, err := disk.Lstat(dir, name)
	return err == nil && unix.Fstat(fd, &open) == nil && st.Dev == open.Dev && st.Ino == open.Ino
}
