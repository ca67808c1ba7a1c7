package cmd

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/store"
)

// choose takes the best of the directories or the one that is named.
func choose(o *node.Outlook, name string) (*node.Survivor, error) {
	best := o.Best
	if name != "" {
		if best = nil; o.Best != nil && o.Best.Begun != 0 && o.Best.Name != name {
			return nil, store.Errorf(store.CodeRefused, "a recovery from node %q was begun: finish that one", o.Best.Name).WithHint("%s", nextOf(o)[0])
		}
		for _, s := range o.All {
			if s.Name != name && s.NodeID != name {
				continue
			}
			if best != nil {
				return nil, usagef("two of the directories are of node %q: %s and %s", name, best.Dir, s.Dir).WithHint("give --dir for one of them only")
			}
			best = s
		}
		if best == nil {
			return nil, store.Errorf(store.CodeInvalid, "none of the directories is of node %q", name)
		}
	}
	switch {
	case best != nil && best.Gone != "", best == nil && gone(o.All):
		s := cmp.Or(best, o.All[0])
		return nil, store.Errorf(store.CodeRefused, "the cluster cannot go on from node %q (%s): %s", s.Name, s.Dir, s.Gone).
			WithHint("what it has is of the past; look for the directories of other members\nnothing was changed")
	case best == nil, !best.Whole() && best.Begun == 0:
		what := "all of these directories are damaged"
		if best != nil {
			what = fmt.Sprintf("the directory of node %q is damaged: %s", best.Name, strings.Join(faultsOf(best), "; "))
		}
		if s := keyless(o.All); s != nil && (best == nil || best == s) {
			return nil, store.Errorf(store.CodeIntegrity, "the cluster key does not open the directory of node %q: %s", s.Name, s.Sealed).WithHint("%s\nnothing was changed", keyHint(s))
		}
		return nil, store.Errorf(store.CodeIntegrity, "%s", what).WithHint("see: cpctl recover plan%s\nnothing was changed", dirFlags(o.All))
	case best.Begun != 0 || name != "":
	case o.Majority:
		here := "the only voter is here"
		if o.Voters > 1 {
			here = fmt.Sprintf("a majority of the %d voters is here", o.Voters)
		}
		return nil, store.Errorf(store.CodeRefused, "nothing has to be recovered: %s", here).
			WithHint("start what is here, and the cluster goes on with all that was acknowledged:\n%s\nto recover all the same, say from which: --node %s", "  "+strings.Join(nextOf(o), "\n  "), best.Name)
	case o.Costs():
		return nil, store.Errorf(store.CodeRefused, "changes that were acknowledged would be lost: another directory has shown more, and is damaged").
			WithHint("see: cpctl recover plan%s\nto go on without them, say from which: --node %s", dirFlags(o.All), best.Name)
	case len(o.Differ) > 0:
		return nil, store.Errorf(store.CodeRefused, "%s", differText(o.Differ[0])).
			WithHint("one of them is wrong. See: cpctl recover plan%s\nsay from which to go on: --node NAME", dirFlags(o.All))
	}
	return best, nil
}

// gone reports whether all directories are of nodes that are no members any more.
func gone(all []*node.Survivor) bool {
	return !slices.ContainsFunc(all, func(s *node.Survivor) bool { return s.Gone == "" })
}
