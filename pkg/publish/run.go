package publish

import (
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// step is how many paths are compared, or names deleted, before the queue is
// looked at again.
const step = 256

// maxBackoff bounds the time between two attempts to write files.
const maxBackoff = 5 * time.Second

// stopPatience bounds how long a node that is told to stop goes on verifying.
const stopPatience = 5 * time.Second

// run is the publishing goroutine.
func (p *Publisher) run() {
	defer close(p.stopped)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-p.stop:
			p.finish()
			return
		default:
		}
		if p.turn() {
			continue
		}
		timer.Reset(p.pause())
		select {
		case <-p.wake:
		case <-timer.C:
		case <-p.stop:
		}
	}
}

// turn does a piece of work. It reports whether there may be more to do now.
func (p *Publisher) turn() (more bool) {
	if held, more := p.withdrawal(); held {
		return more
	}
	if p.root == nil {
		return p.prepareAgain()
	}
	if !p.verified {
		return p.verify()
	}
	if p.failures > 0 {
		if time.Now().Before(p.retryAt) {
			p.refuseChecks()
			return false
		}
		p.publish(p.take())
		return true
	}
	if b := p.take(); !b.empty() {
		p.publish(b)
		more = true
	}
	if p.failures == 0 && p.auditTurn() {
		more = true
	}
	return p.sweep(step) || more
}

// pause returns how long there is nothing to do, unless something new comes.
func (p *Publisher) pause() time.Duration {
	next := time.Now().Add(time.Hour)
	if p.failures > 0 && p.retryAt.Before(next) {
		next = p.retryAt
	}
	if due, ok := p.yard.due(); ok && p.verified && p.failures == 0 && due.Before(next) {
		next = due
	}
	return max(time.Until(next), 0)
}

// finish publishes what is pending and leaves nothing behind.
func (p *Publisher) finish() {
	if held, _ := p.withdrawal(); held {
		p.end()
		p.yard.hurry()
		for p.sweep(1 << 20) {
		}
		return
	}
	for end := time.Now().Add(stopPatience); p.root != nil && !p.verified && p.failures == 0 && time.Now().Before(end); {
		if !p.verify() {
			break
		}
	}
	if p.verified {
		if b := p.take(); !b.empty() || p.failures > 0 {
			p.publish(b)
		}
	}
	p.end()
	p.yard.hurry()
	for p.sweep(1 << 20) {
	}
}

// end tells everybody who waits that nothing more will come.
func (p *Publisher) end() {
	p.report(func(*Status) { p.ended = true })
	if p.auditFor != nil {
		p.auditFor.refuse("the node is stopping")
		p.auditFor = nil
	}
	for r := p.nextCheck(); r != nil; r = p.nextCheck() {
		r.refuse("the node is stopping")
	}
}

func (p *Publisher) sweep(budget int) (more bool) {
	more, err := p.yard.sweep(time.Now(), budget)
	if err != nil {
		p.log.Warn("leaving it for the next start", "err", err)
	}
	return more
}

// publish makes the files equal to the batch's image, together with what an
// earlier attempt has left undone.
func (p *Publisher) publish(b batch) {
	b = p.withFailed(b)
	img := b.img
	err := p.write(img, &b)
	if err != nil {
		p.degrade(b, err)
		return
	}
	recovered := p.failures > 0 && p.verified
	p.last, p.failed, p.failures, p.compare, p.inPlace = img, batch{}, 0, false, false
	p.verified, p.shown = true, p.indexOf(&b)
	if recovered {
		p.log.Info("files can be written again", "index", p.shown)
		p.startAudit(nil) // an I/O error may have hit more than what was written
	}
	p.report(func(s *Status) { *s = Status{PublishedIndex: p.shown, Ready: true} })
}

// withFailed adds what is still to be done to a batch, which then has an image.
func (p *Publisher) withFailed(b batch) batch {
	f := p.failed
	for name := range f.paths {
		b.add(name)
	}
	b.idle = max(b.idle, f.idle)
	b.whole = b.whole || f.whole
	for _, img := range []*store.Image{f.img, p.last} {
		if img != nil {
			if b.img == nil || img.Index > b.img.Index {
				b.img = img
			}
		}
	}
	return b
}

// indexOf returns the log index that the files hold once a batch is written.
func (p *Publisher) indexOf(b *batch) uint64 {
	return max(b.img.Index, b.idle, p.shown)
}

// degrade remembers what could not be written and when to try again.
func (p *Publisher) degrade(b batch, err error) {
	p.failed = b
	if b.whole {
		p.compare, p.inPlace = true, p.inPlace || reason(err) == ReasonDiskFull
		p.failed.whole = false // the comparison finds what differs
	}
	if p.failures++; p.failures == 1 {
		p.log.Error("files cannot be written", "index", p.indexOf(&b), "reason", reason(err), "err", err)
	}
	p.retryAt = time.Now().Add(min(p.backoff<<min(p.failures-1, 10), maxBackoff))
	if r := p.auditFor; r != nil {
		r.refuse(err.Error())
	}
	p.audit, p.auditFor = nil, nil // what recovers compares again
	if reason(err) == ReasonDiskFull {
		p.yard.hurry() // room counts for more than slow readers
	}
	p.sweep(1 << 20)
	p.yard.leave()
	p.report(func(s *Status) { s.Degraded, s.Reason, s.Err = true, reason(err), err.Error() })
}
