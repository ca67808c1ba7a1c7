package cmd

import (
	"cmp"
	"fmt"

	"github.com/cpctl/cpctl/pkg/node"
)

// losses are the entries that a recovery would leave out, each in words.
func losses(o *node.Outlook) (all []string) {
	for _, l := range o.Lost {
		entries, were, they := fmt.Sprintf("entries %d to %d", l.From, l.To), "were", "they were"
		if l.From == l.To {
			entries, were, they = fmt.Sprintf("entry %d", l.To), "was", "it was"
		}
		who := cmp.Or(l.Of.Name, l.Of.Dir)
		switch {
		case l.Acknowledged:
			all = append(all, fmt.Sprintf("%s, which %s has shown: %s acknowledged", entries, who, they))
		case l.Never:
			all = append(all, fmt.Sprintf("%s of %s, which never %s committed: nobody was told that %s done", entries, who, were, they))
		default:
			all = append(all, fmt.Sprintf("%s of %s, and it is not known whether %s acknowledged", entries, who, they))
		}
	}
	if o.Chosen != nil {
		all = append(all, fmt.Sprintf("what makes %s the best: it is at revision %d, and %s at %d",
			cmp.Or(o.Best.Name, o.Best.Dir), o.Best.Image.Revision(), cmp.Or(o.Chosen.Name, o.Chosen.Dir), o.Chosen.Image.Revision()))
	}
	return all
}

// lossText is what a recovery would cost, as far as it can be known.
func lossText(o *node.Outlook) (lines []pair) {
	all := losses(o)
	if !o.Majority && len(all) == 0 {
		all = append(all, "nothing that these directories hold")
	}
	switch n := len(o.Missing); {
	case o.Majority:
	case n == 1:
		all = append(all, "what only the missing voter had: that cannot be known")
	case n > 1:
		all = append(all, fmt.Sprintf("what only the %d missing voters had: that cannot be known", n))
	}
	lines = under("lost", all)
	if o.Unsure > 0 && !o.Majority {
		lines = append(lines, pair{"kept", "all that it holds; " + unsureText(o.Unsure)})
	}
	return lines
}

// under puts several values under one key.
func under(key string, values []string) (lines []pair) {
	for i, v := range values {
		lines = append(lines, pair{map[bool]string{true: key}[i == 0], v})
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
