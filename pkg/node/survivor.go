package node

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// Survivor is the data directory of a node that does not run, as an operator
// looks at it who has lost the others. It is locked until Close, so that no node
// begins to run on it, and nothing in it is changed.
type Survivor struct {
	Dir        string
	Name       string
	NodeID     string
	ClusterID  string
	Generation uint64
	Recovery   string // id of the one that made the generation
	Listen     string // where it was listening
	Address    string // by which the others reached it

	LastIndex uint64 // of the log, committed or not
	LastTerm  uint64
	Snapshot  uint64 // index of the snapshot below the log
	Shown     uint64 // index up to which it has shown its state to anybody; 0: not known
	Image     *store.Image
	Members   []Member // of the last configuration in its log
	Faults    []string // what is damaged
	Sealed    string   // why the cluster key does not open the state; "": it does
	Nobody    string   // what is wrong with its credentials, without which its node does not start; "": nothing
	Drift     *Drift   // its state was found not to be the majority's
	Gone      string   // why it is no member any more; "": it is one, as far as it knows
	Begun     uint64   // a recovery as this generation was begun here and cut short; 0: none

	self      *identity
	dir       *dataDir
	raft      *rafted
	keys      *pki.Keyring // behind a pointer, as no print goes there
	begun     *recovering
	committed uint64 // index up to which its log is known to be, by all that was looked at
}

// Whole reports whether the cluster can go on from this directory.
func (s *Survivor) Whole() bool {
	return s.Image != nil && s.Sealed == "" && s.Begun == 0 && s.Drift == nil && s.Gone == ""
}

// Starts reports whether its node would start on it as it is.
func (s *Survivor) Starts() bool { return s.Whole() && s.Nobody == "" }

// Survey reads a data directory. One of a running node is refused, and what is
// none is invalid; damage is among the Faults.
func Survey(dir string) (*Survivor, error) {
	s := &Survivor{Dir: dir, dir: &dataDir{path: filepath.Clean(dir), disk: disk.Real{}}}
	if err := s.hold(); err != nil {
		return nil, err
	}
	if err := s.read(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close lets go of the directory.
func (s *Survivor) Close() error {
	if s.dir.lock == nil {
		return nil
	}
	return s.dir.lock.Close()
}

func (s *Survivor) read() error {
	self, err := s.dir.load()
	switch {
	case errors.Is(err, store.ErrIntegrity):
		s.Faults = append(s.Faults, s.within(err))
		return nil
	case err != nil:
		return err
	case self == nil:
		return store.Errorf(store.CodeInvalid, "%s is not the data directory of a node: it has no node.json", s.Dir)
	}
	s.self = self
	s.Name, s.NodeID, s.ClusterID, s.Generation, s.Recovery = self.Name, self.NodeID, self.ClusterID, self.Generation, self.Recovery
	s.Listen, s.Address = self.Listen, self.Advertise
	switch self.Phase {
	case phaseLeft:
		s.Gone = "it has left the cluster: " + self.Gone
	case phaseRemoved:
		s.Gone = "it was removed from the cluster: " + self.Gone
	}
	if s.Gone != "" {
		s.Faults = append(s.Faults, s.Gone)
	}
	switch s.Drift, err = s.dir.drift(); {
	case errors.Is(err, store.ErrIntegrity):
		s.Faults = append(s.Faults, s.within(err))
	case err != nil:
		return err
	case s.Drift != nil:
		s.Faults = append(s.Faults, fmt.Sprintf("its state was found not to be that of the majority, at index %d: it is not to be gone on with", s.Drift.Index))
	}
	if s.begun, err = s.dir.recovering(); errors.Is(err, store.ErrIntegrity) {
		s.Faults = append(s.Faults, s.within(err))
	} else if err != nil {
		return err
	}
	if s.begun != nil {
		s.Begun = s.begun.Self.Generation
		return nil // the log may be on its way
	}
	if s.raft, err = readRaft(s.dir.file("raft"), s.ClusterID); err != nil {
		return err
	}
	for _, fault := range s.raft.faults {
		s.Faults = append(s.Faults, s.within(fault))
	}
	s.LastIndex, s.LastTerm, s.Snapshot = s.raft.last.index, s.raft.last.term, s.raft.snapshot.index
	if s.raft.known {
		s.Shown = s.raft.shown.Index
	}
	s.committed = max(s.Shown, s.Snapshot)
	if s.raft.image == nil {
		return nil
	}
	f := foundIn(s.raft.image)
	if f.ClusterID == "" {
		s.Faults = append(s.Faults, "it holds no state of a cluster yet: it was on its way into one")
		return nil
	}
	if f.Generation > s.Generation || f.Generation == s.Generation && f.Recovery != s.Recovery {
		s.Faults = append(s.Faults, fmt.Sprintf("raft is of generation %d, node.json of generation %d, or of another recovery: they are not of one directory", f.Generation, s.Generation))
		return nil
	}
	s.Image = s.raft.image
	s.Members = s.membersOf()
	s.Sealed = s.opens()
	if _, err := s.dir.loadTLS(self); err != nil {
		s.Nobody = s.within(err)
		s.Faults = append(s.Faults, s.Nobody+": put it back from a copy of this directory and start the node, or a recovery makes it anew")
	}
	return nil
}

// within leaves the directory out of a message about what is in it.
func (s *Survivor) within(err error) string {
	return strings.ReplaceAll(oneLine(err.Error()), s.dir.path+string(filepath.Separator), "")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (s *Survivor) membersOf() []Member {
	records := recordsIn(s.Image)
	out := make([]Member, 0, len(s.raft.members.Servers))
	for _, server := range s.raft.members.Servers {
		out = append(out, memberOf(server, records))
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out
}

// opens tries the cluster key on the key of the authority, by which a node of the
// next generation would be certified.
func (s *Survivor) opens() string {
	b, err := os.ReadFile(s.dir.file("cluster.key"))
	if errors.Is(err, os.ErrNotExist) {
		return "cluster.key is missing"
	}
	var ring pki.Keyring
	if err == nil {
		ring, err = pki.ParseKeyring(b)
	}
	if err == nil {
		s.keys = &ring
		_, err = authorityIn(s.Image, ring)
	}
	if err != nil {
		return s.within(err)
	}
	return ""
}

// Votes reports whether the node has a vote in the last configuration it knows.
func (s *Survivor) Votes() bool {
	return slices.ContainsFunc(s.Members, func(m Member) bool { return m.ID == s.NodeID && m.Voter })
}
