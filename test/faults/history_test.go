package faults

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// doc is what the book says of a document, or a file of itself.
type doc struct {
	create, revision uint64
	uid              string // "" if no answer has shown it
	label            string // of the request that wrote it; "" if nobody wrote one
	keys             int    // of a keyset
}

// history is the state that the acknowledged changes make, in the order of their
// revisions. There is one change for every revision, so the order is known.
type history struct {
	found    *findings
	revision uint64
	docs     map[string]doc
	deleted  map[string]uint64 // path -> revision of its deletion
}

func newHistory(f *findings) *history {
	return &history{found: f, docs: map[string]doc{}, deleted: map[string]uint64{}}
}

// play adds all changes that were acknowledged since the last time. Nothing may
// be under way meanwhile, and upTo is the revision that the cluster is at.
func (h *history) play(entries []entry, upTo uint64) {
	slices.SortStableFunc(entries, func(a, b entry) int { return cmp.Compare(a.revision, b.revision) })
	for _, e := range entries {
		switch {
		case e.revision <= h.revision:
			h.found.add(lost, "%s was acknowledged at revision %d, which was taken (the history is at %d): the state went back", e.name(), e.revision, h.revision)
			continue
		case e.revision > h.revision+1 && h.revision > 0:
			h.found.add(doubled, "revisions %d to %d were made and nobody was told; before %s", h.revision+1, e.revision-1, e.name())
		}
		h.revision = e.revision
		h.apply(e)
	}
	switch {
	case upTo < h.revision:
		h.found.add(lost, "the cluster is at revision %d, acknowledged was %d", upTo, h.revision)
	case upTo > h.revision:
		h.found.add(doubled, "revisions %d to %d were made and nobody was told", h.revision+1, upTo)
		h.revision = upTo
	}
}

func (e entry) name() string {
	if e.restore != nil {
		return "a restore"
	}
	return string(e.op) + " of " + e.ref.String() + " by " + e.label
}

// apply makes one change, and finds the ones before it missing if it could only
// be accepted without them.
func (h *history) apply(e entry) {
	if e.restore != nil {
		for path := range h.docs {
			if _, kept := e.restore.archive[path]; !kept {
				h.deleted[path] = e.revision
			}
		}
		h.docs = maps.Clone(e.restore.archive)
		return
	}
	path := e.ref.Path()
	had, there := h.docs[path]
	now := doc{create: had.create, revision: e.revision, uid: had.uid, label: e.label, keys: had.keys}
	switch mutation.OutcomeOf(e.op) {
	case mutation.Created:
		if there {
			h.found.add(lost, "%s was created at revision %d and accepted once more at %d", e.ref, had.create, e.revision)
		}
		now = doc{create: e.revision, revision: e.revision, label: e.label}
		if e.ref.Kind == "tenant" {
			for _, s := range store.SystemScopes(e.ref.Tenant) {
				h.docs[store.ScopePath(e.ref.Tenant, s.Name)] = doc{create: e.revision, revision: e.revision}
			}
		}
	case mutation.Deleted:
		h.remove(e, there)
		return
	case mutation.Rotated:
		if e.ref.Kind != "keyset" { // a client's secret, which must have been there
			now.label = had.label
			break
		}
		now.keys++
		if !there {
			now.create, now.keys = e.revision, 2 // an active one and the next
			there = true
		}
	}
	if !there && mutation.OutcomeOf(e.op) != mutation.Created {
		h.found.add(lost, "%s was accepted at revision %d; the document was deleted at %d, or never made", e.name(), e.revision, h.deleted[path])
	}
	if e.create > 0 && e.create != now.create {
		h.found.add(lost, "%s answered that it was created at revision %d; acknowledged was %d", e.name(), e.create, now.create)
	}
	if now.uid = cmp.Or(now.uid, e.uid); e.uid != "" && e.uid != now.uid {
		h.found.add(doubled, "%s answered uid %s; acknowledged was %s", e.name(), e.uid, now.uid)
	}
	h.docs[path] = now
}

func (h *history) remove(e entry, there bool) {
	if !there {
		h.found.add(lost, "%s was accepted at revision %d; it had been deleted at %d, or never made", e.name(), e.revision, h.deleted[e.ref.Path()])
	}
	for path := range h.docs {
		if path == e.ref.Path() || e.ref.Kind == "tenant" && strings.Contains(path, "/"+e.ref.Tenant+"/") {
			delete(h.docs, path)
			h.deleted[path] = e.revision
		}
	}
}

// wantShown compares the files of a node with the history.
func (h *history) wantShown(node string, files map[string]doc) {
	for _, path := range slices.Sorted(maps.Keys(h.docs)) {
		want := h.docs[path]
		got, there := files[path]
		switch {
		case !there:
			h.found.add(lost, "node %s: %s was acknowledged at revision %d and is not there", node, path, want.revision)
		case got.revision < want.revision:
			h.found.add(lost, "node %s: %s is at revision %d, acknowledged was %d", node, path, got.revision, want.revision)
		case got.revision > want.revision:
			h.found.add(doubled, "node %s: %s is at revision %d, acknowledged was %d", node, path, got.revision, want.revision)
		case got.create != want.create, want.uid != "" && got.uid != want.uid:
			h.found.add(doubled, "node %s: %s was created at revision %d with uid %s, acknowledged were %d and %s", node, path, got.create, got.uid, want.create, want.uid)
		case want.keys > 0 && got.keys < want.keys:
			h.found.add(lost, "node %s: %s holds %d keys, acknowledged were %d", node, path, got.keys, want.keys)
		case want.keys > 0 && got.keys > want.keys:
			h.found.add(doubled, "node %s: %s holds %d keys, acknowledged were %d", node, path, got.keys, want.keys)
		case want.label != "" && got.label != want.label:
			h.found.add(lost, "node %s: %s was written by %q, acknowledged was %q, both at revision %d", node, path, got.label, want.label, got.revision)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if _, known := h.docs[path]; known {
			continue
		}
		if at := h.deleted[path]; at > 0 {
			h.found.add(lost, "node %s: %s was deleted at revision %d and is there, at revision %d", node, path, at, files[path].revision)
		} else {
			h.found.add(doubled, "node %s: %s is there, at revision %d, and nobody was told", node, path, files[path].revision)
		}
	}
}

// learn takes what no answer has shown from files that agree with the history.
func (h *history) learn(files map[string]doc) {
	for path, d := range h.docs {
		if d.uid == "" {
			d.uid = files[path].uid
			h.docs[path] = d
		}
	}
}
