package rpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// fake is a node that does what a test tells it: the wire is what is tested.
type fake struct {
	farewell *Goodbye // to everybody
	mu       sync.Mutex
	img      *store.Image
	writes   []mutation.Request                                                 // as they arrived
	write    func(context.Context, *mutation.Request) (*mutation.Answer, error) // nil: created
	leads    bool
	leader   *Member
	members  []Member             // nil: itself alone
	seenSet  *mutation.Autoremove // by who sets it
	dial     func(m Member, protocol string) (net.Conn, error)
	restore  func(archive io.Reader) (*Restored, error)
	hold     func(ctx context.Context, archive io.Reader) (*Restored, error) // restore, with what ends it; nil: restore
	unread   error                                                           // of Readable
	notGood  error                                                           // of Good
	files    error                                                           // of WaitPublished
	unsound  *store.Error
	digests  map[uint64]string // of DigestAt
	self     *SelfCheck
	removal  error // of Remove
	repairs  int   // of Check
	at       []Progress
	port     net.Listener
	streams  net.Listener // nil: the same
	door     net.Listener // for newcomers
	enrol    func(EnrolArgs, access.Actor) (*Enrolment, error)
	admits   []AdmitArgs
	exports  []string // as they were recorded
	waited   uint64   // for WaitApplied
	private  []byte   // of PrivateJWK; none: unavailable
	rekey    func(roll string) (*RekeyReply, error)
	rolls    []string // that Rekey was asked for
	cluster  []byte   // of ClusterKey
	server   *Server  // that serves it
	record   Recorder // nil: nobody
	unready  error    // of Ready
	stopping bool
	transfer func(TransferArgs) (*Transferred, error)

	remove    func(RemoveArgs) (*Removal, error) // nil: done
	departing atomic.Int32
	departed  chan string // who told it to
}

func (f *fake) Name() string                                { return "n1" }
func (f *fake) ID() string                                  { return "id-1" }
func (f *fake) ClusterID() string                           { return "cluster-1" }
func (f *fake) Image() *store.Image                         { return f.img }
func (f *fake) Readable() error                             { return f.unread }
func (f *fake) WaitPublished(context.Context, uint64) error { return f.files }
func (f *fake) Stopping() bool                              { return f.stopping }
func (f *fake) SinceContact() time.Duration                 { return 1500 * time.Millisecond }

func (f *fake) Progress() Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.at) > 0 {
		p := f.at[0]
		f.at = f.at[1:]
		return p
	}
	return Progress{Name: "n1", ID: "id-1", Leads: f.leads, Term: 3}
}

func (f *fake) Check(_ context.Context, repair bool) *SelfCheck {
	if repair {
		f.repairs++
	}
	return f.self
}

func (f *fake) Sound() *store.Error { return f.unsound }

// DigestAt says of an index what the test says of it.
func (f *fake) DigestAt(_ context.Context, index uint64, theirs string) (string, error) {
	if d, ok := f.digests[index]; ok {
		return d, nil
	}
	return "", store.Errorf(store.CodeUnavailable, "not known any more")
}

func (f *fake) Ready(ctx context.Context, by access.Actor) (uint64, error) {
	if f.unready != nil {
		return 0, f.unready
	}
	return f.ReadIndex(ctx)
}
func (f *fake) Members() []Member {
	if f.members != nil {
		return f.members
	}
	return []Member{{ID: "id-1", Name: "n1", Voter: true}}
}

func (f *fake) LastHeard(string) (Progress, bool) { return Progress{}, false }
func (f *fake) Good(access.Actor) error           { return f.notGood }

func (f *fake) Farewell(string, string) (*store.Error, bool) {
	if f.farewell == nil {
		return nil, false
	}
	return f.farewell.Err, f.farewell.Removed
}
func (f *fake) Renew(context.Context, []byte, access.Actor) (*Enrolment, error) {
	return &Enrolment{}, nil
}
func (f *fake) Revoke(context.Context, string, access.Actor) (mutation.Certificate, uint64, error) {
	return mutation.Certificate{Role: "operator", Name: "ana"}, 9, nil
}
func (f *fake) Rotate(context.Context, RotateArgs, access.Actor) (*Authorities, error) {
	return &Authorities{Phase: "announced", Signs: "a1"}, nil
}
func (f *fake) Listener(protocol string) net.Listener {
	switch {
	case protocol == ProtocolEnrol:
		return f.door
	case protocol == ProtocolStream:
		return f.streams
	}
	return f.port
}

func (f *fake) Leader() (Member, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leader == nil {
		return Member{}, false
	}
	return *f.leader, true
}

// NameOf knows nobody before the state that says so is applied.
func (f *fake) NameOf(id string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	number, ok := strings.CutPrefix(id, "id-")
	if f.waited < f.img.Index || !ok {
		return ""
	}
	return "n" + number
}

func (f *fake) Rekey(_ context.Context, args RekeyArgs, _ access.Actor) (*RekeyReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rolls = append(f.rolls, args.Roll)
	if f.rekey == nil {
		return nil, store.Errorf(store.CodeUnavailable, "not the leader")
	}
	return f.rekey(args.Roll)
}

func (f *fake) ClusterKey(id string) ([]byte, error) {
	if f.cluster == nil {
		return nil, store.Errorf(store.CodeNotFound, "no key %s", id)
	}
	return f.cluster, nil
}

func (f *fake) ReadIndex(context.Context) (uint64, error) {
	if !f.leads {
		return 0, store.Errorf(store.CodeUnavailable, "not the leader")
	}
	return f.img.Index, nil
}

func (f *fake) Write(ctx context.Context, req *mutation.Request, by access.Actor) (*mutation.Answer, error) {
	f.mu.Lock()
	f.writes = append(f.writes, *req)
	f.mu.Unlock()
	if f.write != nil {
		return f.write(ctx, req)
	}
	return &mutation.Answer{Outcome: mutation.Created, Name: "tenant/" + req.Name, Index: 7, Revision: 3, Note: by.String()}, nil
}

func (f *fake) WaitApplied(_ context.Context, index uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waited = index
	if f.unsound != nil {
		return f.unsound
	}
	return nil
}

func (f *fake) RecordExport(_ context.Context, tenant, kid, node string, by access.Actor) (string, uint64, error) {
	if !f.leads {
		return "", 0, store.Errorf(store.CodeUnavailable, "not the leader")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exports = append(f.exports, tenant+" "+kid+" "+node+" "+by.String())
	return "k1", 7, nil
}

func (f *fake) PrivateJWK(tenant, kid string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.exports) == 0 || f.waited < 7 {
		return nil, store.Errorf(store.CodeInternal, "a key of which no export is on record here")
	}
	if len(f.private) == 0 {
		return nil, store.Errorf(store.CodeUnavailable, "rotated meanwhile")
	}
	return slices.Clone(f.private), nil
}

func (f *fake) Enrol(_ context.Context, args EnrolArgs, by access.Actor) (*Enrolment, error) {
	if f.enrol == nil {
		return nil, nil
	}
	return f.enrol(args, by)
}

func (f *fake) Admit(_ context.Context, args AdmitArgs) error {
	if !f.leads {
		return store.Errorf(store.CodeUnavailable, "not the leader")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.admits = append(f.admits, args)
	return nil
}

func (f *fake) CreateToken(context.Context, TokenArgs, access.Actor) (*Recorded, error) {
	return nil, nil
}

func (f *fake) RevokeToken(context.Context, string, access.Actor) (*Recorded, error) {
	return nil, nil
}

func (f *fake) Remove(_ context.Context, args RemoveArgs, _ access.Actor) (*Removal, error) {
	if f.remove != nil {
		return f.remove(args)
	}
	return &Removal{Gone: Member{Name: "n2"}, Voters: 2}, f.removal
}

func (f *fake) Promote(context.Context, string, access.Actor) (*Promotion, error) {
	return &Promotion{Member: Member{Name: "n4"}, Voters: 4, CanLose: 1, Changed: true}, nil
}

func (f *fake) SetAutoremove(_ context.Context, _ mutation.Autoremove, seen *mutation.Autoremove, _ access.Actor) (uint64, error) {
	f.seenSet = seen
	return 9, nil
}

func (f *fake) Departing() func() { f.departing.Add(1); return func() { f.departing.Add(-1) } }

func (f *fake) Depart(by string) { f.departed <- by }

func (f *fake) Roster() ([]Member, uint64) { return f.Members(), 5 }

func (f *fake) Transfer(_ context.Context, args TransferArgs, _ access.Actor) (*Transferred, error) {
	if !f.leads {
		return nil, store.Errorf(store.CodeUnavailable, "not the leader")
	}
	return f.transfer(args)
}

func (f *fake) Restore(ctx context.Context, archive io.Reader, _ RestoreArgs, _ access.Actor) (*Restored, error) {
	if f.hold != nil {
		return f.hold(ctx, archive)
	}
	return f.restore(archive)
}

func (f *fake) Dial(_ context.Context, m Member, protocol string) (net.Conn, error) {
	if f.dial == nil {
		return nil, errors.New("unreachable")
	}
	return f.dial(m, protocol)
}

func (f *fake) seen() []mutation.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]mutation.Request(nil), f.writes...)
}

// serveFake starts a server for the node and returns a client of its socket.
func serveFake(t *testing.T, f *fake) (*Client, string) {
	t.Helper()
	if f.img == nil {
		f.img = store.NewImage()
	}
	dir, err := os.MkdirTemp("", "rpc") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if f.port == nil {
		if f.port, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	if f.streams == nil {
		f.streams = f.port
	}
	if f.door == nil {
		if f.door, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	s, err := NewServer(f, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.server = s
	s.RecordWith(f.record)
	path := filepath.Join(dir, "s")
	if err := s.Serve(path); err != nil {
		t.Fatal(err)
	}
	c := NewClient(Options{Servers: []string{"unix:" + path}})
	t.Cleanup(func() { c.Close(); f.port.Close(); f.door.Close(); f.streams.Close(); s.Close() })
	return c, path
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// stateWith is an image with documents, at index 5.
func stateWith(t *testing.T, docs map[string]string) *store.Image {
	t.Helper()
	tx := store.NewImage().Begin()
	for path, doc := range docs {
		if err := tx.Load(path, []byte(doc)); err != nil {
			t.Fatal(err)
		}
	}
	img, _ := tx.Freeze(5, 2)
	return img
}
