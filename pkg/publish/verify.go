package publish

// verify does a piece of what comes before the files count.
func (p *Publisher) verify() (more bool) {
	if p.failures > 0 && p.pause() > 0 {
		p.refuseChecks()
		return false
	}
	if p.audit == nil {
		if p.trusted() {
			p.trust()
			return true
		}
		if p.mustWait() {
			p.refuseChecks()
			return false
		}
		a, err := newAudit(p.root, p.first)
		if err != nil {
			p.degrade(batch{img: p.first}, err)
			return true
		}
		p.audit = a
	}
	if !p.audit.step(p.root, p.first, step) {
		return true
	}
	a := p.audit
	p.audit, p.compare = nil, false
	b := p.take()
	b.offer(p.first)
	p.first = b.img // an attempt that fails starts over from here
	b.add(a.paths()...)
	b.whole = b.whole || many(len(a.faults), b.img)
	p.publish(b)
	if p.verified {
		p.log.Info("files verified", "index", p.shown, "put_right", len(a.faults))
	}
	return true
}

// trusted reports whether the files of this boot hold the first image.
func (p *Publisher) trusted() bool {
	return p.failures == 0 && p.known && p.found.State == StateDone && p.found.BootID == p.cfg.BootID &&
		p.found.Digest == p.first.DataDigest() && p.found.Index <= p.first.Index
}

// trust lets the files count, and has them compared beside the work.
func (p *Publisher) trust() {
	p.verified, p.last, p.shown = true, p.first, p.found.Index
	p.report(func(s *Status) { s.Ready, s.PublishedIndex = true, p.found.Index })
	p.publish(batch{img: p.first}) // moves the marker to the index
	p.startAudit(nil)
}

// mustWait reports whether the files of this boot may be newer than every image
// so far, and takes the newest one as the first. Readers never see an older state.
func (p *Publisher) mustWait() bool {
	p.mu.Lock()
	if img := p.queue.img; img != nil && img.Index >= p.first.Index {
		p.first = img // its changes stay in the queue: writing them twice does no harm
	}
	index := max(p.first.Index, p.queue.idle)
	p.mu.Unlock()
	wait := p.known && p.found.BootID == p.cfg.BootID && index < p.found.Index
	if wait && !p.held {
		p.log.Warn("files are newer than the state: waiting for it to catch up", "files", p.found.Index, "state", index)
	}
	p.held = wait
	return wait
}
