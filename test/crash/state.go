package crash

import (
	"errors"
	"maps"
	"path"
	"slices"
)

var errUnknown = errors.New("a file or directory was changed that was not made through the recorder")

// node is a file or a directory.
type node struct {
	dir    bool
	mode   uint32
	parent ID
	name   string

	bytes []byte // as a process sees them
	saved []byte // as they were at the last sync
	since []*Op  // writes and truncations after it

	entries map[string]ID // as a process sees them
	kept    map[string]ID // that are sure to be on the disk
}

// edit is one entry of a directory that is set, or removed with id 0.
type edit struct {
	dir  ID
	name string
	id   ID
}

// State is what calls have done to the disk.
type State struct {
	nodes   map[ID]*node
	pending [][]edit // changes of names that no sync has saved, a call each
	last    ID
}

// NewState returns an empty root that is on the disk.
func NewState() *State {
	return &State{last: Root, nodes: map[ID]*node{Root: {dir: true, mode: 0o700, entries: map[string]ID{}, kept: map[string]ID{}}}}
}

func (s *State) next() ID { s.last++; return s.last }

func (s *State) path(dir ID, name string) string { return path.Join(s.pathOf(dir), name) }

func (s *State) pathOf(id ID) string {
	n := s.nodes[id]
	if id == Root || n == nil || n.parent == 0 {
		return "."
	}
	return path.Join(s.pathOf(n.parent), n.name)
}

// Apply does a call.
func (s *State) Apply(o *Op) {
	switch o.Kind {
	case Mkdir:
		s.nodes[o.Node] = &node{dir: true, mode: o.Mode, entries: map[string]ID{}, kept: map[string]ID{}}
		s.edit(edit{o.Dir, o.Name, o.Node})
	case Create:
		s.nodes[o.Node] = &node{mode: o.Mode}
		s.edit(edit{o.Dir, o.Name, o.Node})
	case Rename:
		s.edit(edit{o.Dir, o.Name, 0}, edit{o.To, o.NewName, o.Node})
	case Exchange:
		s.edit(edit{o.Dir, o.Name, o.Other}, edit{o.To, o.NewName, o.Node})
	case Remove:
		s.edit(edit{o.Dir, o.Name, 0})
	case Write, Truncate:
		n := s.nodes[o.Node]
		n.bytes = change(n.bytes, o)
		n.since = append(n.since, o)
	case Chmod:
		s.nodes[o.Node].mode = o.Mode
	case Sync:
		s.sync(o.Node)
	}
}

// change returns the bytes of a file after a call; it does not write into b.
func change(b []byte, o *Op) []byte {
	if o.Kind == Truncate {
		return resize(slices.Clone(b), o.Size)
	}
	end := o.Offset + int64(len(o.Data))
	b = resize(slices.Clone(b), max(end, int64(len(b))))
	copy(b[o.Offset:], o.Data)
	return b
}

func resize(b []byte, size int64) []byte {
	if size <= int64(len(b)) {
		return b[:size]
	}
	return append(b, make([]byte, size-int64(len(b)))...)
}

func (s *State) edit(edits ...edit) {
	for _, e := range edits {
		set(s.nodes[e.dir].entries, e)
		if n := s.nodes[e.id]; n != nil {
			n.parent, n.name = e.dir, e.name
		}
	}
	s.pending = append(s.pending, edits)
}

func set(entries map[string]ID, e edit) {
	if e.id == 0 {
		delete(entries, e.name)
	} else {
		entries[e.name] = e.id
	}
}

// sync saves the bytes of a file, or the names in a directory. With them goes
// what came before in the directories that a rename ties to it.
func (s *State) sync(id ID) {
	n := s.nodes[id]
	if !n.dir {
		n.saved, n.since = n.bytes, nil
		return
	}
	tied := map[ID]bool{id: true}
	saved := make([]bool, len(s.pending))
	for i, edits := range slices.Backward(s.pending) {
		saved[i] = slices.ContainsFunc(edits, func(e edit) bool { return tied[e.dir] })
		for _, e := range edits {
			tied[e.dir] = tied[e.dir] || saved[i]
		}
	}
	rest := s.pending[:0:0]
	for i, edits := range s.pending {
		if !saved[i] {
			rest = append(rest, edits)
			continue
		}
		for _, e := range edits {
			set(s.nodes[e.dir].kept, e)
		}
	}
	s.pending = rest
}

// SyncAll is what a machine does that is shut down.
func (s *State) SyncAll() {
	for _, n := range s.nodes {
		n.saved, n.since, n.kept = n.bytes, nil, maps.Clone(n.entries)
	}
	s.pending = nil
}
