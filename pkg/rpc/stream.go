package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// A stream carries what is larger than a frame: an archive, one way or the
// other. It begins with a streamRequest; then come chunks and an empty chunk
// that ends them, from the side that has the archive; then the server's reply.
// Each of these is a length (uint32, big endian) and that many bytes.
// streamRequest says what the stream is for.
type streamRequest struct {
	Op        string        `json:"op"` // snapshot, restore, state
	TimeoutMS int64         `json:"timeout_ms"`
	From      *access.Actor `json:"from,omitempty"` // between nodes: who asked the first one
	Restore   RestoreArgs   `json:"restore"`
	Behind    uint64        `json:"behind,omitempty"` // the index that a state must have reached
}

// streamReply ends a stream.
type streamReply struct {
	Err      *store.Error       `json:"err,omitempty"`
	Gone     string             `json:"gone,omitempty"` // as in Reply
	Manifest *snapshot.Manifest `json:"manifest,omitempty"`
	Restored *RestoreReply      `json:"restored,omitempty"`
}

func (r *streamReply) failure() error {
	if r == nil || r.Err == nil {
		return nil
	}
	return r.Err
}

// streamRefusal is the reply for an error.
func streamRefusal(err error) streamReply {
	r := streamReply{Err: typed(err)}
	var bye *Goodbye
	if errors.As(err, &bye) {
		r.Gone = bye.gone()
	}
	return r
}

// readPreamble reads the first line of a connection to the socket, which does
// for it what ALPN does for the port.
func readPreamble(conn net.Conn) (string, error) {
	if err := conn.SetReadDeadline(time.Now().Add(preambleWait)); err != nil {
		return "", err
	}
	var line []byte
	for len(line) < preambleLimit {
		var b [1]byte
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return "", err
		}
		if b[0] == '\n' {
			switch p := string(line); p {
			case ProtocolRPC, ProtocolStream:
				return p, conn.SetReadDeadline(time.Time{})
			}
			break
		}
		line = append(line, b[0])
	}
	return "", fmt.Errorf("unknown protocol %q", line)
}

// stream serves one stream. Between nodes the request names the actor that the
// first node authenticated.
func (s *Server) stream(raw net.Conn, caller access.Actor) {
	conn := stalling{raw}
	var req streamRequest
	err := raw.SetReadDeadline(time.Now().Add(headTimeout))
	if err == nil {
		err = readJSON(raw, maxHead, &req)
	}
	if err != nil {
		s.log.Debug("a stream that asks for nothing we know", "error", err)
		return
	}
	by, between := caller, caller.Role == access.Node
	if between && req.From != nil {
		by = *req.From
	}
	limit := maxStream
	if req.TimeoutMS > 0 {
		limit = min(limit, time.Duration(req.TimeoutMS)*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	e := s.eventOf("stream."+req.Op, by, between && req.From != nil, &req)
	// Chunks that come slowly enough would keep it open for ever.
	end := time.AfterFunc(limit+streamStall, func() { raw.Close() })
	defer end.Stop()
	switch req.Op {
	case "snapshot":
		err = s.sendSnapshot(ctx, conn, by, e)
	case "state":
		err = s.sendState(ctx, conn, caller, req, e)
	case "restore":
		err = s.receiveRestore(ctx, conn, req, by, between, e)
	default:
		err = writeJSON(conn, streamReply{Err: store.Errorf(store.CodeInvalid, "unknown stream %q", req.Op)})
	}
	if err != nil {
		s.log.Debug("a stream broke", "op", req.Op, "error", err)
	}
}

// sendSnapshot streams the state as it is now; changes go on meanwhile.
func (s *Server) sendSnapshot(ctx context.Context, conn io.ReadWriter, by access.Actor, e *audit.Event) error {
	img, err := onRecord(ctx, s, e, func(ctx context.Context) (*store.Image, error) {
		if err := s.fit("Cluster.Snapshot"); err != nil {
			return nil, err
		}
		if err := access.Check(by, access.Save, ""); err != nil {
			return nil, err
		}
		img, _, err := s.image(ctx, by, ReadOptions{})
		return img, err
	})
	if err != nil {
		if err := writeChunk(conn, nil); err != nil {
			return err
		}
		return writeJSON(conn, streamRefusal(err))
	}
	w := newChunkWriter(conn)
	if err := snapshot.Write(snapshot.Paced(w, s.applied), img, s.node.ClusterID()); err != nil {
		return err
	}
	if err := w.finish(conn); err != nil {
		return err
	}
	m := snapshot.ManifestOf(img, s.node.ClusterID())
	return writeJSON(conn, streamReply{Manifest: &m})
}

// applied is the index of this node's state.
func (s *Server) applied() uint64 { return s.node.Image().Index }

// receiveRestore restores from the archive that the stream carries, or passes
// it on to the leader. What is left of a refused archive is read and dropped, so
// that the reply arrives.
func (s *Server) receiveRestore(ctx context.Context, conn stalling, req streamRequest, by access.Actor, between bool, e *audit.Event) error {
	ctx, left := context.WithCancel(ctx)
	defer left()
	archive := &chunks{r: conn, whole: func() { go waitForLeaving(conn.Conn, left) }}
	var reply streamReply
	restored, err := onRecord(ctx, s, e, func(ctx context.Context) (*RestoreReply, error) {
		if !between {
			if err := s.fit("Cluster.Restore"); err != nil {
				return nil, err
			}
		}
		if err := s.allowed(ctx, by, access.Restore); err != nil { // before a megabyte of it travels on
			return nil, err
		}
		if leader, known := s.node.Leader(); known && leader.ID != s.node.ID() && !between {
			return s.forwardRestore(ctx, leader, archive, req, by)
		}
		r, err := s.node.Restore(ctx, archive, req.Restore, by)
		if err != nil {
			return nil, err
		}
		return restoreReply(r, req.Restore.DryRun), nil
	})
	if err != nil {
		reply = streamRefusal(err)
	}
	reply.Restored = restored
	if _, err := io.CopyN(io.Discard, archive, maxDrain); err != nil && !errors.Is(err, io.EOF) && reply.Err == nil {
		return err
	}
	if reply.Restored != nil && !between && !req.Restore.DryRun {
		reply.Restored.Published = s.published(ctx, reply.Restored.Index)
	}
	return writeJSON(conn, reply)
}

// waitForLeaving returns when the other side, which has nothing more to say, is
// gone: a restore that nobody waits for any more is given up, as a write is.
func waitForLeaving(conn net.Conn, left func()) {
	if conn.SetReadDeadline(time.Time{}) == nil {
		conn.Read(make([]byte, 1))
	}
	left()
}

func (s *Server) forwardRestore(ctx context.Context, leader Member, archive io.Reader, req streamRequest, by access.Actor) (*RestoreReply, error) {
	fail := func(code store.Code, err error) (*RestoreReply, error) {
		return nil, store.Errorf(code, "the archive could not be passed on to the leader: %v", err)
	}
	raw, err := s.node.Dial(ctx, leader, ProtocolStream)
	if err != nil {
		return fail(store.CodeUnavailable, err)
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	conn := stalling{raw}
	req.From = &by
	if err := writeJSON(conn, req); err != nil {
		return fail(store.CodeUnavailable, err)
	}
	w := newChunkWriter(conn)
	if _, err := io.Copy(w, archive); err != nil {
		return fail(store.CodeUnavailable, err) // the leader never saw the end of it
	}
	if err := w.finish(conn); err != nil {
		return fail(store.CodeUnknown, err)
	}
	var reply streamReply
	if err := readReply(ctx, raw, &reply); err != nil {
		return fail(store.CodeUnknown, err)
	}
	if reply.Err != nil {
		return nil, reply.Err
	}
	return reply.Restored, nil
}

// readReply waits for the end of a stream as long as the context allows: the
// work on a large archive takes longer than a stall.
func readReply(ctx context.Context, conn net.Conn, reply *streamReply) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(maxStream + streamStall)
	}
	if err := conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	return readJSON(conn, MaxFrame, reply)
}

func restoreReply(r *Restored, dryRun bool) *RestoreReply {
	out := &RestoreReply{FormatVersion: store.FormatVersion, Kind: "restore", Archive: r.Archive,
		Changes: []Change{}, Digest: r.Digest, Revision: r.Revision, Index: r.Index, Replayed: r.Replayed, DryRun: dryRun}
	if r.Replayed {
		out.ChangedTotal = r.Total
		return out
	}
	out.Difference, out.ChangedTotal = &Difference{Before: r.Before, After: r.After}, len(r.Changes)
	for _, c := range r.Changes {
		switch c.Op {
		case '+':
			out.Added++
		case '-':
			out.Removed++
		default:
			out.Changed++
		}
		if len(out.Changes) < MaxChanges {
			name := c.Path
			if ref, err := store.ParsePath(c.Path); err == nil {
				name = ref.String()
			}
			out.Changes = append(out.Changes, Change{Op: string(c.Op), Name: name})
		}
	}
	return out
}
