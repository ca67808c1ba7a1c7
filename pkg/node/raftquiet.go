package node

import (
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// quietFor is how long raft says nothing more of a peer that it does not reach:
// it tries several times a second, for as long as the peer is away.
const quietFor = time.Minute

// unreached are the lines of raft of which there is one an attempt at a peer, with
// the key of the value that names it.
var unreached = map[string]string{
	"failed to make requestVote RPC":          "target",
	"failed to heartbeat to":                  "peer",
	"failed to appendEntries to":              "peer",
	"failed to pipeline appendEntries":        "peer",
	"failed to start pipeline replication to": "peer",
}

// quiet lets one of these lines through a peer and quietFor.
type quiet struct {
	now func() time.Time

	mu   sync.Mutex
	said map[string]*unsaid // by peer
}

// unsaid is what was left out since the last line of a peer.
type unsaid struct {
	since time.Time
	count int
}

func newQuiet() *quiet { return &quiet{now: time.Now, said: map[string]*unsaid{}} }

// pass reports whether a line is to be said, and how many of its peer were left out
// since the one before.
func (q *quiet) pass(msg string, args []any) (left int, ok bool) {
	key := unreached[msg]
	if key == "" {
		return 0, true
	}
	peer, now := peerIn(args, key), q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.said[peer]
	if u != nil && now.Sub(u.since) < quietFor {
		u.count++
		return 0, false
	}
	if u != nil {
		left = u.count
	}
	q.said[peer] = &unsaid{since: now}
	return left, true
}

// peerIn is the address in the arguments of a line; it has the node's id in it.
func peerIn(args []any, key string) string {
	for ; len(args) > 1; args = args[2:] {
		if args[0] != key {
			continue
		}
		if s, ok := args[1].(raft.Server); ok {
			return string(s.Address)
		}
		return fmt.Sprint(args[1])
	}
	return ""
}

// levelOf is the level of a line. That a transport was closed under those who
// still talk to it is no error: nobody closes one but a node that ends.
func levelOf(level hclog.Level, args []any) hclog.Level {
	for ; len(args) > 1; args = args[2:] {
		if args[1] == raft.ErrTransportShutdown {
			return hclog.Debug
		}
	}
	return level
}
