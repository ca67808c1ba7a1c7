package main

import (
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// growth is what writes cost in a small state and in a large one.
type growth struct {
	rate []float64
	p99  []time.Duration
}

const (
	growCallers = 64
	growShare   = 50   // a turn makes this part of all clients
	growMost    = 1000 // and no more than these, so that a small state stays one
)

func (g *growth) small(b *bench) (err error) {
	g.rate, g.p99, err = b.creates()
	return err
}

// large does the same again, and compares.
func (g *growth) large(b *bench) error {
	rate, p99, err := b.creates()
	if err != nil {
		return err
	}
	few, many := nodes.Median(g.rate), nodes.Median(rate)
	b.results.compared("grow", "writes of 64 callers, all clients there", perSecond(many), "1000 there: "+perSecond(few), many/few, atLeast(0.9))
	short, tall := nodes.Median(g.p99), nodes.Median(p99)
	b.results.compared("grow", "p99 of them", ms(tall), "1000 there: "+ms(short), float64(tall)/float64(short), atMost(1.1))
	return nil
}

// creates makes clients in turns.
func (b *bench) creates() (rate []float64, p99 []time.Duration, err error) {
	for range pairs {
		l, err := b.create(growCallers, growCallers, min(b.clients/growShare, growMost))
		if err != nil {
			return nil, nil, err
		}
		rate, p99 = append(rate, l.Rate()), append(p99, l.Quantile(0.99))
	}
	return rate, p99, nil
}
