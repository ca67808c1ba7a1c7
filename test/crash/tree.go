package crash

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sector is how many bytes a disk writes whole or not at all.
const sector = 512

// Tree is what a start finds: a file, or a directory with what is in it.
type Tree struct {
	Mode  os.FileMode
	Bytes []byte
	Dir   map[string]*Tree // nil for a file
}

// Kept is everything, as a process that was killed leaves it.
func (s *State) Kept() *Tree {
	return s.tree(Root, func(n *node) map[string]ID { return n.entries }, func(n *node) []byte { return n.bytes })
}

// Cut is Kept with the next call, a write, cut short.
func (s *State) Cut(o *Op) *Tree {
	half := *o
	half.Data = o.Data[:len(o.Data)/2]
	return s.tree(Root, func(n *node) map[string]ID { return n.entries }, func(n *node) []byte {
		if n == s.nodes[o.Node] {
			return change(n.bytes, &half)
		}
		return n.bytes
	})
}

// Lost is only what is sure to be on the disk.
func (s *State) Lost() *Tree {
	return s.tree(Root, func(n *node) map[string]ID { return n.kept }, func(n *node) []byte { return n.saved })
}

// Part is what is sure to be there and some of the rest, as rng has it.
func (s *State) Part(rng *rand.Rand) *Tree {
	kept := map[*node]map[string]ID{}
	likely := []float64{0.5, 0.8, 0.97}[rng.IntN(3)]
	ended := map[ID]bool{} // directories of which a change was lost: the later ones are, too
	for _, edits := range s.pending {
		lost := rng.Float64() > likely || slices.ContainsFunc(edits, func(e edit) bool { return ended[e.dir] })
		for _, e := range edits {
			if lost {
				ended[e.dir] = true
				continue
			}
			n := s.nodes[e.dir]
			if kept[n] == nil {
				kept[n] = maps.Clone(n.kept)
			}
			set(kept[n], e)
		}
	}
	return s.tree(Root, func(n *node) map[string]ID {
		if kept[n] != nil {
			return kept[n]
		}
		return n.kept
	}, func(n *node) []byte { return part(n, rng) })
}

// part is a file some of whose unsynced sectors are on the disk.
func part(n *node, rng *rand.Rand) []byte {
	switch rng.IntN(3) {
	case 0:
		return n.saved
	case 1:
		return n.bytes
	}
	b := n.saved
	for _, o := range n.since {
		if o.Kind == Truncate {
			if rng.IntN(2) == 0 {
				b = change(b, o)
			}
			continue
		}
		for at, end := o.Offset, o.Offset+int64(len(o.Data)); at < end; {
			stop := min(end, (at/sector+1)*sector)
			if rng.IntN(2) == 0 {
				b = change(b, &Op{Kind: Write, Offset: at, Data: o.Data[at-o.Offset : stop-o.Offset]})
			}
			at = stop
		}
	}
	if rng.IntN(2) == 0 { // the size is on the disk before the bytes are
		b = change(b, &Op{Kind: Truncate, Size: int64(len(n.bytes))})
	}
	return b
}

func (s *State) tree(id ID, entries func(*node) map[string]ID, bytes func(*node) []byte) *Tree {
	n := s.nodes[id]
	t := &Tree{Mode: os.FileMode(n.mode)}
	if !n.dir {
		t.Bytes = bytes(n)
		return t
	}
	t.Dir = map[string]*Tree{}
	in := entries(n)
	for _, name := range slices.Sorted(maps.Keys(in)) { // the random source is asked in one order
		t.Dir[name] = s.tree(in[name], entries, bytes)
	}
	return t
}

// At returns what is at a path, nil if nothing is.
func (t *Tree) At(path string) *Tree {
	for part := range strings.SplitSeq(path, "/") {
		if t = t.Dir[part]; t == nil {
			return nil
		}
	}
	return t
}

// Put makes the tree at a path of the real disk, which is a directory if the tree is one.
func (t *Tree) Put(path string) error {
	if t.Dir == nil {
		return os.WriteFile(path, t.Bytes, t.Mode)
	}
	if err := os.Mkdir(path, t.Mode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	for name, below := range t.Dir {
		if err := below.Put(filepath.Join(path, name)); err != nil {
			return err
		}
	}
	return nil
}
