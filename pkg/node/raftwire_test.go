package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/pki"
)

// lines is a state machine that keeps what it was told, one line a command, and
// a command that is sent again after an unknown outcome only once.
type lines struct {
	mu  sync.Mutex
	got []string
}

func (l *lines) Apply(e *raft.Log) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.got, string(e.Data)) {
		l.got = append(l.got, string(e.Data))
	}
	return len(l.got)
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

func (l *lines) Snapshot() (raft.FSMSnapshot, error) { return frozenLines(l.all()), nil }

func (l *lines) Restore(r io.ReadCloser) error {
	b, err := io.ReadAll(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.got = nil; len(b) > 0 {
		l.got = strings.Split(string(b), "\n")
	}
	return errors.Join(err, r.Close())
}

type frozenLines []string

func (f frozenLines) Persist(sink raft.SnapshotSink) error {
	if _, err := io.WriteString(sink, strings.Join(f, "\n")); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (frozenLines) Release() {}

// wirePeer is a raft node over the real port, log and snapshots.
type wirePeer struct {
	t     *testing.T
	name  string
	creds pki.Credentials
	mux   *Mux
	addr  raft.ServerAddress
	logs  *logStore
	snaps *snapStore
	stale chan struct{}

	fsm   *lines
	trans *raft.NetworkTransport
	raft  *raft.Raft
}

func newWirePeer(t *testing.T, ca wireCA, name string) *wirePeer {
	t.Helper()
	dir := t.TempDir()
	p := &wirePeer{t: t, name: name, creds: ca.member(t, access.Node, name), stale: make(chan struct{}, 1)}
	ln := listenLoopback(t)
	p.mux = newMux(ln, serverTLS(t, p.creds))
	t.Cleanup(func() { p.mux.Close() })
	p.addr = joinAddress(name+"-id", ln.Addr().String())
	var err error
	if p.logs, err = openLog(nil, filepath.Join(dir, "raft.db"), func(err error) { t.Errorf("%s stopped: %v", name, err) }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.logs.Close() })
	if p.snaps, err = openSnapshots(disk.Real{}, filepath.Join(dir, "snapshots"), 2, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := p.logs.followSnapshots(p.snaps, func() { p.stale <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *wirePeer) server() raft.Server {
	return raft.Server{ID: raft.ServerID(p.name + "-id"), Address: p.addr}
}

func (p *wirePeer) config() *raft.Config {
	cfg := raft.DefaultConfig()
	cfg.LocalID = p.server().ID
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = 300*time.Millisecond, 300*time.Millisecond, 150*time.Millisecond
	cfg.CommitTimeout = 5 * time.Millisecond
	cfg.NoLegacyTelemetry = true
	cfg.Logger = raftLogger(slog.New(slog.DiscardHandler))
	return cfg
}

// start makes raft on what the stores hold; it may be called again after stop.
func (p *wirePeer) start() {
	p.t.Helper()
	layer := newStreamLayer(p.mux.Listener(ProtocolRaft), string(p.addr), func(id string) (*tls.Config, error) {
		return pki.ClientTLS(p.creds, wireCluster, 1, nil, ProtocolRaft, id)
	})
	cfg := p.config()
	p.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: layer, MaxPool: 3, MaxRPCsInFlight: callsInFlight, Timeout: 5 * time.Second, Logger: cfg.Logger, MsgpackUseNewTimeFormat: true,
	})
	p.fsm = new(lines)
	var err error
	if p.raft, err = raft.NewRaft(cfg, p.fsm, newLogCache(p.logs), p.logs, p.snaps, p.trans); err != nil {
		p.t.Fatal(err)
	}
	r, trans := p.raft, p.trans
	p.t.Cleanup(func() { r.Shutdown().Error(); trans.Close() })
}

func (p *wirePeer) stop() {
	p.t.Helper()
	if err := errors.Join(p.raft.Shutdown().Error(), p.trans.Close()); err != nil {
		p.t.Errorf("stop %s: %v", p.name, err)
	}
}

// hasSnapshot puts a snapshot of one line on the disk, before start.
func (p *wirePeer) hasSnapshot(index, term uint64, members raft.Configuration) {
	p.t.Helper()
	_, trans := raft.NewInmemTransport(p.addr)
	sink, err := p.snaps.Create(1, index, term, members, 1, trans)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := (frozenLines{"from the snapshot"}).Persist(sink); err != nil {
		p.t.Fatal(err)
	}
}

// leaderOf waits for one leader that all peers know, and returns it.
func leaderOf(t *testing.T, peers ...*wirePeer) (leader *wirePeer) {
	t.Helper()
	until(t, "a leader that all know", func() bool {
		i := slices.IndexFunc(peers, func(p *wirePeer) bool { return p.raft.State() == raft.Leader })
		if i < 0 {
			return false
		}
		leader = peers[i]
		for _, p := range peers {
			if addr, id := p.raft.LeaderWithID(); addr != leader.addr || id != leader.server().ID {
				return false
			}
		}
		return true
	})
	return leader
}

func wantLines(t *testing.T, want []string, peers ...*wirePeer) {
	t.Helper()
	for _, p := range peers {
		until(t, fmt.Sprintf("%s has applied all %d commands", p.name, len(want)), func() bool { return slices.Equal(p.fsm.all(), want) })
	}
}

func TestThreeNodesOverTheWire(t *testing.T) {
	t.Parallel()
	ca := newWireCA(t)
	peers := []*wirePeer{newWirePeer(t, ca, "n1"), newWirePeer(t, ca, "n2"), newWirePeer(t, ca, "n3")}
	var members raft.Configuration
	for _, p := range peers {
		members.Servers = append(members.Servers, p.server())
	}
	for _, p := range peers {
		p.start()
	}
	if err := peers[0].raft.BootstrapCluster(members).Error(); err != nil {
		t.Fatal(err)
	}
	var want []string
	apply := func(n int, peers ...*wirePeer) {
		t.Helper()
		for range n {
			command := fmt.Sprintf("command %d", len(want))
			// a busy machine may cost a leader its lease
			until(t, command+" is applied", func() bool {
				return leaderOf(t, peers...).raft.Apply([]byte(command), 5*time.Second).Error() == nil
			})
			want = append(want, command)
		}
	}
	apply(20, peers...)
	wantLines(t, want, peers...)
	leader := leaderOf(t, peers...)

	// without its port it is dead to the others, whatever it thinks
	leader.stop()
	leader.mux.Close()
	rest := slices.DeleteFunc(slices.Clone(peers), func(p *wirePeer) bool { return p == leader })
	apply(20, rest...)
	wantLines(t, want, rest...)
}

// The raft of a follower whose log ended in a deposed leader's entries, behind
// the snapshot that the new leader sends, refuses that leader for ever unless it
// is made anew: see logreset.go.
func TestFollowerWithADeposedLeadersEntriesCatchesUp(t *testing.T) {
	t.Parallel()
	ca := newWireCA(t)
	leader, follower := newWirePeer(t, ca, "n1"), newWirePeer(t, ca, "n2")
	members := raft.Configuration{Servers: []raft.Server{leader.server(), follower.server()}}
	members.Servers[1].Suffrage = raft.Nonvoter

	// the leader: everything up to 40 is in a snapshot of term 3, its log is empty
	leader.hasSnapshot(40, 3, members)
	// the follower: the configuration, and entries of term 2 up to 60
	first := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(members)}
	if err := follower.logs.StoreLogs(append([]*raft.Log{first}, entries(2, 60, 2)...)); err != nil {
		t.Fatal(err)
	}
	for p, term := range map[*wirePeer]uint64{leader: 3, follower: 2} {
		if err := p.logs.SetUint64([]byte("CurrentTerm"), term); err != nil {
			t.Fatal(err)
		}
	}
	leader.start()
	follower.start()
	until(t, "the follower's log gives its raft up", func() bool { return len(follower.stale) > 0 })
	follower.stop()
	follower.start()
	leaderOf(t, leader, follower)
	if err := leader.raft.Apply([]byte("after it"), 5*time.Second).Error(); err != nil {
		t.Fatal(err)
	}
	want := []string{"from the snapshot", "after it"}
	wantLines(t, want, leader, follower)
	wantEnds(t, follower.logs, 41, follower.raft.LastIndex())

	// and so it stays over the next restart
	follower.stop()
	follower.start()
	leaderOf(t, leader, follower)
	wantLines(t, want, follower)
}

// A node that starts from nothing takes the snapshot into an empty log.
func TestEmptyFollowerTakesTheSnapshot(t *testing.T) {
	t.Parallel()
	ca := newWireCA(t)
	leader, follower := newWirePeer(t, ca, "n1"), newWirePeer(t, ca, "n2")
	members := raft.Configuration{Servers: []raft.Server{leader.server()}}
	leader.hasSnapshot(40, 3, members)
	leader.start()
	follower.start()
	leaderOf(t, leader)
	if err := leader.raft.AddNonvoter(follower.server().ID, follower.addr, 0, 5*time.Second).Error(); err != nil {
		t.Fatal(err)
	}
	if err := leader.raft.Apply([]byte("after it"), 5*time.Second).Error(); err != nil {
		t.Fatal(err)
	}
	wantLines(t, []string{"from the snapshot", "after it"}, leader, follower)
	wantEnds(t, follower.logs, 41, follower.raft.LastIndex())
	if len(follower.stale) != 0 {
		t.Error("its raft was given up for nothing")
	}
}
