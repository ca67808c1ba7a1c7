package publish

import (
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// Withdraw takes the files back from their readers: the state that they show is
// not to be trusted. The files stay as they are, the marker in data/ says so and
// names no boot, and nothing is published until Readmit. It may come before
// Start, and does not wait for the disk once that was called.
func (p *Publisher) Withdraw(why string) {
	p.mu.Lock()
	if p.withdrawn != nil || p.closed {
		p.mu.Unlock()
		return
	}
	p.withdrawn, p.queue, p.readmit = &why, batch{}, nil
	started := p.started
	p.mu.Unlock()
	p.report(func(*Status) {})
	if !started {
		p.renounce() // readers may be there already; what fails is tried again by the publishing goroutine
		return
	}
	p.poke()
}

// Readmit ends a withdrawal: the image is published as a whole, by exchange, and
// what comes after it as ever.
func (p *Publisher) Readmit(img *store.Image) {
	p.mu.Lock()
	if p.withdrawn == nil || p.closed {
		p.mu.Unlock()
		return
	}
	p.withdrawn, p.readmit, p.queue = nil, img, batch{}
	p.mu.Unlock()
	p.report(func(s *Status) { *s = Status{} })
	p.poke()
}

// withdrawal does what is left to do of a Withdraw, or begins anew after a
// Readmit. Held: nothing else is to be done meanwhile.
func (p *Publisher) withdrawal() (held, more bool) {
	p.mu.Lock()
	withdrawn, img := p.withdrawn, p.readmit
	p.readmit = nil
	p.mu.Unlock()
	switch {
	case img != nil:
		p.startOver(img)
		return true, true
	case withdrawn == nil:
		return false, false
	}
	if r := p.auditFor; r != nil {
		r.refuse(*withdrawn)
	}
	p.audit, p.auditFor = nil, nil
	p.refuseChecks()
	if p.renounced || time.Now().Before(p.retryAt) {
		return true, p.sweep(step)
	}
	p.renounce()
	return true, true
}

// renounce writes into data/ that its files are not to be used.
func (p *Publisher) renounce() {
	err := error(nil)
	if p.root == nil {
		err = p.prepare()
	}
	ours := false
	if err == nil {
		ours, err = p.ours()
	}
	if err == nil && ours {
		a := p.found
		if p.last != nil {
			a = p.record("", p.last, p.shown)
		}
		a.State, a.BootID, a.ClusterID = StateWithdrawn, "", p.cfg.ClusterID
		err = p.stamp(a)
	}
	if err != nil {
		if p.failures++; p.failures == 1 {
			p.log.Error("readers of the files cannot be told not to use them", "err", err)
		}
		p.retryAt = time.Now().Add(min(p.backoff<<min(p.failures-1, 10), maxBackoff))
		return
	}
	p.failures, p.renounced = 0, true
}

// startOver makes the files those of an image, whatever they were before.
func (p *Publisher) startOver(img *store.Image) {
	p.renounced, p.verified, p.known, p.held = false, false, false, false
	p.audit, p.auditFor = nil, nil
	p.first, p.last, p.shown = img, nil, 0
	p.failed, p.failures, p.compare, p.inPlace = batch{}, 0, false, false
	if p.root == nil {
		if err := p.prepare(); err != nil {
			p.degrade(batch{img: img}, err)
			return
		}
		p.known = false
	}
	p.publish(batch{img: img, whole: true})
}
