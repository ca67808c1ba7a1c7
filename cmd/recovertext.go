package cmd

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/cpctl/cpctl/pkg/node"
)

func (e *Env) planText(o *node.Outlook, p *recoveryPlan) error {
	if err := e.table(e.planTable(o, p)); err != nil {
		return err
	}
	for _, d := range p.Directories {
		for _, fault := range d.Faults {
			if err := e.line(fmt.Sprintf("%s: %s", cmp.Or(d.Node, d.Dir), fault)); err != nil {
				return err
			}
		}
	}
	if o.Best == nil {
		return nil
	}
	if err := e.line(""); err != nil {
		return err
	}
	lines := []pair{{"best", fmt.Sprintf("%s (%s): %s", o.Best.Name, o.Best.Dir, o.Why)}}
	if o.Chosen != nil {
		lines = append(lines, pair{"taken", fmt.Sprintf("%s (%s), since --node names it", o.Chosen.Name, o.Chosen.Dir)})
	}
	if o.Best.Begun == 0 {
		lines = append(lines, pair{"cluster", fmt.Sprintf("%s, generation %d", p.ClusterID, p.Generation)}, pair{"voters", e.votersText(o)})
		if len(o.Answers) > 0 {
			lines = append(lines, pair{"answers", answersText(o)})
		}
		for i, d := range o.Differ {
			lines = append(lines, pair{map[bool]string{true: "differ"}[i == 0], differText(d)})
		}
		lines = append(lines, lossText(o)...)
	}
	return e.pairs(append(lines, under("next", p.Next)...))
}

func (e *Env) planTable(o *node.Outlook, p *recoveryPlan) table {
	u := e.ui()
	t := table{titles: []string{"NODE", "TERM>", "INDEX>", "SNAPSHOT>", "SHOWN>", "REVISION>", "DIGEST", "AGE", "STATE", "DIR"},
		paint: map[int]func(string) string{8: u.remains}}
	wide := e.flags.output == formatWide
	if wide {
		t.titles[7] = "CHANGED" // a time, not an age
		t.titles = append(t.titles, "ID", "CLUSTER", "GENERATION>", "KEY")
	}
	for i, s := range o.All {
		d := p.Directories[i]
		digest := d.Digest
		if !wide {
			digest = digest[:min(len(digest), 12)]
		}
		state := "damaged"
		switch {
		case s.Begun != 0:
			state = "unfinished"
		case s.Whole() && len(s.Faults) == 0:
			state = "whole"
		case s.Whole():
			state = "usable"
		case s.Gone != "":
			state = "gone"
		case s.Image != nil && s.Drift == nil:
			state = "sealed"
		}
		row := []string{d.Node, number(d.LastTerm), number(d.LastIndex), number(d.SnapshotIndex), number(d.ShownIndex), number(d.Revision), digest, e.when(d.LastCommandAt), state, d.Dir}
		if wide {
			row = append(row, d.NodeID, d.ClusterID, number(d.Generation), map[bool]string{true: "opens", false: ""}[d.KeyOpens])
		}
		t.rows = append(t.rows, row)
	}
	return t
}

// number is nothing for 0.
func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// remains marks how a directory is with a sign and a colour.
func (u ui) remains(s string) string {
	switch s {
	case "whole":
		return u.in(green, "● whole")
	case "damaged", "sealed", "gone":
		return u.in(red, "✗ "+s)
	}
	return u.in(yellow, "! "+s)
}

func (e *Env) votersText(o *node.Outlook) string {
	here := o.Voters - len(o.Missing)
	text := fmt.Sprintf("%d of %d here", here, o.Voters)
	if len(o.Missing) > 0 {
		var names []string
		for _, m := range o.Missing {
			names = append(names, cmp.Or(m.Name, m.ID))
		}
		text += ", missing " + strings.Join(names, ", ")
	}
	if o.Majority {
		return text + ": that is a majority. Start these nodes; nothing has to be recovered"
	}
	return text
}
