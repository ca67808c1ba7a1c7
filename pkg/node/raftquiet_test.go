package node

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func TestRaftSpeaksOnceAMinuteOfAPeerThatItDoesNotReach(t *testing.T) {
	var b bytes.Buffer
	now := time.Unix(1_000_000, 0)
	q := newQuiet()
	q.now = func() time.Time { return now }
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Off, Output: io.Discard})
	l.RegisterSink(slogSink{slog.NewTextHandler(&b, nil), q})
	said := func() []string {
		defer b.Reset()
		return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	}
	two, three := raft.Server{ID: "n2", Address: "n2@h:2"}, raft.Server{ID: "n3", Address: "n3@h:3"}
	no := errors.New("no route")
	for range 100 {
		l.Error("failed to make requestVote RPC", "target", two, "error", no, "term", 7)
		l.Error("failed to heartbeat to", "peer", two.Address, "backoff time", time.Second, "error", no)
		l.Error("failed to appendEntries to", "peer", three, "error", no)
	}
	if s := said(); len(s) != 2 || !strings.Contains(s[0], "n2@h:2") || !strings.Contains(s[1], "n3@h:3") || strings.Contains(s[0], "left_out") {
		t.Errorf("%d lines, want one a peer:\n%s", len(s), strings.Join(s, "\n"))
	}
	l.Error("failed to get log", "index", 7, "error", no)
	l.Error("failed to get log", "index", 7, "error", no)
	if s := said(); len(s) != 2 {
		t.Errorf("of another kind %d lines came, want 2", len(s))
	}
	now = now.Add(quietFor)
	l.Error("failed to heartbeat to", "peer", two.Address, "backoff time", time.Second, "error", no)
	l.Error("failed to heartbeat to", "peer", two.Address, "backoff time", time.Second, "error", no)
	if s := said(); len(s) != 1 || !strings.Contains(s[0], "left_out=199") {
		t.Errorf("a minute later: %q", s)
	}
}

func TestATransportThatIsClosedIsNoError(t *testing.T) {
	var b bytes.Buffer
	l := raftLogger(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	l.Error("failed to decode incoming command", "error", raft.ErrTransportShutdown)
	l.Error("failed to decode incoming command", "error", errors.New("bad frame"))
	s := strings.Split(b.String(), "\n")
	if !strings.Contains(s[0], "level=DEBUG") || !strings.Contains(s[1], "level=ERROR") {
		t.Errorf("got\n%s", b.String())
	}
}
