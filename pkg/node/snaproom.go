package node

import (
	"fmt"
	"io"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"
)

// sparing is raft's snapshots, which leave the log its part of the disk that
// they share: a snapshot can be made again later, an entry cannot. Raft says once
// that it failed, and tries again with the next interval.
type sparing struct {
	raft.SnapshotStore
	spare func() bool
	give  func() error // why a snapshot is given to nobody, nil if it is; may be nil
}

var errNoRoom = fmt.Errorf("no room for a snapshot, the rest of the disk is kept for the log: %w", unix.ENOSPC)

func (s *sparing) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	if !s.spare() {
		return nil, errNoRoom
	}
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	return &sparingSink{SnapshotSink: sink, spare: s.spare}, nil
}

// Open is for followers that are given the snapshot, and for the state machine
// that was.
func (s *sparing) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if s.give != nil {
		if err := s.give(); err != nil {
			return nil, nil, err
		}
	}
	return s.SnapshotStore.Open(id)
}

// sparingSink looks at the disk before it writes more than a little.
type sparingSink struct {
	raft.SnapshotSink
	spare   func() bool
	written int
}

const sparingStep = 64 << 10

func (s *sparingSink) Write(b []byte) (int, error) {
	if s.written+len(b) >= sparingStep {
		s.written = 0
		if !s.spare() {
			return 0, errNoRoom
		}
	}
	s.written += len(b)
	return s.SnapshotSink.Write(b)
}
