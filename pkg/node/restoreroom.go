package node

import (
	"cmp"
	"slices"

	"github.com/cpctl/cpctl/pkg/store"
)

// room is what a restore needs.
type room struct {
	archive int64 // bytes, packed
	staged  int64 // bytes of the documents that are put through the log
	files   int64 // by how much the files of data/ grow, bytes of a disk
}

// count adds a document that was and one that will be; nil: none.
func (r *room) count(was, is *store.Doc) {
	if is != nil {
		r.staged += int64(len(is.Bytes))
	}
	r.files += blocks(is) - blocks(was)
}

// blocks is what a file takes of a disk.
func blocks(d *store.Doc) int64 {
	const block = 4 << 10
	if d == nil {
		return 0
	}
	return (int64(len(d.Bytes)) + block - 1) / block * block
}

// disk is how much of a voter's disk a restore takes, bytes: the log, which becomes
// longer by one and a half times the documents (by more, if part of it is sent
// twice), two snapshots, one of them taken meanwhile, and the files. Nobody knows of another node whether its
// files and its log share a disk; mostly they do.
func (r room) disk() int64 { return 2*r.staged + 2*r.archive + max(r.files, 0) }

// fits refuses a restore before anything of it is in the log, if it is larger
// than a stage may be or than the disk of a voter that answers.
func (n *Node) fits(r room) error {
	if r.staged > store.MaxStage {
		return store.Errorf(store.CodeRefused, "the restore would change %s of documents, and at most %s go into a running cluster at once; nothing was changed",
			mebibytes(uint64(r.staged)), mebibytes(store.MaxStage)).
			WithHint("found a cluster from the archive in an empty data directory (cpctl restore --offline), and join the others to that")
	}
	voters := []voterSpace{}
	others := n.spaces.Load()
	if others == nil || others.self {
		voters = append(voters, voterSpace{name: n.self.Name, space: n.space()})
	}
	if others != nil {
		voters = append(voters, others.voters...)
	}
	if len(voters) == 0 {
		return nil
	}
	least := slices.MinFunc(voters, func(a, b voterSpace) int { return cmp.Compare(a.left(false), b.left(false)) })
	if left := max(least.left(false), 0); left < r.disk() {
		return store.Errorf(store.CodeRefused, "node %q has too little disk space for the restore: it takes about %s at %s, and %s are free there beyond the %s kept for the log; nothing was changed",
			least.name, mebibytes(uint64(r.disk())), least.dir, mebibytes(uint64(left)), mebibytes(reserve(least.total))).
			WithHint("free some space on that disk, then try again")
	}
	return nil
}
