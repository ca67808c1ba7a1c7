package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// measure runs every kind of work at every level, both systems in turns, and
// prints a table.
func (p plan) measure(ours, theirs system) error {
	x, y := ours.name(), theirs.name()
	w := nodes.NewTable(tabwriter.AlignRight)
	w.Line("work", "clients", x+"/s", y+"/s", "ratio", x+" p99", y+" p99", "ratio", x+" CPU", y+" CPU", "ratio")
	a, b := &side{ours, 1}, &side{theirs, 1} // each began with one document
	for _, kind := range p.kinds {
		for _, callers := range p.levels {
			var us, them []turn
			for range p.pairs {
				for _, one := range []struct {
					*side
					to *[]turn
				}{{a, &us}, {b, &them}} {
					t, err := one.run(kind, callers, p.turn)
					if err != nil {
						return fmt.Errorf("%s: %s, %d callers: %w", one.name(), words[kind], callers, err)
					}
					*one.to = append(*one.to, t)
				}
			}
			rate := func(t turn) float64 { return t.rate }
			p99 := func(t turn) float64 { return float64(t.p99) }
			cpu := func(t turn) float64 { return float64(t.cpu) }
			w.Line(words[kind], callers, whole(median(us, rate)), whole(median(them, rate)), hundredths(ratio(us, them, rate)),
				ms(median(us, p99)), ms(median(them, p99)), hundredths(ratio(us, them, p99)),
				seconds(median(us, cpu)), seconds(median(them, cpu)), hundredths(ratio(us, them, cpu)))
			fmt.Fprintf(os.Stderr, "%s, %d callers: %.0f and %.0f a second\n", words[kind], callers, median(us, rate), median(them, rate))
		}
	}
	if err := w.Print(os.Stdout); err != nil {
		return err
	}
	fmt.Println("CPU: seconds of all servers for 10,000 calls; ratio: the median of those of the turns, each with the one after it")
	return nil
}

func median(turns []turn, of func(turn) float64) float64 { return nodes.Median(each(turns, of)) }

func ratio(us, them []turn, of func(turn) float64) float64 {
	return nodes.Ratio(each(us, of), each(them, of))
}

func each(turns []turn, of func(turn) float64) (all []float64) {
	for _, t := range turns {
		all = append(all, of(t))
	}
	return all
}

func ms(ns float64) string        { return time.Duration(ns).Round(10 * time.Microsecond).String() }
func seconds(ns float64) string   { return fmt.Sprintf("%.2fs", ns/1e9) }
func whole(n float64) string      { return fmt.Sprintf("%.0f", n) }
func hundredths(n float64) string { return fmt.Sprintf("%.2f", n) }
