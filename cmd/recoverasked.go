package cmd

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/store"
)

func dialPlain(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// running reports whether the node of a directory answers: what is here is a copy.
func running(o *node.Outlook, s *node.Survivor) bool {
	for _, a := range o.Answers {
		if a.NodeID == s.NodeID {
			return true
		}
	}
	return false
}

// answersText says who runs, and what that means.
func answersText(o *node.Outlook) string {
	var who []string
	for _, a := range o.Answers {
		who = append(who, a.Name+" at "+a.Address)
	}
	text := strings.Join(who, ", ") + map[bool]string{true: " answers: ", false: " answer: "}[len(who) == 1]
	switch later := o.Later(); {
	case later != nil:
		return text + fmt.Sprintf("the cluster was recovered as generation %d without these directories", later.Generation)
	case o.Lives():
		return text + "the cluster is not lost"
	}
	return text + "who runs is not lost"
}

// unanswered refuses a recovery while a node of the cluster runs: it would stop for
// good as soon as it met the next generation, and with it a majority that is well.
func unanswered(o *node.Outlook, s *node.Survivor) error {
	if len(o.Answers) == 0 {
		return nil
	}
	one := len(o.Answers) == 1
	stop := map[bool]string{true: "stop that node first if it must be left behind", false: "stop those nodes first if they must be left behind"}[one]
	hint := stop + ",\nor start this one as it is: " + startAgain(s)
	switch {
	case o.Later() != nil:
		hint = "do not start a node on " + s.Dir + " again: empty it and join"
	case running(o, s):
		hint = s.Dir + " is a copy: its node runs elsewhere. To recover, stop all that answer first"
	}
	return store.Errorf(store.CodeRefused, "%s", answersText(o)).WithHint("%s\nnothing was changed", hint)
}

// differText is about two directories of which one must be wrong.
func differText(d [2]*node.Survivor) string {
	a, b := d[0], d[1]
	return fmt.Sprintf("%s (%s) and %s (%s) end at the same entry (term %d, index %d), and their states differ: %.12s and %.12s",
		a.Name, a.Dir, b.Name, b.Dir, a.LastTerm, a.LastIndex, a.Image.StateDigest(), b.Image.StateDigest())
}
