package publish

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// unwritable reports whether an error is the disk's, and may pass: then the node
// is degraded, and tries again.
func unwritable(err error) bool {
	for _, e := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EROFS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// prepare makes Dir ready, or leaves nothing open.
func (p *Publisher) prepare() error {
	err := p.openData()
	if err != nil {
		if p.root != nil {
			p.root.close()
		}
		if p.mark != nil {
			p.mark.close()
		}
		p.root, p.mark = nil, nil
	}
	return err
}

// prepareAgain does at last what could not be done at Open.
func (p *Publisher) prepareAgain() (more bool) {
	if p.failures > 0 && p.pause() > 0 {
		p.refuseChecks()
		return false
	}
	if err := p.prepare(); err != nil {
		p.degrade(batch{img: p.first}, err)
		return true
	}
	p.failures = 0
	return true
}

// room fails like a full disk when what is left of it is kept for others.
func (y *yard) room() error {
	if y.spare != nil && !y.spare() {
		return fmt.Errorf("the rest of the disk is kept for the log: %w", unix.ENOSPC)
	}
	return nil
}
