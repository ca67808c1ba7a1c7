package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// span is how long something went on.
type span struct{ from, to time.Time }

// touches tells whether any of them went on while somebody waited.
func touches(all []span, from, to time.Time) bool {
	return slices.ContainsFunc(all, func(s span) bool { return from.Before(s.to) && s.from.Before(to) })
}

// beside sorts calls by what went on while they were made.
func (r *results) beside(callers int, l nodes.Load, saves []span, own map[string][]span, all []*nodes.Node) {
	var rafts []span
	var missing []string
	for _, n := range all {
		if len(own[n.Name]) == 0 {
			missing = append(missing, n.Name)
		}
		rafts = append(rafts, own[n.Name]...)
	}
	of := func(which func(from, to time.Time) bool) (some nodes.Load) {
		for _, c := range l.Calls {
			if which(c.Began, c.Ended()) {
				some.Calls = append(some.Calls, c)
			}
		}
		return some
	}
	usual := of(func(from, to time.Time) bool { return !touches(saves, from, to) && !touches(rafts, from, to) })
	who := "1 writer"
	if callers > 1 {
		who = fmt.Sprintf("%d writers", callers)
	}
	for _, kind := range []struct {
		what  string
		spans []span
	}{{"snapshot save", saves}, {"raft's own snapshots", rafts}} {
		some := of(func(from, to time.Time) bool { return touches(kind.spans, from, to) })
		what := fmt.Sprintf("p99 of %s beside %s (%d)", who, kind.what, len(kind.spans))
		if len(some.Calls) == 0 || len(usual.Calls) == 0 {
			r.noted("snapshot", what, "not measured", fmt.Sprintf("%d calls beside it, %d others", len(some.Calls), len(usual.Calls)))
			continue
		}
		p, q := some.Quantile(0.99), usual.Quantile(0.99)
		r.compared("snapshot", what, fmt.Sprintf("%s of %d calls", ms(p), len(some.Calls)), fmt.Sprintf("else: %s of %d", ms(q), len(usual.Calls)), float64(p)/float64(q), atMost(2))
	}
	if len(missing) > 0 {
		r.noted("snapshot", fmt.Sprintf("no snapshot of its own in %s", raftsOwn), strings.Join(missing, ", "), "")
	}
	if callers == 1 {
		during := func(s []span) string {
			return ms(longestGap(l, func(from, to time.Time) bool { return touches(s, from, to) }))
		}
		neither := ms(longestGap(l, func(from, to time.Time) bool { return !touches(saves, from, to) && !touches(rafts, from, to) }))
		r.noted("snapshot", "longest pause between two answers of 1 writer", ms(longestGap(l, func(_, _ time.Time) bool { return true })),
			fmt.Sprintf("save: %s, raft's: %s, else: %s", during(saves), during(rafts), neither))
	}
}

// longestGap is the longest time between two answers of one caller.
func longestGap(l nodes.Load, counts func(from, to time.Time) bool) (longest time.Duration) {
	for i := 1; i < len(l.Calls); i++ {
		if from, to := l.Calls[i-1].Ended(), l.Calls[i].Ended(); counts(from, to) {
			longest = max(longest, to.Sub(from))
		}
	}
	return longest
}
