package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cpctl/cpctl/pkg/snapshot"
	"github.com/cpctl/cpctl/pkg/store"
)

func TestArchivesGoBothWays(t *testing.T) {
	t.Parallel()
	img := stateWith(t, nil)
	var want bytes.Buffer
	if err := snapshot.Write(&want, img, "cluster-1"); err != nil {
		t.Fatal(err)
	}
	f := &fake{leads: true, img: img}
	var received []byte
	f.restore = func(archive io.Reader) (*Restored, error) {
		var err error
		received, err = io.ReadAll(archive)
		return &Restored{Changes: []snapshot.Change{{Op: '+', Path: store.ClientPath("acme", "web")}, {Op: '~', Path: store.TenantPath("acme")}}}, err
	}
	c, _ := serveFake(t, f)
	var got bytes.Buffer
	m, err := c.Snapshot(soon(t), &got)
	if err != nil || m.Index != 5 || !bytes.Equal(got.Bytes(), want.Bytes()) {
		t.Fatalf("saved %d bytes, want %d; %v", got.Len(), want.Len(), err)
	}
	big := append(got.Bytes(), bytes.Repeat([]byte("tail"), 200_000)...) // several chunks
	r, err := c.Restore(soon(t), bytes.NewReader(big), RestoreArgs{})
	if err != nil || !bytes.Equal(received, big) {
		t.Fatalf("received %d bytes of %d, %v", len(received), len(big), err)
	}
	if r.Added != 1 || r.Changed != 1 || r.Changes[0] != (Change{"+", "client/acme/web"}) || !r.Published {
		t.Errorf("reply %+v", r)
	}

	f.restore = func(archive io.Reader) (*Restored, error) { return nil, store.Errorf(store.CodeIntegrity, "not ours") }
	if _, err := c.Restore(soon(t), bytes.NewReader(big), RestoreArgs{}); !errors.Is(err, store.ErrIntegrity) {
		t.Errorf("an archive that is refused before its end: %v", err)
	}
}

// What a later attempt meets says nothing of the one before, whose answer was lost.
func TestARestoreThatMayBeDoneIsAskedForUntilItIsKnown(t *testing.T) {
	t.Parallel()
	answers := []error{store.ErrUnknown, store.Errorf(store.CodeConflict, "another restore is under way"), store.ErrDenied}
	f := &fake{leads: true}
	asked := 0
	f.restore = func(archive io.Reader) (*Restored, error) {
		if _, err := io.Copy(io.Discard, archive); err != nil {
			return nil, err
		}
		if asked++; asked <= len(answers) {
			return nil, answers[asked-1]
		}
		return &Restored{Revision: 7, Replayed: true}, nil
	}
	c, _ := serveFake(t, f)
	r, err := c.Restore(soon(t), strings.NewReader("archive"), RestoreArgs{})
	if err != nil || r.Revision != 7 || asked != 4 {
		t.Errorf("%+v, %v after %d attempts", r, err, asked)
	}
	// Without such an attempt it is the answer.
	asked = 1
	if _, err := c.Restore(soon(t), strings.NewReader("archive"), RestoreArgs{}); !errors.Is(err, store.ErrConflict) || asked != 2 {
		t.Errorf("a conflict: %v after %d attempts", err, asked-1)
	}
}

// TestARestoreWhoseCallerLeavesIsGivenUp: nobody waits for its answer any more,
// and whoever comes next must not find it in the way.
func TestARestoreWhoseCallerLeavesIsGivenUp(t *testing.T) {
	t.Parallel()
	for _, through := range []string{"the leader", "a follower"} {
		begun, ended := make(chan struct{}), make(chan struct{})
		leader := &fake{leads: true, hold: func(ctx context.Context, archive io.Reader) (*Restored, error) {
			if _, err := io.ReadAll(archive); err != nil {
				return nil, err
			}
			close(begun)
			<-ctx.Done()
			close(ended)
			return nil, store.Errorf(store.CodeUnavailable, "given up")
		}}
		c, path := serveFake(t, leader)
		if through == "a follower" {
			c, _ = serveFake(t, &fake{leader: &Member{ID: "id-2", Name: "n2"},
				dial: func(_ Member, protocol string) (net.Conn, error) { return dialSocket(soon(t), path, protocol) }})
		}
		ctx, leave := context.WithCancel(context.Background()) // no time that is over would end it
		defer leave()
		left := make(chan error, 1)
		go func() {
			_, err := c.Restore(ctx, strings.NewReader("an archive"), RestoreArgs{})
			left <- err
		}()
		await(t, begun, "the restore through "+through+" does not begin")
		leave()
		await(t, ended, "the restore through "+through+" goes on though its caller has left")
		if err := <-left; !errors.Is(err, store.ErrUnknown) {
			t.Errorf("through %s the caller is told %v, want that it is not known", through, err)
		}
	}
}

func await(t *testing.T, moment <-chan struct{}, otherwise string) {
	t.Helper()
	select {
	case <-moment:
	case <-time.After(patience):
		t.Fatal(otherwise)
	}
}

// TestALostArchiveIsSentAgainFromItsStart: until it is answered, whole each time.
func TestALostArchiveIsSentAgainFromItsStart(t *testing.T) {
	t.Parallel()
	want := strings.Repeat("an archive of several chunks ", 20_000)
	var uploads []string
	f := &fake{leads: true, restore: func(archive io.Reader) (*Restored, error) {
		b, err := io.ReadAll(archive)
		uploads = append(uploads, string(b))
		switch len(uploads) {
		case 1:
			return nil, store.Errorf(store.CodeUnknown, "the leader was lost")
		case 2:
			return nil, store.Errorf(store.CodeUnavailable, "no leader yet")
		}
		return &Restored{Revision: 7}, err
	}}
	c, _ := serveFake(t, f)
	r, err := c.Restore(soon(t), strings.NewReader(want), RestoreArgs{})
	if err != nil || r.Revision != 7 || len(uploads) != 3 {
		t.Fatalf("%+v, %v, after %d uploads", r, err, len(uploads))
	}
	for i, got := range uploads {
		if got != want {
			t.Errorf("upload %d had %d bytes, want %d", i+1, len(got), len(want))
		}
	}
}

func TestAnArchiveThatIsCutOffNeverLooksWhole(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	f := &fake{leads: true, restore: func(archive io.Reader) (*Restored, error) {
		_, err := io.ReadAll(archive)
		ended <- err
		return nil, store.Errorf(store.CodeIntegrity, "%v", err)
	}}
	_, path := serveFake(t, f)
	conn, err := dialSocket(soon(t), path, ProtocolStream)
	if err != nil {
		t.Fatal(err)
	}
	writeJSON(conn, streamRequest{Op: "restore"})
	writeChunk(conn, []byte("half of it"))
	conn.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the reader got %v, want unexpected EOF", err)
		}
	case <-time.After(patience):
		t.Error("the reader still waits")
	}
}

// failing is an archive that cannot be read to its end.
type failing struct{ io.ReadSeeker }

func (f failing) Read(b []byte) (int, error) {
	if n, err := f.ReadSeeker.Read(b); err == nil {
		return n, nil
	}
	return 0, errors.New("input/output error")
}

// TestWhyARestoreWasNotSent: each cause in its own words, and none for ever.
func TestWhyARestoreWasNotSent(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	stuck := &fake{leads: true, hold: func(context.Context, io.Reader) (*Restored, error) {
		<-end // it reads nothing, and says nothing
		return nil, store.Errorf(store.CodeUnavailable, "given up")
	}}
	c, _ := serveFake(t, stuck)
	big := bytes.NewReader(make([]byte, 8<<20))
	if _, err := c.Restore(soon(t), failing{strings.NewReader("half of it")}, RestoreArgs{}); err == nil || err.Error() != "read the archive: input/output error" {
		t.Errorf("a file that cannot be read: %v", err)
	}
	_, err := c.Restore(within(t, time.Second), big, RestoreArgs{})
	if want := "the time was over before the archive was sent; nothing was changed"; !errors.Is(err, store.ErrUnavailable) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("a server that does not take it: %v, want that %s", err, want)
	}
	close(end)

	good := &fake{leads: true, restore: func(archive io.Reader) (*Restored, error) {
		_, err := io.Copy(io.Discard, archive)
		return &Restored{Revision: 7}, err
	}}
	_, path := serveFake(t, good)
	busy := &fake{leads: true, restore: func(io.Reader) (*Restored, error) {
		return nil, store.Errorf(store.CodeUnavailable, "no leader yet")
	}}
	_, first := serveFake(t, busy)
	both := NewClient(Options{Servers: []string{"unix:" + first, "unix:" + path}})
	defer both.Close()
	if r, err := both.Restore(soon(t), strings.NewReader("an archive"), RestoreArgs{}); err != nil || r.Revision != 7 {
		t.Errorf("another server would have done it: %v", err)
	}
}
