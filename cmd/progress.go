package cmd

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// progress is one line on stderr while something takes long: on a terminal
// only, after half a second, erased at the end.
type progress struct {
	text func() string
	quit chan struct{}
	done sync.WaitGroup
}

const (
	progressAfter = 500 * time.Millisecond
	progressEvery = 100 * time.Millisecond
	eraseLine     = "\r\x1b[K"
)

// progress starts showing what text returns. The caller calls stop.
func (e *Env) progress(text func() string) *progress {
	p := &progress{text: text, quit: make(chan struct{})}
	if e.ErrTerminal && !e.flags.quiet && e.getenv("TERM") != "dumb" {
		p.done.Go(func() { p.run(e.Err) })
	}
	return p
}

func (p *progress) run(w io.Writer) {
	select {
	case <-p.quit:
		return
	case <-time.After(progressAfter):
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		fmt.Fprint(w, eraseLine+clean(p.text()))
		select {
		case <-p.quit:
			fmt.Fprint(w, eraseLine)
			return
		case <-tick.C:
		}
	}
}

// stop erases the line. It may be called once only.
func (p *progress) stop() {
	close(p.quit)
	p.done.Wait()
}

// counted counts the bytes that pass.
type counted struct {
	w io.Writer
	n atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n.Add(int64(n))
	return n, err
}

// Rewind forgets what was written, where that can be done.
func (c *counted) Rewind() error {
	to, ok := c.w.(interface{ Rewind() error })
	if !ok {
		return errors.ErrUnsupported
	}
	if err := to.Rewind(); err != nil {
		return err
	}
	c.n.Store(0)
	return nil
}
