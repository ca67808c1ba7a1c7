package rpc

import "time"

// The limits of what somebody can have of a server who has proved who they are.
// Those of a handshake are in package node.
const (
	// MaxFrame bounds a call or an answer. The largest command is 256 KiB; JSON
	// and base64 make it somewhat longer, and a page of a list is half of this.
	MaxFrame = 1 << 20
	// maxMethod is more than the longest name of a method.
	maxMethod = 64
	// idleTimeout closes a connection with no call under way: what nobody uses
	// costs memory all the same, and a client connects again by itself.
	idleTimeout = 2 * time.Minute
	// frameTimeout is for a frame to arrive whole once it has begun: 35 KiB a
	// second, below which a link is of no use.
	frameTimeout = 30 * time.Second
	// writeTimeout is for a peer that does not read its answers.
	writeTimeout = 30 * time.Second

	// maxConnections bounds the connections to the socket, and those of people to
	// the port: with buffers and TLS each costs about 100 KiB before it asks
	// anything. Other nodes are not among them, so that people cannot keep a node out.
	maxConnections = 512
	// maxOfOne is how many of them one identity may have, whatever certificate of
	// its it shows: one is enough for a client and for all its calls at once.
	maxOfOne = 64
	// maxOfUser is how many a user has of the socket's: root finds a place also
	// when a program of the node's user has run wild.
	maxOfUser = 256
	// maxOfNode is how many another node has of one protocol. Two are enough; the
	// oldest gives way, so that a node is never kept out.
	maxOfNode = 64
	// maxTurnedAway is how many connections are told at once why they are refused.
	maxTurnedAway = 64
	// turnAwayTimeout is for somebody to ask, hear that, and leave.
	turnAwayTimeout = 5 * time.Second

	// roomOfOne and roomOfAll bound the memory that calls of people take while they
	// are under way, of one identity and of all together; a call that finds no room
	// is not read yet. They hold 32 lists, or 64 changes, of one identity.
	roomOfOne = 16 << 20
	roomOfAll = 128 << 20
	// callsPerSecond and callsAtOnce are the pace of the calls of one identity that
	// came over the network: a call costs one, and one more for each callBytes of
	// its answer. That is 4 MiB of lists a second, a small part of one core, and
	// the first 4 MiB at once. Authorization servers read files and call nobody.
	callsPerSecond = 250
	callsAtOnce    = 250
	callBytes      = 16 << 10
	// decoded is how many times its length a frame of a few bytes an element takes
	// once it is decoded, roughly; most take twice.
	decoded = 4
	// roomOfCall is for a call itself: a goroutine, its context, a short answer.
	roomOfCall = 16 << 10
	// roomOfDocument is for an answer with a document, which was a command once.
	roomOfDocument = 256 << 10
)

// The limits of a stream.
const (
	chunkSize = 128 << 10
	// maxStream bounds the work on an archive: half a gigabyte of documents goes
	// through the log in some minutes, on a busy machine in many.
	maxStream   = time.Hour
	maxHead     = 64 << 10
	headTimeout = 5 * time.Second // for the first chunk, which says what is wanted
	// streamStall is for a chunk to arrive whole, or to be taken: of an archive
	// over a slow link, 4 KiB a second.
	streamStall   = 30 * time.Second
	maxDrain      = 4 << 30 // of an archive that was refused before its end
	preambleLimit = 32
	preambleWait  = 5 * time.Second
)
