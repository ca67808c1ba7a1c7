package node

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func TestRaftLogsThroughSlog(t *testing.T) {
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	for _, c := range []struct {
		fact string
		log  func(hclog.Logger)
		want string
	}{
		{"a level each", func(l hclog.Logger) { l.Warn("a"); l.Error("b"); l.Info("c"); l.Debug("d"); l.Trace("e") },
			"level=WARN msg=a component=raft\nlevel=ERROR msg=b component=raft\nlevel=INFO msg=c component=raft\nlevel=DEBUG msg=d component=raft\n"},
		{"plain values", func(l hclog.Logger) { l.Info("m", "index", uint64(7), "ok", true, "in", time.Second, "nil", nil) },
			"level=INFO msg=m component=raft index=7 ok=true in=1s nil=<nil>\n"},
		{"a format", func(l hclog.Logger) { l.Info("m", "got", hclog.Fmt("%d / %d", 1, 2)) }, "level=INFO msg=m component=raft got=\"1 / 2\"\n"},
		{"an error", func(l hclog.Logger) { l.Error("m", "error", errors.New("no luck")) }, "level=ERROR msg=m component=raft error=\"no luck\"\n"},
		{"a type with a name", func(l hclog.Logger) { l.Info("m", "type", raft.LogNoop) }, "level=INFO msg=m component=raft type=LogNoop\n"},
		{"raft's own structs", func(l hclog.Logger) { l.Info("m", "peer", raft.Server{ID: "n1", Address: "n1@h:1"}) },
			"level=INFO msg=m component=raft peer=\"{Suffrage:Voter ID:n1 Address:n1@h:1}\"\n"},
		{"numbers in other bases", func(l hclog.Logger) {
			l.Info("m", "x", hclog.Hex(255), "o", hclog.Octal(8), "b", hclog.Binary(5), "q", hclog.Quote("s"))
		},
			"level=INFO msg=m component=raft x=0xff o=010 b=0b101 q=s\n"},
		{"a value with no key", func(l hclog.Logger) { l.Info("m", "lonely") }, "level=INFO msg=m component=raft EXTRA_VALUE_AT_END=lonely\n"},
		{"a logger made of it", func(l hclog.Logger) { l.Named("snapshot").With("id", "s1").Info("m") }, "level=INFO msg=m component=raft.snapshot id=s1\n"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			var b bytes.Buffer
			c.log(raftLogger(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: noTime}))))
			if b.String() != c.want {
				t.Errorf("got  %swant %s", b.String(), c.want)
			}
		})
	}
	var b bytes.Buffer
	l := raftLogger(slog.New(slog.NewJSONHandler(&b, &slog.HandlerOptions{Level: slog.LevelWarn})))
	l.Info("not this")
	l.Warn("this", "entry", hclog.Fmt("%v", 1))
	if s := b.String(); strings.Contains(s, "not this") || !strings.Contains(s, `"entry":"1"`) || strings.Count(s, "\n") != 1 {
		t.Errorf("got %s", s)
	}
}
