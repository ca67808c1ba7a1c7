package node

import "github.com/hashicorp/raft"

// confMark is a configuration of raft's, and the index of the entry that made it
// the one in force.
type confMark struct {
	index uint64
	is    raft.Configuration
}

// membership is the newest configuration in the log, or in the snapshot that it
// begins behind. Raft has it, too, and a change of it may name the index of the
// one that it is a change of. But GetConfiguration of v1.7.3 always says that this
// is 0, which to raft means: of any.
func (s *logStore) membership() (confMark, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.lookConf()
}

func (s *logStore) lookConf() (confMark, error) {
	if e := s.conf; e != nil {
		return confOf(e), nil
	}
	first, last, err := s.ends()
	if err != nil {
		return confMark{}, err
	}
	var e raft.Log
	for i := last; i >= first && i > 0; i-- {
		if err := s.GetLog(i, &e); err != nil {
			return confMark{}, err
		}
		if e.Type == raft.LogConfiguration {
			s.conf = &e
			return confOf(&e), nil
		}
	}
	if s.snaps == nil {
		return confMark{}, nil
	}
	list, err := s.snaps.List() // the newest first
	if err != nil || len(list) == 0 {
		return confMark{}, err
	}
	return confMark{list[0].ConfigurationIndex, list[0].Configuration}, nil
}

func confOf(e *raft.Log) confMark { return confMark{e.Index, raft.DecodeConfiguration(e.Data)} }

// stored notes the configurations that were written; writing is locked.
func (s *logStore) stored(entries []*raft.Log) {
	for _, e := range entries {
		if e.Type == raft.LogConfiguration {
			s.conf = e
		}
	}
}

// deleted forgets the configuration if it went with some entries; writing is locked.
func (s *logStore) deleted(min, max uint64) {
	if s.conf != nil && min <= s.conf.Index && s.conf.Index <= max {
		s.conf = nil
	}
}

// keptConf tells the node when the log that is kept after an install has a newer
// configuration than the snapshot: raft has just taken the snapshot's for the one in
// force, and would not read the one behind it again. Writing is locked.
func (s *logStore) keptConf() error {
	c, err := s.lookConf()
	if err != nil {
		return s.fail(err)
	}
	if c.index > s.begins.Load().index {
		s.stale()
	}
	return nil
}
