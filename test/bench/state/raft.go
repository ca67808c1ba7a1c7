package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cpctl/cpctl/test/bench/nodes"
)

// What raft says in a node's log. The second line comes when the log was cut, too.
const (
	snapshotBegins = `msg="starting snapshot up to"`
	snapshotEnds   = `msg="snapshot complete up to"`
	freezing       = 10 * time.Millisecond // the state is frozen before the first line
)

// raftSnapshots are the snapshots that nodes took since then, to their ends.
func (b *bench) raftSnapshots(since time.Time) (map[string][]span, error) {
	all := map[string][]span{}
	for _, n := range b.Nodes {
		log, err := os.ReadFile(filepath.Join(b.Logs, n.Name+".log"))
		if err != nil {
			return nil, err
		}
		var from time.Time
		for l := range bytes.Lines(log) {
			begins := bytes.Contains(l, []byte(snapshotBegins))
			if !begins && !bytes.Contains(l, []byte(snapshotEnds)) {
				continue
			}
			at, err := lineTime(string(l))
			switch {
			case err != nil:
				return nil, err
			case begins:
				from = at.Add(-freezing)
			case from.After(since):
				all[n.Name] = append(all[n.Name], span{from, at})
			}
		}
	}
	return all, nil
}

// lineTime is when a line of a log in text was written.
func lineTime(line string) (time.Time, error) {
	word, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
	at, err := time.Parse(time.RFC3339, word)
	if err != nil {
		return at, fmt.Errorf("a line of a log: %w", err)
	}
	return at, nil
}

// leader is the node that leads, and the others, once the cluster is whole.
func (b *bench) leader() (*nodes.Node, []*nodes.Node, error) {
	ctx, cancel := context.WithTimeout(context.Background(), nodes.Patience)
	defer cancel()
	return b.Leader(ctx)
}
