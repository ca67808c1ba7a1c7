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

// lookConf looks once: the watch of a node asks twice a second, and a log of many
// megabytes takes as long to read. Writing is locked.
func (s *logStore) lookConf() (confMark, error) {
	if s.conf != nil {
		return *s.conf, nil
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
			s.conf = confOf(&e)
			return *s.conf, nil
		}
	}
	if s.snaps == nil {
		return confMark{}, nil
	}
	list, err := s.snaps.List() // the newest first
	if err != nil || len(list) == 0 {
		return confMark{}, err
	}
	found := confMark{list[0].ConfigurationIndex, list[0].Configuration}
	if last > 0 { // of an install into an empty log nobody tells us
		s.conf = &found
	}
	return found, nil
}

func confOf(e *raft.Log) *confMark { return &confMark{e.Index, raft.DecodeConfiguration(e.Data)} }

// stored notes the configurations that were written; writing is locked.
func (s *logStore) stored(entries []*raft.Log) {
	for _, e := range entries {
		if e.Type == raft.LogConfiguration {
			s.conf = confOf(e)
		}
	}
}

// deleted forgets the configuration if its entry went from the end of the log, or
// with all of it. One that goes from the beginning is that of the snapshot which
// took its place. Writing is locked.
func (s *logStore) deleted() error {
	_, last, err := s.ends()
	if err != nil {
		return err
	}
	if last == 0 || s.conf != nil && s.conf.index > last {
		s.conf = nil
	}
	return nil
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
