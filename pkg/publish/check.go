package publish

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/store"
)

// request is a call of Check.
type request struct {
	img    *store.Image // nil: what is published
	repair bool
	done   chan struct{}
	faults []Fault
	err    error
}

func (r *request) refuse(why string) {
	r.err = store.Errorf(store.CodeUnavailable, "files cannot be compared: %s", why)
	close(r.done)
}

// Check compares every file with what is published, or with img if that is
// newer and is not handed over within a second, and returns the differences in
// the order of their paths. With repair they are put right before it returns.
// An error of CodeUnavailable while the files are not verified or cannot be
// written.
func (p *Publisher) Check(img *store.Image, repair bool) ([]Fault, error) {
	if img != nil { // it was handed over a moment ago, or is just being
		ctx, cancel := context.WithTimeout(context.Background(), p.patience)
		_ = p.Wait(ctx, img.Index) // the answer below says more
		cancel()
	}
	r := &request{img: img, repair: repair, done: make(chan struct{})}
	p.mu.Lock()
	if !p.started || p.ended {
		p.mu.Unlock()
		return nil, store.Errorf(store.CodeUnavailable, "files cannot be compared: they are not being published")
	}
	p.checks = append(p.checks, r)
	p.mu.Unlock()
	p.poke()
	<-r.done
	return r.faults, r.err
}

func (p *Publisher) nextCheck() *request {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.checks) == 0 {
		return nil
	}
	r := p.checks[0]
	p.checks = p.checks[1:]
	return r
}

// refuseChecks answers those who would have to wait for long.
func (p *Publisher) refuseChecks() {
	why := "they are newer than the state, which has to catch up"
	if st := p.Status(); st.Degraded {
		why = st.Err
	}
	for r := p.nextCheck(); r != nil; r = p.nextCheck() {
		r.refuse(why)
	}
}

// imageFor returns what a comparison is made with: the image that the files
// hold, or that of a request which nobody has handed over.
func (p *Publisher) imageFor(r *request) *store.Image {
	if r != nil && r.img != nil && r.img.Index > max(p.last.Index, p.shown) {
		return r.img
	}
	return p.last
}

// startAudit begins a comparison of everything, for a request or for ourselves.
func (p *Publisher) startAudit(r *request) {
	a, err := newAudit(p.root, p.imageFor(r))
	if err != nil {
		p.log.Error("files cannot be compared", "err", err)
		if r != nil {
			r.err = fmt.Errorf("compare the files: %w", err)
			close(r.done)
		}
		return
	}
	a.faults = p.rootFaults()
	p.audit, p.auditFor = a, r
}

// rootFaults compares data/ itself and its marker with what is open.
func (p *Publisher) rootFaults() (faults []Fault) {
	if !same(p.dir, dataName, p.root.fd) {
		return []Fault{{".", ProblemForeign}}
	}
	var st unix.Stat_t
	if err := unix.Fstat(p.root.fd, &st); err != nil || p.own.wrong(&st, p.own.dir) {
		faults = append(faults, Fault{".", ProblemMode})
	}
	switch {
	case !same(p.root.fd, appliedName, p.mark.fd):
		faults = append(faults, Fault{appliedName, ProblemForeign})
	case p.mark.fault() != "":
		faults = append(faults, Fault{appliedName, ProblemChanged})
	case unix.Fstat(p.mark.fd, &st) != nil || p.own.wrong(&st, p.own.file):
		faults = append(faults, Fault{appliedName, ProblemMode})
	}
	return faults
}

// giveUpMark has the marker made anew by the next batch, if it is at fault.
func (p *Publisher) giveUpMark(faults []Fault) {
	for _, f := range faults {
		if f.Path == appliedName && p.mark != nil {
			p.mark.close()
			p.mark = nil
		}
	}
}

// auditTurn does the next piece of a comparison beside the work.
func (p *Publisher) auditTurn() (more bool) {
	if p.audit == nil {
		r := p.nextCheck()
		if r == nil {
			return false
		}
		if p.startAudit(r); p.audit == nil {
			return true
		}
	}
	img := p.imageFor(p.auditFor)
	if !p.audit.step(p.root, img, step) {
		return true
	}
	faults := p.audit.faults
	if len(faults) > 0 && (p.auditFor == nil || p.auditFor.repair) {
		p.log.Warn("files were not as published", "first", faults[0].Path, "problem", faults[0].Problem, "count", len(faults))
		p.giveUpMark(faults)
		b := batch{img: img, whole: many(len(faults), img)}
		b.add(p.audit.paths()...)
		p.publish(b)
	}
	if r := p.auditFor; r != nil {
		r.faults = faults
		close(r.done)
	} else if p.failures == 0 {
		p.log.Info("files compared with the state", "index", p.shown, "put_right", len(faults))
	}
	p.audit, p.auditFor = nil, nil
	return true
}
