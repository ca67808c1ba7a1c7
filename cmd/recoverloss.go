package cmd

import (
	"cmp"
	"fmt"

	"github.com/cpctl/cpctl/pkg/node"
)

// lossText is what a recovery from the best would cost, as far as it can be known.
func (e *Env) lossText(o *node.Outlook) (lines []pair) {
	add := func(text string) {
		key := ""
		if len(lines) == 0 {
			key = "lost"
		}
		lines = append(lines, pair{key, text})
	}
	for _, l := range o.Lost {
		entries, were, they := fmt.Sprintf("entries %d to %d", l.From, l.To), "were", "they were"
		if l.From == l.To {
			entries, were, they = fmt.Sprintf("entry %d", l.To), "was", "it was"
		}
		who := cmp.Or(l.Of.Name, l.Of.Dir)
		switch {
		case l.Acknowledged:
			add(fmt.Sprintf("%s, which %s has shown: %s acknowledged", entries, who, they))
		case l.Never:
			add(fmt.Sprintf("%s of %s, which never %s committed: nobody was told that %s done", entries, who, were, they))
		default:
			add(fmt.Sprintf("%s of %s, and it is not known whether %s acknowledged", entries, who, they))
		}
	}
	if o.Majority {
		return lines
	}
	if len(lines) == 0 {
		add("nothing that these directories hold")
	}
	switch n := len(o.Missing); {
	case n == 1:
		add("what only the missing voter had: that cannot be known")
	case n > 1:
		add(fmt.Sprintf("what only the %d missing voters had: that cannot be known", n))
	}
	if o.Unsure > 0 {
		lines = append(lines, pair{"kept", "all that it holds; " + unsureText(o.Unsure)})
	}
	return lines
}

// unsureText is about changes at the end of a log.
func unsureText(n int) string {
	if n == 1 {
		return "of the last change it is not known whether it was acknowledged"
	}
	return fmt.Sprintf("of %d changes at its end it is not known whether they were acknowledged", n)
}
