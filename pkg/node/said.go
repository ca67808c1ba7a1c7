package node

import (
	"sync"
	"time"
)

// said remembers an error that was told, so that it is told once while it lasts.
type said struct {
	text string
	at   time.Time
}

func (s *said) changed(err error) bool {
	if text := err.Error(); text != s.text || time.Since(s.at) > saidAgain {
		s.text, s.at = text, time.Now()
		return true
	}
	return false
}

// lockedSaid is said for those who come at the same time.
type lockedSaid struct {
	mu sync.Mutex
	said
}

func (s *lockedSaid) changed(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.changed(err)
}

const saidAgain = time.Minute
