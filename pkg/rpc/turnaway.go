package rpc

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"time"
)

// turnAway answers the first thing that a refused connection asks with the
// reason, and ends it. Nothing that it says is decoded.
func (s *Server) turnAway(conn net.Conn, protocol string, why error) {
	select {
	case s.turning <- struct{}{}:
		defer func() { <-s.turning }()
	default:
		return // a flood: no reasons are given
	}
	s.log.Debug("turned a connection away", "from", conn.RemoteAddr().String(), "reason", why)
	if err := conn.SetDeadline(time.Now().Add(turnAwayTimeout)); err != nil {
		return
	}
	tell := tellCaller
	if protocol == ProtocolStream {
		tell = tellStream
	}
	if err := tell(conn, why); err != nil {
		return
	}
	// What is closed with bytes unread takes the answer with it.
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			return
		}
	}
	io.CopyN(io.Discard, conn, MaxFrame)
}

// tellCaller answers a call, of which it reads the number only.
func tellCaller(conn net.Conn, why error) error {
	var head [12]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	reply := Reply[json.RawMessage]{Err: typed(why), Value: json.RawMessage("null")}
	var bye *Goodbye
	if errors.As(why, &bye) {
		reply.Gone = bye.gone()
	}
	return newCodec(conn, nil).writeFrame(binary.BigEndian.Uint64(head[4:]), "", reply)
}

// tellStream ends a stream as it would be after an empty archive, which is where
// the reason stands for whoever wants a snapshot, and after what was sent for
// whoever wants to restore one.
func tellStream(conn net.Conn, why error) error {
	var req streamRequest
	if err := readJSON(conn, maxHead, &req); err != nil {
		return err
	}
	if req.Op == "restore" {
		if _, err := io.CopyN(io.Discard, &chunks{r: conn}, maxHead); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	} else if err := writeChunk(conn, nil); err != nil {
		return err
	}
	return writeJSON(conn, streamReply{Err: typed(why)})
}
