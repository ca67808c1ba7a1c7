package node

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// The disk of the log, which is that of raft/ and may be another than that of
// data/. A full one ends the process, so the leader takes no more changes while
// a voter has less free space there than a reserve.
//
// The reserve is for what is not asked: epochs, entries that were on their way,
// and changes that relieve the cluster, which may use half of it. The other half
// is the log's alone, where data/ or raft's snapshots share its disk (see spare).
//
// It need not cover the steps in which bbolt makes raft.db longer (16 MiB): they
// make a hole, and blocks are taken only as pages are written. What a burst may
// write between two looks at a disk is not left to the reserve either, which may
// be small on a small disk: every command is charged before it is proposed, with
// more than it can take.
const (
	minFreeBytes   = 64 << 20
	minFreePercent = 5
)

// reserve is the free space below which the leader takes no changes on a disk.
func reserve(total uint64) uint64 { return min(minFreeBytes, total/100*minFreePercent) }

// cost bounds what a command of so many bytes takes of a disk: its log entry up
// to four times, since bbolt writes a page with its neighbours and in another
// place (four times and 12 KiB were measured for a single entry, three times at
// most for many), and the files of the documents it makes, a tenant's scopes
// included, where data/ is on the same disk.
func cost(command int) uint64 { return 4*uint64(command) + 32<<10 }

// space is the disk of a node's log.
type space struct {
	dir         string // raft/
	free, total uint64 // bytes; of 0 in total nothing is known, and nothing held back
}

// left is what may still be written by changes that do not relieve, or do.
func (s space) left(relief bool) int64 {
	if s.total == 0 {
		return 1 << 62
	}
	keep := reserve(s.total)
	if relief {
		keep /= 2
	}
	return int64(s.free) - int64(keep)
}

// diskSpace returns the bytes of the disk below dir; zero and zero, which is
// not short, where it cannot be asked.
func diskSpace(dir string) (free, total uint64) {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return 0, 0
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize)
}

func (n *Node) space() space {
	dir := n.dir.file("raft")
	free, total := n.cfg.space(dir)
	return space{dir, free, total}
}

// spare reports whether anything but the log may take more of its disk. It is asked
// before every file, and looks once in a moment: what is written meanwhile is little
// beside the half of the reserve that is the log's alone.
func (n *Node) spare() bool {
	return n.spareLook.get("", func() diskLook { return diskLook{spare: n.space().left(true) > 0} }).spare
}

// Space tells of a directory of the data directory whether anything may be
// written there besides the log, and how large its disk is, bytes.
func (n *Node) Space(dir string) (spare bool, total uint64) {
	l := n.dirLook.get(dir, func() diskLook {
		_, total := n.cfg.space(dir)
		return diskLook{spare: !n.sharesDisk(dir) || n.spare(), total: total}
	})
	return l.spare, l.total
}

// diskLook is what a look at a disk showed.
type diskLook struct {
	spare bool
	total uint64
}

// lastLook remembers a look for a moment.
type lastLook struct {
	mu  sync.Mutex
	dir string
	at  time.Time
	is  diskLook
}

// freshLook is the moment.
const freshLook = time.Millisecond

func (l *lastLook) get(dir string, look func() diskLook) diskLook {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.dir != dir || now.Sub(l.at) >= freshLook {
		l.is, l.dir, l.at = look(), dir, now
	}
	return l.is
}

// sharesDisk reports whether what is written in a directory of the data
// directory takes the log's space.
func (n *Node) sharesDisk(dir string) bool {
	var a, b unix.Stat_t
	return unix.Stat(n.dir.file("raft"), &a) == nil && unix.Stat(dir, &b) == nil && a.Dev == b.Dev
}

// ledger counts the costs of commands. Both sums only grow.
type ledger struct {
	charged atomic.Uint64 // of all that were let through
	settled atomic.Uint64 // of those that are answered: they are in the log, or never will be
}

// since is what was charged and may not have been on a disk yet when it was
// looked at; settled is the sum from before the look.
func (l *ledger) since(settled uint64) int64 { return int64(l.charged.Load() - settled) }

// voterSpace is the disk of another voter as it last said.
type voterSpace struct {
	name string
	space
	settled uint64 // of the ledger, before it was asked
}

// noteSpaces remembers the disks of the other voters that answer.
func (n *Node) noteSpaces() {
	var voters []voterSpace
	self := false
	for _, m := range n.Members() {
		switch p, known := n.peers.state(m.ID); {
		case !m.Voter:
		case m.ID == n.self.NodeID:
			self = true
		case known && p.fresh():
			voters = append(voters, voterSpace{m.Name, space{p.LogDir, p.LogFree, p.LogTotal}, p.settled})
		}
	}
	n.spaces.Store(&spaces{voters, self})
}

// spaces is what noteSpaces has found; self is whether this node votes.
type spaces struct {
	voters []voterSpace
	self   bool
}

// charge lets a command through if every voter that answers has room for it,
// and returns what it was charged with.
func (n *Node) charge(c *mutation.Command, size int) (uint64, error) {
	sum := cost(size)
	n.ledger.charged.Add(sum) // before the look: others are at it, too
	if full := n.full(relieves(c)); full != nil {
		n.ledger.settled.Add(sum)
		return 0, full
	}
	return sum, nil
}

// full says which voter has too little room for what is charged, nil if none.
func (n *Node) full(relief bool) *store.Error {
	others := n.spaces.Load()
	if others == nil || others.self {
		settled := n.ledger.settled.Load()
		if s := n.space(); s.left(relief) < n.ledger.since(settled) { // asked anew each time: it takes a microsecond
			return tooFull(n.self.Name, s, relief)
		}
	}
	if others == nil {
		return nil
	}
	for _, v := range others.voters {
		if v.left(relief) < n.ledger.since(v.settled) {
			return tooFull(v.name, v.space, relief)
		}
	}
	return nil
}

func tooFull(name string, s space, relief bool) *store.Error {
	e := store.Errorf(store.CodeUnavailable, "node %q has too little disk space left for its log (%s free at %s, %s are kept for it); nothing was changed",
		name, mebibytes(s.free), s.dir, mebibytes(reserve(s.total)))
	if relief {
		return e.WithHint("free some space on that disk, or remove the node with: cpctl cluster remove %s", name)
	}
	return e.WithHint("free some space on that disk; reads, deletions and revocations go on meanwhile")
}

func mebibytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// relieves reports whether a command is taken while disks are short: it makes
// the state smaller, takes a right away, or is small and the cluster's own.
func relieves(c *mutation.Command) bool {
	switch op := mutation.Op(c.Op); op {
	case mutation.OpTenantDelete, mutation.OpClientDelete, mutation.OpScopeDelete, mutation.OpClientSecretRevoke, mutation.OpKeyRevoke, opRetire:
		return true
	case mutation.Op(mutation.SysStageBegin), mutation.Op(mutation.SysStagePut), mutation.Op(mutation.SysRewrap):
		return false
	default:
		return strings.HasPrefix(c.Op, "sys.")
	}
}
