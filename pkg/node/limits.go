package node

import "time"

// The limits of what others can have of a node before, and while, they are
// trusted. Those of a connection that has a protocol are in package rpc.
const (
	// handshakeTimeout is for a peer to prove who it is, from the first byte to
	// the last: a handshake is two round trips, and the slowest of links has them
	// done in a second.
	handshakeTimeout = 5 * time.Second
	// maxHandshakes is how many peers may be proving it at once. Each costs about
	// 40 KiB, and a member needs a place for a few milliseconds only.
	maxHandshakes = 256
	// acceptBacklog is how many connections of one protocol may wait to be
	// accepted: more than all members make at once after an outage.
	acceptBacklog = 128
	// acceptTimeout is how long they may: whoever accepts is stuck by then, and
	// the peer better asks another node.
	acceptTimeout = 5 * time.Second
	// maxRaftConnections is how many raft connections one node may have here. It
	// keeps three and makes a new one when it takes the old one for dead, so the
	// oldest gives way and a node is never kept out.
	maxRaftConnections = 64

	// changesPerSecond and changesAtOnce are the rate and the depth of the bucket
	// out of which the changes of one identity that came over the network are
	// taken, a token for each and for each changeBytes of it. 500 a second is what
	// one caller can make that waits for each answer, and a small part of what the
	// log takes; a file of a thousand documents goes through at once.
	changesPerSecond = 500
	changesAtOnce    = 1000
	changeBytes      = 4 << 10
	// maxBuckets is how many identities are told apart at once. A bucket that is
	// full again is forgotten, so it takes that many who are busy to fill the table.
	maxBuckets = 1024
)
