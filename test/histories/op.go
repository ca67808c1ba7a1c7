package histories

import (
	"fmt"
	"time"
)

// Kind is what an operation does to a document.
type Kind string

const (
	Create  Kind = "create"
	Update  Kind = "update"
	Delete  Kind = "delete"
	Rotate  Kind = "rotate"  // of a keyset: one key more
	Restore Kind = "restore" // every document is as it is in an archive
	Read    Kind = "read"
)

// Said is what the client was told.
type Said string

const (
	Done        Said = "done"
	Unchanged   Said = "unchanged"   // it was already as it should be
	Exists      Said = "exists"      // refused: it is there
	NotFound    Said = "not found"   // refused, or read: it is not there
	Conflict    Said = "conflict"    // refused: it is not at the revision that was given
	Unavailable Said = "unavailable" // certainly not done
	Unknown     Said = "unknown"     // nobody was told: it may take effect at any later time, or never
)

// Mode is how new a read has to be.
type Mode string

const (
	Newest   Mode = ""          // linearizable
	MinIndex Mode = "min index" // what the same client has written is in it
	Stale    Mode = "stale"     // what that node has
)

// Doc is what is seen of a document. The zero value is none.
type Doc struct {
	There    bool   `json:"there"`
	Revision uint64 `json:"revision,omitempty"` // 0: of a write that nobody was told of
	Value    string `json:"value,omitempty"`    // that its last writer has put in
	Keys     int    `json:"keys,omitempty"`     // of a keyset
}

func (d Doc) String() string {
	switch {
	case !d.There:
		return "none"
	case d.Keys > 0:
		return fmt.Sprintf("%d keys at %s", d.Keys, revision(d.Revision))
	}
	return fmt.Sprintf("%s at %s", d.Value, revision(d.Revision))
}

func revision(r uint64) string {
	if r == 0 {
		return "a revision that nobody knows"
	}
	return fmt.Sprint(r)
}

// Op is an operation as its client saw it. Times are of the client's monotonic
// clock, since the run began.
type Op struct {
	Client string        `json:"client"`
	Node   string        `json:"node"` // asked last
	Doc    string        `json:"doc"`  // its path; empty for a restore, which is of all
	Kind   Kind          `json:"kind"`
	Mode   Mode          `json:"mode,omitempty"`
	ID     string        `json:"id,omitempty"`    // of the request; sent again with the same one it is one operation
	Value  string        `json:"value,omitempty"` // that a write puts in
	If     uint64        `json:"if,omitempty"`    // revision that the document must be at; 0: any
	Call   time.Duration `json:"call"`
	Return time.Duration `json:"return,omitempty"` // of the last answer

	Said     Said   `json:"said"`
	Why      string `json:"why,omitempty"`      // the words of an error
	Replayed bool   `json:"replayed,omitempty"` // an earlier attempt did it
	Revision uint64 `json:"revision,omitempty"` // of a write that was done; of the state that a read was answered from, 0 if that was not told
	Index    uint64 `json:"index,omitempty"`    // of the log, likewise
	Found    Doc    `json:"found,omitzero"`     // what a read was shown, and what a restore puts in

	Archive map[string]Doc `json:"-"` // of a restore: what it brings back, by path
}

// write tells whether the operation may change something.
func (o *Op) write() bool { return o.Kind != Read }

// String is the operation and its answer, in one line.
func (o *Op) String() string {
	s := string(o.Kind)
	if o.Mode != Newest {
		s = string(o.Mode) + " " + s
	}
	if o.Doc != "" {
		s += " " + o.Doc
	}
	if o.Value != "" {
		s += " := " + o.Value
	}
	if o.If > 0 {
		s += fmt.Sprintf(" if at %d", o.If)
	}
	s += fmt.Sprintf(" (%s through %s, %s): %s", o.Client, o.Node, o.span(), o.Said)
	switch {
	case o.Kind == Read && o.Said == Done:
		s += fmt.Sprintf(", %s, from revision %d", o.Found, o.Revision)
	case o.Revision > 0:
		s += fmt.Sprintf(" at %d", o.Revision)
	}
	if o.Replayed {
		s += ", replayed"
	}
	return s
}

func (o *Op) span() string {
	if o.Said == Unknown {
		return fmt.Sprintf("%.3fs on", o.Call.Seconds())
	}
	return fmt.Sprintf("%.3fs to %.3fs", o.Call.Seconds(), o.Return.Seconds())
}
