package main

import "fmt"

// goal is what a figure is to be, at least or at most.
type goal struct {
	most  bool
	limit float64
}

func (g goal) met(figure float64) bool {
	if g.most {
		return figure <= g.limit
	}
	return figure >= g.limit // not met by what is no number
}

func (g goal) String() string {
	if g.most {
		return fmt.Sprintf("<= %g", g.limit)
	}
	return fmt.Sprintf(">= %g", g.limit)
}

// subject is what a goal is about.
type subject struct {
	kind    string
	callers int // 0: whatever their number
	what    string
}

// What is measured of a kind of work. All but memory are ratios.
const (
	perSecond = "calls a second"
	slowest   = "p99"
	processor = "CPU"
	wall      = "time"
	memory    = "MB of memory"
)

var goals = map[subject]goal{
	{"write", 1, perSecond}:    {limit: 0.7},
	{"write", 64, perSecond}:   {limit: 1.5},
	{"write", 256, perSecond}:  {limit: 2},
	{"write", 0, slowest}:      {most: true, limit: 1},
	{"write", 0, processor}:    {most: true, limit: 0.75},
	{"read", 64, perSecond}:    {limit: 2},
	{"read", 256, perSecond}:   {limit: 2},
	{"spread", 64, perSecond}:  {limit: 2},
	{"spread", 256, perSecond}: {limit: 2},
	{"files", 0, perSecond}:    {limit: 0.7},
	{"cli", 0, wall}:           {most: true, limit: 0.7},
	{"cli", 0, memory}:         {most: true, limit: 20},
}

// judge returns the goal of a figure for the table, and notes it if it is missed.
func (r *report) judge(s subject, figure float64) string {
	g, ok := goals[s]
	if !ok {
		g, ok = goals[subject{s.kind, 0, s.what}]
	}
	if !ok {
		return ""
	}
	r.goals++
	if !g.met(figure) {
		at := ""
		if s.callers > 0 {
			at = fmt.Sprintf(", %d callers", s.callers)
		}
		r.missed = append(r.missed, fmt.Sprintf("not met: %s%s: %s %.2f, goal %s", words[s.kind], at, s.what, figure, g))
	}
	return g.String()
}
