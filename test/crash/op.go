package crash

import "fmt"

// ID is a file or a directory. Names come and go, and the file system uses inode
// numbers again; an ID is never used twice. 0 is none.
type ID int

// Root is the directory that is recorded.
const Root ID = 1

// The kinds of an Op.
const (
	Mkdir    = "mkdir"
	Create   = "create"
	Write    = "write" // at Offset, whatever the call was
	Truncate = "truncate"
	Rename   = "rename"
	Exchange = "exchange"
	Remove   = "remove"
	Chmod    = "chmod"
	Sync     = "sync"
	Note     = "note" // no call, but what a test wants to find among them
)

// Op is one call.
type Op struct {
	Kind  string
	Node  ID // that is made, moved, removed, written or synced
	Dir   ID
	Name  string
	To    ID // Rename, Exchange: the other directory
	Other ID // Exchange: what was there

	NewName string
	Data    []byte
	Offset  int64
	Size    int64
	Mode    uint32

	Seen uint64 // what Recorder.Probe said before the call
	Note any

	path, newPath string // when it was called
}

// Path is where the call was made, below the directory that is recorded.
func (o *Op) Path() string { return o.path }

// String describes the call.
func (o *Op) String() string {
	switch o.Kind {
	case Rename, Exchange:
		return fmt.Sprintf("%s %s %s", o.Kind, o.path, o.newPath)
	case Write:
		return fmt.Sprintf("write %s, %d bytes at %d", o.path, len(o.Data), o.Offset)
	case Note:
		return fmt.Sprint(o.Note)
	}
	return o.Kind + " " + o.path
}
