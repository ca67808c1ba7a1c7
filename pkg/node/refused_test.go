package node

import (
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// refuser is a follower over real TCP that votes for whoever asks and refuses
// each fifth call with entries, as one does whose log could not be written.
type refuser struct {
	trans   *raft.NetworkTransport
	calls   uint64
	last    uint64 // index of the newest entry that was taken
	refused atomic.Int64
}

func (f *refuser) serve() {
	for call := range f.trans.Consumer() {
		switch c := call.Command.(type) {
		case *raft.RequestPreVoteRequest:
			call.Respond(&raft.RequestPreVoteResponse{RPCHeader: c.RPCHeader, Term: c.Term, Granted: true}, nil)
		case *raft.RequestVoteRequest:
			call.Respond(&raft.RequestVoteResponse{RPCHeader: c.RPCHeader, Term: c.Term, Granted: true}, nil)
		case *raft.AppendEntriesRequest:
			success := true
			if n := len(c.Entries); n > 0 {
				if f.calls++; f.calls%5 == 0 {
					f.refused.Add(1)
					success = false
				} else {
					f.last = c.Entries[n-1].Index
				}
			}
			call.Respond(&raft.AppendEntriesResponse{RPCHeader: c.RPCHeader, Term: c.Term, LastLog: f.last, Success: success, NoRetryBackoff: true}, nil)
		}
	}
}

// TestALeaderGoesOnSendingToAFollowerThatRefused: with raft's pipelines, one
// refusal is often enough that a leader never sends entries to it again.
func TestALeaderGoesOnSendingToAFollowerThatRefused(t *testing.T) {
	t.Parallel()
	logger := raftLogger(slog.New(slog.DiscardHandler))
	transport := func() *raft.NetworkTransport {
		trans, err := raft.NewTCPTransportWithConfig("127.0.0.1:0", nil, &raft.NetworkTransportConfig{
			MaxPool: maxPool, Timeout: rpcTimeout, MaxRPCsInFlight: callsInFlight, Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { trans.Close() })
		return trans
	}
	leads, f := transport(), &refuser{trans: transport()}
	go f.serve()
	cfg := raft.DefaultConfig()
	cfg.LocalID, cfg.Logger, cfg.NoLegacyTelemetry = "leader", logger, true
	logs, snaps := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
	voters := raft.Configuration{Servers: []raft.Server{{ID: cfg.LocalID, Address: leads.LocalAddr()}, {ID: "follower", Address: f.trans.LocalAddr()}}}
	if err := raft.BootstrapCluster(cfg, logs, logs, snaps, leads, voters); err != nil {
		t.Fatal(err)
	}
	r, err := raft.NewRaft(cfg, nothing{}, logs, logs, snaps, leads)
	if err != nil {
		t.Fatal(err)
	}
	<-r.LeaderCh()
	const enough = 40
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for f.refused.Load() < enough {
				r.Apply([]byte("x"), 0).Error()
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	select {
	case <-done:
		r.Shutdown().Error()
	case <-time.After(patience):
		state := r.State()
		r.Shutdown() // whose end nobody can wait for
		t.Fatalf("%d refusals, and then nothing more was sent: the node is %v", f.refused.Load(), state)
	}
}

// nothing is a state machine that keeps nothing.
type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return frozenLines(nil), nil }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }
