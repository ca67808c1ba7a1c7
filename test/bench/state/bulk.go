package main

import "github.com/cpctl/cpctl/test/bench/nodes"

// callers is how many calls are under way at once where much is to be made: on one
// connection, or each on its own, which is what one user may have of the socket.
const callers = 256

// bulk makes all clients that are still missing. One connection that has all calls
// under way at once, and as many connections with one each, take turns.
func (b *bench) bulk() error {
	var one, many []float64
	for left := 2 * pairs; left > 0; left-- {
		connections, to := 1, &one
		if left%2 == 1 {
			connections, to = callers, &many
		}
		l, err := b.create(connections, callers, (b.clients-b.made)/left)
		if err != nil {
			return err
		}
		*to = append(*to, l.Rate())
	}
	if b.wants("bulk") {
		b.results.bulk(one, many)
	}
	return nil
}

func (r *results) bulk(one, many []float64) {
	r.compared("bulk", "256 calls on one connection", perSecond(nodes.Median(one)), "256 connections: "+perSecond(nodes.Median(many)), nodes.Ratio(one, many), atLeast(0.7))
}
