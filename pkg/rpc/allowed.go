package rpc

import (
	"context"

	"github.com/cpctl/cpctl/pkg/access"
)

// allowed judges somebody for what this node answers by itself, with a leader or
// without one. A node that was started or cut off a moment ago may not know yet
// that a certificate was taken back: it asks how far the cluster is and waits
// until it is there, unless nobody answers.
func (s *Server) allowed(ctx context.Context, by access.Actor, do access.Action) error {
	if by.Serial != "" {
		if why := s.node.Sound(); why != nil { // whether it is good is in a state that is not to be believed
			return &Goodbye{Err: why, Unsound: true}
		}
		within, cancel := context.WithTimeout(ctx, probeWait)
		defer cancel()
		if index, err := s.readIndex(within); err == nil {
			if err := s.node.WaitApplied(within, index); err != nil {
				return err // there is a leader, and it knows more than this node
			}
			if err := s.node.Good(by); err != nil {
				return err
			}
		}
	}
	return access.Check(by, do, "")
}
