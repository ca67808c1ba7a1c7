package publish

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// exchange stages a whole tree of the image in restore.tmp/, compares it with
// the image, and swaps it with data/ in one step, its marker included. Readers
// see the old tree or the new one; descriptors of the old one stay on it.
func (p *Publisher) exchange(img *store.Image, done Applied) error {
	if err := p.yard.open(); err != nil {
		return err
	}
	name := p.yard.name()
	t, mark, err := p.stage(name, img, done)
	if err == nil {
		err = p.swap(name)
	}
	if err != nil {
		if t != nil {
			t.close()
		}
		if mark != nil {
			mark.close()
		}
		return errors.Join(fmt.Errorf("exchange %s: %w", dataName, err), p.yard.discard(name))
	}
	p.root.close()
	if p.mark != nil {
		p.mark.close()
	}
	p.root, p.mark = t, mark
	return nil
}

// stage writes the tree of an image below a name of the yard.
func (p *Publisher) stage(name string, img *store.Image, done Applied) (*tree, *slots, error) {
	maker := newTree(p.sys, p.own, p.yard.fd, p.yard)
	fd, err := maker.mkdir(p.yard.fd, name)
	if err != nil {
		return nil, nil, err
	}
	t := newTree(p.sys, p.own, fd, p.yard)
	defer t.release()
	for _, top := range tops {
		for d := range img.Scan(top) {
			if err := t.add(d.Path, d.Bytes); err != nil {
				return t, nil, err
			}
		}
	}
	t.release()
	faults, err := t.compare(img)
	if err == nil && len(faults) > 0 {
		err = fmt.Errorf("%s is %s after it was written: %w", faults[0].Path, faults[0].Problem, unix.EIO)
	}
	if err != nil {
		return t, nil, err
	}
	mark, err := makeApplied(t)
	if err == nil {
		err = mark.write(done)
	}
	return t, mark, err
}

// swap puts the staged tree in the place of data/ and the old one in the queue
// for deletion.
func (p *Publisher) swap(name string) error {
	err := p.sys.Exchange(p.yard.fd, name, p.dir, dataName)
	if err == unix.ENOENT { // somebody took data/ away
		return p.sys.Rename(p.yard.fd, name, p.dir, dataName)
	}
	if err != nil {
		return err
	}
	p.yard.keepTree(name)
	return nil
}
