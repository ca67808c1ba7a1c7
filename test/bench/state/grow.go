package main

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// grown is what writes cost in a state, turn by turn.
type grown struct {
	rate []float64
	p99  []time.Duration
}

const (
	growCallers = 64
	growShare   = 50   // a turn makes this part of all clients
	growMost    = 1000 // and no more than these, so that a small state stays one
)

// grow lets two clusters write in turns, one of which has a small state. The other
// waits meanwhile.
func (b *bench) grow() error {
	small, err := b.small()
	if err != nil {
		return err
	}
	defer small.End()
	if err := small.Found(3); err != nil {
		return err
	}
	if err := small.begin(); err != nil {
		return err
	}
	var few, many grown
	for range pairs {
		for _, turn := range []struct {
			of *bench
			to *grown
		}{{small, &few}, {b, &many}} {
			unix.Sync() // what others have left to be written
			l, err := turn.of.create(growCallers, growCallers, min(b.clients/growShare, growMost))
			if err != nil {
				return err
			}
			turn.to.rate, turn.to.p99 = append(turn.to.rate, l.Rate()), append(turn.to.p99, l.Quantile(0.99))
		}
	}
	b.results.compared("grow", "writes of 64 callers, all clients there", perSecond(nodes.Median(many.rate)), "1000 there: "+perSecond(nodes.Median(few.rate)), nodes.Ratio(many.rate, few.rate), atLeast(0.9))
	short, tall := nodes.Median(few.p99), nodes.Median(many.p99)
	b.results.compared("grow", "p99 of them", ms(tall), "1000 there: "+ms(short), float64(tall)/float64(short), atMost(1.1))
	return nil
}

// small is another cluster, of the same binary.
func (b *bench) small() (*bench, error) {
	base := filepath.Join(b.Base, "small")
	return &bench{Cluster: &nodes.Cluster{Binary: b.Binary, Base: base, Logs: base}}, os.Mkdir(base, 0o700)
}
