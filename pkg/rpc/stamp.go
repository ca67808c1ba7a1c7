package rpc

import "log/slog"

// Stamp is on every answer: which node gave it and how new that node was. A
// read that was answered from a certain state bears the index of that state.
type Stamp struct {
	Node  string `json:"node,omitempty"`
	Index uint64 `json:"index,omitempty"`  // applied by the node when it answered
	AgeMS int64  `json:"age_ms,omitempty"` // since it last heard of a leader, 0 if it leads; -1: it never did
}

// shownAt is an answer that was made from a state of its own.
type shownAt interface{ shownAt() uint64 }

func (i ReadInfo) shownAt() uint64 { return i.Index }

// stamp is that of an answer given now.
func (s *Server) stamp(answer any) Stamp {
	st := Stamp{Node: s.node.Name(), Index: s.node.Image().Index, AgeMS: s.age()}
	if of, ok := answer.(shownAt); ok {
		st.Index = of.shownAt()
	}
	return st
}

// age is how long ago this node heard of a leader, milliseconds; -1 if it never did.
func (s *Server) age() int64 {
	d := s.node.SinceContact()
	if d < 0 {
		return -1
	}
	return d.Milliseconds()
}

// stamped is a reply as it comes from the wire.
type stamped interface{ stamp() Stamp }

func (r *Reply[T]) stamp() Stamp { return r.Stamp }

// noteStamps says on the log of a client what its answers bear.
func noteStamps(log *slog.Logger, server string) func(Stamp) {
	return func(st Stamp) {
		if st.Node != "" { // a refusal of the connection bears none
			log.Debug("answered", "server", server, "node", st.Node, "index", st.Index, "age_ms", st.AgeMS)
		}
	}
}
