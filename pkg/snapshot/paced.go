package snapshot

import (
	"io"
	"time"
)

// An archive has time, changes have none. So whoever packs one beside changes works
// for no longer than a moment, and then rests for twice as long as the work took,
// waiting for a processor included.
const (
	paceWork = 2 * time.Millisecond
	paceRest = 2                     // times the work
	paceMost = 20 * time.Millisecond // a rest; what took longer waited for the disk or for a reader
)

// Paced returns a writer for Write that rests while changes are being applied, which
// is whenever index returns another number than before.
func Paced(w io.Writer, index func() uint64) io.Writer {
	return &paced{w: w, index: index, seen: index(), since: time.Now(), sleep: time.Sleep}
}

type paced struct {
	w     io.Writer
	index func() uint64
	seen  uint64
	since time.Time // the work goes on
	sleep func(time.Duration)
}

func (p *paced) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if worked := time.Since(p.since); worked >= paceWork {
		if now := p.index(); now != p.seen {
			p.seen = now
			p.sleep(min(paceRest*worked, paceMost))
		}
		p.since = time.Now()
	}
	return n, err
}
