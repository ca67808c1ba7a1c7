package rpc

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

// stillAnswered are the calls of people that a node answers whose state is not
// that of the majority: they tell how it is, repair it, or take it out.
var stillAnswered = []string{"Cluster.Ping", "Cluster.Status", "Cluster.Health", "Cluster.Check", "Cluster.Leave", "Cluster.Audit", "Cluster.AuditCheck"}

// fit says why this node does not take a call, nil if it does. The caller is
// sent to another node, and knows that nothing was done.
func (s *Server) fit(method string) error {
	if s == nil || !strings.HasPrefix(method, "Cluster.") || slices.Contains(stillAnswered, method) {
		return nil
	}
	if why := s.node.Sound(); why != nil {
		return &Goodbye{Err: why, Unsound: true}
	}
	return nil
}

// DigestArgs asks for the digest of a state at a log index.
type DigestArgs struct {
	Index uint64 `json:"index"`
	Own   string `json:"own"` // of the node that asks, "" if it does not say
}

// Digest tells what the state of this node was at a log index.
func (p *Peer) Digest(call *Call[DigestArgs], reply *Reply[string]) error {
	return serve(call, reply, func(ctx context.Context) (string, error) {
		return p.s.node.DigestAt(ctx, call.Args.Index, call.Args.Own)
	})
}

// DigestAt asks another member what its state was at a log index.
func (s *Server) DigestAt(ctx context.Context, m Member, index uint64, own string) (string, error) {
	return ask[DigestArgs, string](ctx, s.peers, m, "Peer.Digest", nil, DigestArgs{index, own})
}

// sendState gives the state of this node to another one whose own is wrong: a
// reply that says what the archive will be, and the archive.
func (s *Server) sendState(ctx context.Context, conn io.ReadWriter, by access.Actor, req streamRequest, e *audit.Event) error {
	img, err := onRecord(ctx, s, e, func(ctx context.Context) (*store.Image, error) {
		if by.Role != access.Node {
			return nil, store.Errorf(store.CodeDenied, "whole states are for nodes; an archive is made with: cpctl snapshot save")
		}
		if err := s.node.WaitApplied(ctx, req.Behind); err != nil {
			return nil, err
		}
		return s.node.Image(), nil
	})
	if err != nil {
		return writeJSON(conn, streamRefusal(err))
	}
	m := snapshot.ManifestOf(img, s.node.ClusterID())
	if err := writeJSON(conn, streamReply{Manifest: &m}); err != nil {
		return err
	}
	w := newChunkWriter(conn)
	if err := snapshot.Write(w, img, s.node.ClusterID()); err != nil {
		return err
	}
	return w.finish(conn)
}

// FetchState has another member send its state, at an index or a later one.
func (s *Server) FetchState(ctx context.Context, m Member, behind uint64, take func(snapshot.Manifest, io.Reader) error) error {
	raw, err := s.node.Dial(ctx, m, ProtocolStream)
	if err != nil {
		return store.Errorf(store.CodeUnavailable, "it does not answer at %s: %v", m.Address, err)
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	conn := stalling{raw}
	if err := writeJSON(conn, streamRequest{Op: "state", Behind: behind}); err != nil {
		return store.Errorf(store.CodeUnavailable, "the connection broke: %v", err)
	}
	var head streamReply
	if err := readReply(ctx, raw, &head); err != nil {
		return store.Errorf(store.CodeUnavailable, "the connection broke: %v", err)
	}
	switch {
	case head.Err != nil:
		return head.Err
	case head.Manifest == nil:
		return errors.New("it said nothing of its state")
	}
	return take(*head.Manifest, &chunks{r: conn})
}
