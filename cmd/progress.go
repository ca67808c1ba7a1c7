package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
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

// Rewind forgets what was written, so that an archive can be sent anew.
func (c *counted) Rewind() error {
	f, ok := c.w.(*os.File)
	if !ok {
		return errors.ErrUnsupported
	}
	if err := f.Truncate(0); err != nil { // a pipe
		return err
	}
	c.n.Store(0)
	_, err := f.Seek(0, io.SeekStart)
	return err
}
