//go:build race

package node

// raced: raft v1.7.3 reads the id of a peer without its lock (updateLastAppended)
// while a change of the peer's address writes the same id there. Nothing comes of
// it, and the race detector would tell of it.
const raced = true
