package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/raft"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestThreeNodesAgreeThroughTheDeathOfLeaders(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	for round := range 2 {
		for i := range 5 {
			c.must(clientNamed("acme", fmt.Sprintf("c%d-%d", round, i)))
		}
		gone := c.leader().Name()
		c.close(gone)
		c.must(clientNamed("acme", fmt.Sprintf("after-%d", round)))
		c.open(gone, false)
	}
	c.agree()
	if n := c.leader().Image().Count("acme", "client"); n != 12 {
		t.Errorf("%d clients, want 12", n)
	}
}

func TestANodeShowsWithoutPeersWhatItShowedBefore(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	c.agree()
	before := c.nodes["n2"]
	for _, name := range []string{"n1", "n2", "n3"} {
		c.close(name)
	}
	shown := before.Image()
	alone := c.open("n2", false)
	if err := alone.Readable(); err != nil {
		t.Fatal(err)
	}
	if img := alone.Image(); img.Index < shown.Index || img.StateDigest() != shown.StateDigest() {
		t.Errorf("index %d, digest %s; it showed index %d, digest %s", img.Index, img.StateDigest(), shown.Index, shown.StateDigest())
	}
	c.agree()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := alone.ReadIndex(ctx); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a linearizable read without a quorum: %v, want unavailable", err)
	}
}

func TestARequestTakesEffectOnce(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	first := c.must(clientNamed("acme", "web"))
	req := func() *mutation.Request {
		r := clientNamed("acme", "api")
		r.ID, r.Seed = "the-request", []byte(strings.Repeat("s", 32))
		return r
	}
	one := c.must(req())
	two := c.must(req())
	if one.Replayed || !two.Replayed || two.Revision != one.Revision || two.Index != one.Index {
		t.Errorf("first %+v, then %+v", one, two)
	}
	if one.Secret == "" || two.Secret != one.Secret || one.Secret == first.Secret {
		t.Errorf("secrets %q, %q; of another client %q", one.Secret, two.Secret, first.Secret)
	}
	later := req()
	later.Seed = []byte(strings.Repeat("x", 32)) // another process
	if a := c.must(later); !a.Replayed || a.Secret != "" || a.Document == nil {
		t.Errorf("a later process got replayed %v, secret %q", a.Replayed, a.Secret)
	}
	other := clientNamed("acme", "other")
	other.ID = "the-request"
	if _, err := c.write(other); !errors.Is(err, store.ErrRequestReused) {
		t.Errorf("the same id for another change: %v", err)
	}

	c.clock.Add(int64(20 * time.Minute))
	for i := range 2 { // the first moves command time; what is older than its memory is forgotten
		c.must(clientNamed("acme", fmt.Sprintf("tick%d", i)))
	}
	late := clientNamed("acme", "late")
	late.AgeUS = (15 * time.Minute).Microseconds()
	if _, err := c.write(late); !errors.Is(err, store.ErrRequestReused) {
		t.Errorf("a request older than the memory: %v, want it refused", err)
	}
	if c.leader().Image().Get(store.ClientPath("acme", "late")) != nil {
		t.Error("a request older than the memory was executed")
	}
}

func TestConcurrentUpdatesAreAllKept(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	var done sync.WaitGroup
	errs := make(chan error, 64)
	for i := range 20 {
		done.Go(func() {
			_, err := c.write(&mutation.Request{Op: mutation.OpTenantUpdate, Name: "acme", Patch: json.RawMessage(fmt.Sprintf(`{"labels":{"l%d":"x"}}`, i))})
			errs <- err
		})
	}
	done.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	got := c.leader().Image().Get(store.TenantPath("acme")).Head.(*store.Tenant)
	if len(got.Labels) != 20 {
		t.Errorf("%d labels, want 20: an update was computed from an old document", len(got.Labels))
	}
	stale := uint64(1)
	_, err := c.write(&mutation.Request{Op: mutation.OpTenantUpdate, Name: "acme", Patch: json.RawMessage(`{"display_name":"X"}`), IfRevision: &stale})
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("update of revision 1: %v, want a conflict", err)
	}
}

func TestCommandTimeNeverFallsAndExpiryIsACommand(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	c.must(tenantNamed("acme"))
	for range 3 {
		c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "ES256"})
	}
	keys := func() (states []string) {
		ks, err := store.Stored[store.Keyset](c.leader().Image().Get(store.KeysetPath("acme")))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range ks.Keys {
			states = append(states, k.State)
			if (k.State == store.KeyRetiring) != (k.PrivateKey == nil) {
				t.Errorf("key in state %s: private part %v", k.State, k.PrivateKey)
			}
		}
		return states
	}
	if got := strings.Join(keys(), " "); got != "active next retiring retiring" {
		t.Errorf("after three rotations: %s", got)
	}
	before := c.leader().Image().Counters()
	c.clock.Store(-int64(time.Hour))
	c.must(clientNamed("acme", "in-the-past"))
	if after := c.leader().Image().Counters(); after.Time <= before.Time {
		t.Errorf("command time fell from %s to %s with the leader's clock", before.Time, after.Time)
	}
	c.clock.Store(int64(26 * time.Hour))
	c.until("the end of the retiring keys", func() error {
		if got := strings.Join(keys(), " "); got != "active next" {
			return errors.New(got)
		}
		return nil
	})
	c.agree()
}

func TestRestoreIsOneChangeAndWritersGoOn(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	for _, slug := range []string{"acme", "globex"} {
		c.must(tenantNamed(slug))
		c.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: slug, Alg: "EdDSA"})
	}
	for i := range 200 { // more than one put
		c.must(clientNamed("acme", fmt.Sprintf("client-%d", i)))
	}
	want := c.leader().Image().DataDigest()
	archive := archiveOf(t, c.leader())
	c.must(&mutation.Request{Op: mutation.OpTenantDelete, Name: "acme"})
	c.must(tenantNamed("later"))
	before := c.leader().Image()

	dry, err := restore(c.leader(), archive, "dry", true)
	if err != nil || len(dry.Changes) == 0 {
		t.Fatalf("dry run: %v, %d changes", err, len(dry.Changes))
	}
	if now := c.leader().Image(); now.DataDigest() != before.DataDigest() || now.OpenStage() != nil {
		t.Error("a dry run changed something")
	}

	stop := make(chan struct{})
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for j := 0; ; j++ {
				select {
				case <-stop:
					return
				default:
				}
				_, err := c.write(&mutation.Request{Op: mutation.OpTenantUpdate, Name: "globex", Patch: json.RawMessage(fmt.Sprintf(`{"labels":{"w%d":"%d"}}`, i, j))})
				if err != nil {
					t.Errorf("a write during the restore: %v", err)
				}
			}
		})
	}
	r, err := restore(c.leader(), archive, "the-restore", false)
	close(stop)
	writers.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if r.Digest != want {
		t.Errorf("the restore came to %s, the archive holds %s", r.Digest, want)
	}
	img := c.leader().Image()
	if img.Get(store.TenantPath("later")) != nil || img.Count("acme", "client") != 200 {
		t.Error("the state is not the archive's")
	}
	if img.OpenStage() != nil || img.StageBytes() != 0 {
		t.Error("the stage is still open")
	}
	again, err := restore(c.leader(), archive, "the-restore", false)
	if err != nil || again.Revision != r.Revision {
		t.Errorf("the same restore again: %v, revision %d, was %d", err, again.Revision, r.Revision)
	}
	c.agree()
}

func TestAForeignArchiveIsRefusedWithNothingChanged(t *testing.T) {
	t.Parallel()
	other := newTrio(t, "o1")
	other.must(tenantNamed("acme"))
	other.must(&mutation.Request{Op: mutation.OpKeyRotate, Tenant: "acme", Alg: "EdDSA"})
	archive := archiveOf(t, other.leader())

	c := newTrio(t, "n1")
	c.must(tenantNamed("mine"))
	before := c.leader().Image()
	for name, bad := range map[string]string{
		"sealed under another cluster key": archive,
		"cut short":                        archive[:len(archive)/2],
		"no archive":                       "tenants:\n- acme\n",
		"empty":                            "",
	} {
		if _, err := restore(c.leader(), bad, "bad", false); !errors.Is(err, store.ErrIntegrity) {
			t.Errorf("an archive that is %s: %v, want integrity", name, err)
		}
	}
	if now := c.leader().Image(); now.StateDigest() != before.StateDigest() {
		t.Error("a refused archive changed something")
	}
}

func TestRemovingAMemberCountsWhoIsLeft(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	remove := func(name string) error {
		id := uuid.NewString()
		for {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			_, err := c.leader().Remove(ctx, RemoveRequest{Name: name, ID: id}, access.Local("0"))
			cancel()
			if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) { // unknown: decided, and the next leader does it
				return err
			}
		}
	}
	if err := remove("nobody"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removing a stranger: %v", err)
	}
	leader := c.leader().Name()
	if err := remove(leader); err != nil { // leadership moves first
		t.Fatal(err)
	}
	c.close(leader)
	c.until("two members", func() error {
		if n := len(c.leader().Members()); n != 2 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	for id, r := range c.leader().records() {
		if r.Revoked != (r.Name == leader) {
			t.Errorf("certificate of %s (%s): revoked %v", r.Name, id, r.Revoked)
		}
	}
	var follower string
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			follower = n.Name()
		}
	}
	if err := remove(follower); err != nil {
		t.Fatal(err)
	}
	c.close(follower)
	if err := remove(c.leader().Name()); !errors.Is(err, store.ErrRefused) {
		t.Errorf("removing the only voter: %v, want refused", err)
	}
	c.must(tenantNamed("still-here"))
}

func TestAnUnreadableEntryStopsTheNode(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1")
	n := c.leader()
	before := n.Image()
	n.raft().Apply([]byte{99, 1, 2, 3}, time.Second)
	c.until("the stop", func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.stops["n1"]) == 0 {
			return errors.New("it goes on")
		}
		return nil
	})
	if err := c.stops["n1"][0]; !errors.Is(err, mutation.ErrUnreadable) || ExitCode(err) != 12 {
		t.Errorf("it stopped with %v (exit %d), want an unreadable entry (12)", err, ExitCode(err))
	}
	if n.Image() != before {
		t.Error("something was applied with or after it")
	}
}

func TestNoWriteIsTakenWhileAVoterHasNoDiskSpace(t *testing.T) {
	t.Parallel()
	c := newTrio(t, "n1", "n2", "n3")
	c.must(tenantNamed("acme"))
	var follower string
	leads := c.leader()
	for _, n := range c.running() {
		if n != leads {
			follower = n.Name()
		}
	}
	taken := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_, err := c.leader().Write(ctx, &mutation.Request{ID: uuid.NewString(), Op: mutation.OpTenantUpdate, Name: "acme",
			Patch: json.RawMessage(`{"display_name":"` + uuid.NewString() + `"}`)}, access.Local("0"))
		return err
	}
	c.full.Store(&follower)
	c.until("refused write", func() error {
		if err := taken(); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), follower) {
			return fmt.Errorf("%v", err)
		}
		return nil
	})
	c.full.Store(nil)
	c.until("accepted write", taken)
}

func TestErrorsOfRaftAreToldApart(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]*store.Error{
		raft.ErrNotLeader:                    store.ErrUnavailable,
		raft.ErrEnqueueTimeout:               store.ErrUnavailable,
		raft.ErrLeadershipTransferInProgress: store.ErrUnavailable,
		raft.ErrLeadershipLost:               store.ErrUnknown,
		raft.ErrRaftShutdown:                 store.ErrUnknown,
		errors.New("disk"):                   store.ErrUnknown,
	} {
		if got := classify(err); !errors.Is(got, want) {
			t.Errorf("%v: %v, want %s", err, got, want.Code)
		}
	}
}
