package rpc

import (
	"bytes"
	"errors"
	"io"
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
