package rpc

import "github.com/cpctl/cpctl/pkg/store"

// Goodbye is the answer to somebody whom a server does not serve any more, in
// the words of an error: TLS could only break off, with a number that says
// nothing. Being turned away is all that comes of the connection.
type Goodbye struct {
	Err     *store.Error
	Removed bool // the caller is a node that is no longer a member
	Unsound bool // it is the server that is not what it was: its state is not the majority's
}

func (g *Goodbye) Error() string { return g.Err.Error() }

func (g *Goodbye) Unwrap() error { return g.Err }

// The values of Reply.Gone.
const (
	goneRevoked = "revoked"
	goneRemoved = "removed"
	goneUnsound = "unsound"
)

func (g *Goodbye) gone() string {
	switch {
	case g.Removed:
		return goneRemoved
	case g.Unsound:
		return goneUnsound
	}
	return goneRevoked
}
