package histories

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Order finds answers that are older than what was answered before they were
// asked for, over all documents:
//
//   - a write has a higher revision than every write that was answered before,
//     and than what every read has shown that had to be the newest;
//   - a read that has to be the newest is of a state with all of these in it, and
//     one with a minimum index of a state with the writes of its client in it;
//   - a node shows nobody anything older than it has shown somebody.
func Order(ops []*Op) (found []string) {
	var newest line
	nodes, clients := map[string]*line{}, map[string]*line{} // what was shown through one, what was written by one
	for _, m := range moments(ops) {
		o := m.op
		node, own := named(nodes, o.Node), named(clients, o.Client)
		if m.answered {
			if o.write() {
				own.add(o)
			} else {
				node.add(o)
			}
			if o.write() || o.Mode == Newest {
				newest.add(o)
			}
			continue
		}
		complain := func(l *line, what string) {
			found = append(found, fmt.Sprintf("%s: %s; answered before it was asked for: %s", what, o, l.op))
		}
		switch {
		case o.write():
			if o.Revision <= newest.revision {
				complain(&newest, "a write is out of order")
			}
			continue
		case o.Mode == Newest && o.Revision < newest.revision:
			complain(&newest, "a read is not of the newest state")
		case o.Mode == MinIndex && o.Revision < own.revision:
			complain(own, "a client is not shown what it has written")
		}
		if o.Revision < node.revision {
			complain(node, "node "+o.Node+" goes back")
		}
	}
	return found
}

// line is the highest revision that was answered so far.
type line struct {
	revision uint64
	op       *Op
}

func (l *line) add(o *Op) {
	if o.Revision > l.revision {
		l.revision, l.op = o.Revision, o
	}
}

func named(lines map[string]*line, name string) *line {
	if lines[name] == nil {
		lines[name] = new(line)
	}
	return lines[name]
}

// moment is when an operation was asked for, or answered.
type moment struct {
	at       time.Duration
	answered bool
	op       *Op
}

// moments are those of all operations whose revision was told, in their order.
// What is answered at the moment at which something else is asked for was not
// answered before.
func moments(ops []*Op) (out []moment) {
	for _, o := range ops {
		if o.Revision > 0 && o.Said == Done {
			out = append(out, moment{o.Call, false, o}, moment{o.Return, true, o})
		}
	}
	slices.SortStableFunc(out, func(a, b moment) int {
		if n := cmp.Compare(a.at, b.at); n != 0 || a.answered == b.answered {
			return n
		}
		if a.answered {
			return 1
		}
		return -1
	})
	return out
}
