package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// report is the table, and the goals that it has to do with.
type report struct {
	w      *tabwriter.Writer
	goals  int
	missed []string
}

func newReport() *report {
	return &report{w: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)}
}

// measure does kinds of work at every level, both systems in turns.
func (p plan) measure(r *report, ours, theirs system, kinds ...string) error {
	if len(kinds) == 0 {
		return nil
	}
	fmt.Fprintf(r.w, "work\tclients\t%[1]s/s\t%[2]s/s\tratio\tgoal\t%[1]s p99\t%[2]s p99\tratio\tgoal\t%[1]s CPU\t%[2]s CPU\tratio\tgoal\t\n", ours.name(), theirs.name())
	a, b := &side{ours, 1}, &side{theirs, 1} // each began with one document
	for _, kind := range kinds {
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
			r.row(kind, callers, us, them)
			fmt.Fprintf(os.Stderr, "%s, %d callers: %.0f and %.0f a second\n", words[kind], callers, median(us, rate), median(them, rate))
		}
	}
	return r.w.Flush()
}

func rate(t turn) float64 { return t.rate }
func p99(t turn) float64  { return float64(t.p99) }
func cpu(t turn) float64  { return float64(t.cpu) }

func (r *report) row(kind string, callers int, us, them []turn) {
	fmt.Fprintf(r.w, "%s\t%d\t%.0f\t%.0f\t", words[kind], callers, median(us, rate), median(them, rate))
	r.ratio(subject{kind, callers, perSecond}, ratio(us, them, rate))
	fmt.Fprintf(r.w, "%s\t%s\t", ms(median(us, p99)), ms(median(them, p99)))
	r.ratio(subject{kind, callers, slowest}, ratio(us, them, p99))
	fmt.Fprintf(r.w, "%s\t%s\t", seconds(median(us, cpu)), seconds(median(them, cpu)))
	r.ratio(subject{kind, callers, processor}, ratio(us, them, cpu))
	fmt.Fprintln(r.w)
}

// ratio is two columns: a figure and its goal.
func (r *report) ratio(s subject, figure float64) {
	fmt.Fprintf(r.w, "%.2f\t%s\t", figure, r.judge(s, figure))
}

// end says what the columns are, and which goals are missed.
func (r *report) end() {
	fmt.Println("CPU: seconds of all servers for 10,000 calls; ratio: the median of those of the turns, each with the one after it")
	for _, l := range r.missed {
		fmt.Println(l)
	}
	fmt.Printf("%d of %d goals met\n", r.goals-len(r.missed), r.goals)
}

func median[T any](turns []T, of func(T) float64) float64 { return nodes.Median(each(turns, of)) }

// ratio is the median of the ratios of turns that followed each other.
func ratio[T any](us, them []T, of func(T) float64) float64 {
	return nodes.Ratio(each(us, of), each(them, of))
}

func each[T any](turns []T, of func(T) float64) (all []float64) {
	for _, t := range turns {
		all = append(all, of(t))
	}
	return all
}

func ms(ns float64) string      { return time.Duration(ns).Round(10 * time.Microsecond).String() }
func seconds(ns float64) string { return fmt.Sprintf("%.2fs", ns/1e9) }
