package main

import (
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// measure runs every kind of work at every level, both systems in turns, and
// prints a table.
func (p plan) measure(ours, theirs system) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "work\tclients\t%[1]s/s\t%[2]s/s\tratio\t%[1]s p99\t%[2]s p99\tratio\t%[1]s CPU\t%[2]s CPU\tratio\t\n", ours.name(), theirs.name())
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
			fmt.Fprintf(w, "%s\t%d\t%.0f\t%.0f\t%.2f\t%s\t%s\t%.2f\t%s\t%s\t%.2f\t\n", words[kind], callers,
				median(us, rate), median(them, rate), ratio(us, them, rate),
				ms(median(us, p99)), ms(median(them, p99)), ratio(us, them, p99),
				seconds(median(us, cpu)), seconds(median(them, cpu)), ratio(us, them, cpu))
			fmt.Fprintf(os.Stderr, "%s, %d callers: %.0f and %.0f a second\n", words[kind], callers, median(us, rate), median(them, rate))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Println("CPU: seconds of all servers for 10,000 calls; ratio: the median of those of the turns, each with the one after it")
	return nil
}

func median(turns []turn, of func(turn) float64) float64 {
	var all []float64
	for _, t := range turns {
		all = append(all, of(t))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// ratio is the median of the ratios of turns that followed each other.
func ratio(us, them []turn, of func(turn) float64) float64 {
	var all []float64
	for i := range us {
		all = append(all, of(us[i])/of(them[i]))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func ms(ns float64) string      { return time.Duration(ns).Round(10 * time.Microsecond).String() }
func seconds(ns float64) string { return fmt.Sprintf("%.2fs", ns/1e9) }
