package cmd

import (
	"fmt"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// span writes a length of time in its largest whole unit, as people read ages:
// 45s, 12m, 3h, 41d, 2y.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < day:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d < 2*365*day:
		return fmt.Sprintf("%dd", d/day)
	}
	return fmt.Sprintf("%dy", d/(365*day))
}

// when writes a moment: its age on table, itself on wide, nothing for none. A
// moment to come is "in 3h".
func (e *Env) when(t store.Time) string {
	if t == 0 || e.flags.output == formatWide {
		return t.String()
	}
	age := e.now().Sub(t.Std())
	if age < 0 {
		return "in " + span(-age)
	}
	return span(age)
}

// bytesText writes a size in decimal units: 812 B, 1.2 MB.
func bytesText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for f >= 999.95 && unit < 4 {
		f, unit = f/1000, unit+1
	}
	return fmt.Sprintf("%.1f %cB", f, " kMGT"[unit])
}
