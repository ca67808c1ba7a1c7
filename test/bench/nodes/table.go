package nodes

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Table is what a measurement prints at its end, in columns.
type Table struct {
	b bytes.Buffer
	w *tabwriter.Writer
}

// NewTable begins one, with flags of tabwriter.
func NewTable(flags uint) *Table {
	t := &Table{}
	t.w = tabwriter.NewWriter(&t.b, 0, 0, 3, ' ', flags)
	return t
}

// Line adds one.
func (t *Table) Line(cells ...any) {
	for _, c := range cells {
		fmt.Fprint(t.w, c, "\t")
	}
	fmt.Fprintln(t.w)
}

// Print writes the table, with no spaces at the ends of lines.
func (t *Table) Print(to io.Writer) error {
	if err := t.w.Flush(); err != nil {
		return err
	}
	for l := range strings.Lines(t.b.String()) {
		if _, err := fmt.Fprintln(to, strings.TrimRight(l, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// Median is the middle one of values, the upper of two.
func Median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// Ratio is the median of the ratios of turns that followed each other.
func Ratio[T ~int64 | ~float64](a, b []T) float64 {
	var all []float64
	for i := range a {
		all = append(all, float64(a[i])/float64(b[i]))
	}
	return Median(all)
}

// MS is a duration in milliseconds, as tables have them.
func MS(d time.Duration) string { return d.Round(time.Millisecond).String() }
