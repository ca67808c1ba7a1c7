package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// results are the lines of the table.
type results []result

type result struct {
	part, what        string
	measured, against string
	ratio             string
	goal, met         string
}

// goal is a bound of a ratio.
type goal struct {
	bound float64
	least bool // else it is the most
}

func atLeast(r float64) goal { return goal{r, true} }
func atMost(r float64) goal  { return goal{r, false} }

// compared adds a figure that has a goal.
func (r *results) compared(part, what, measured, against string, ratio float64, g goal) {
	word, met := "at most", ratio <= g.bound
	if g.least {
		word, met = "at least", ratio >= g.bound
	}
	yes := "no"
	if met {
		yes = "yes"
	}
	*r = append(*r, result{part, what, measured, against, fmt.Sprintf("%.2f", ratio), fmt.Sprintf("%s %.2f", word, g.bound), yes})
}

// noted adds a figure that has none.
func (r *results) noted(part, what, measured, against string) {
	*r = append(*r, result{part: part, what: what, measured: measured, against: against})
}

// print has the parts in their order, whenever they were measured.
func (r results) print(to io.Writer) error {
	t := nodes.NewTable(0)
	t.Line("PART", "WHAT", "MEASURED", "BESIDE", "RATIO", "GOAL", "MET")
	for _, part := range parts {
		for i := range r {
			if l := r[i]; l.part == part {
				t.Line(l.part, l.what, l.measured, l.against, l.ratio, l.goal, l.met)
			}
		}
	}
	return t.Print(to)
}

func perSecond(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }
func mib(n int64) string            { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
func ms(d time.Duration) string     { return d.Round(10 * time.Microsecond).String() }

// long is a median of long times, and how far they lie apart.
func long(all []time.Duration) string {
	return fmt.Sprintf("%s (%s to %s)", nodes.MS(nodes.Median(all)), nodes.MS(slices.Min(all)), nodes.MS(slices.Max(all)))
}
