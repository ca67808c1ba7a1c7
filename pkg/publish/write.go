//go:build !unpublished

package publish

import "github.com/cpctl/cpctl/pkg/store"

// write makes the files equal to an image: intent, the files, done; or the
// whole tree at once, which brings its marker along.
func (p *Publisher) write(img *store.Image, b *batch) error {
	if p.compare {
		a, err := p.root.compare(img)
		if err != nil {
			return err
		}
		for _, f := range a {
			b.add(f.Path)
		}
		b.whole = b.whole || many(len(a), img)
	}
	done := p.record(StateDone, img, p.indexOf(b))
	if b.whole && !p.inPlace {
		return p.exchange(img, done)
	}
	if ours, err := p.ours(); err != nil {
		return err
	} else if !ours {
		return p.exchange(img, done)
	}
	if len(b.paths) == 0 {
		return p.stamp(done)
	}
	if p.verified || p.known && p.found.BootID == p.cfg.BootID {
		if err := p.stamp(p.record(StateIntent, img, done.Index)); err != nil {
			return err
		}
	}
	paths := make([]string, 0, len(b.paths))
	for name := range b.paths { // put in order by update
		paths = append(paths, name)
	}
	if err := p.root.update(img, p.last, paths); err != nil {
		return err
	}
	return p.stamp(done)
}
