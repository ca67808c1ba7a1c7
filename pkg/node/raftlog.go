package node

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/hashicorp/go-hclog"
)

// raftLogger gives what raft logs to log, with the name of raft's logger as
// "component". The handler of log alone decides which levels count; hclog's
// trace is 4 below slog's debug.
func raftLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Off, Output: io.Discard})
	l.RegisterSink(slogSink{log.Handler(), newQuiet()})
	return l
}

type slogSink struct {
	h     slog.Handler
	quiet *quiet
}

// Accept implements hclog.SinkAdapter.
func (s slogSink) Accept(name string, level hclog.Level, msg string, args ...any) {
	ctx, lv := context.Background(), slogLevel(levelOf(level, args))
	if !s.h.Enabled(ctx, lv) {
		return
	}
	left, ok := s.quiet.pass(msg, args)
	if !ok {
		return
	}
	r := slog.NewRecord(time.Now(), lv, msg, 0)
	r.AddAttrs(slog.String("component", name))
	for ; len(args) > 1; args = args[2:] {
		r.AddAttrs(slog.Any(fmt.Sprint(args[0]), logValue(args[1])))
	}
	if len(args) == 1 {
		r.AddAttrs(slog.Any(hclog.MissingKey, logValue(args[0])))
	}
	if left > 0 {
		r.AddAttrs(slog.Int("left_out", left))
	}
	_ = s.h.Handle(ctx, r) // there is nowhere to report that a log line was lost
}

func slogLevel(l hclog.Level) slog.Level {
	switch l {
	case hclog.Trace:
		return slog.LevelDebug - 4
	case hclog.Debug:
		return slog.LevelDebug
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// logValue keeps what slog prints well and renders the rest as hclog would:
// raft passes formats and structs of its own.
func logValue(v any) any {
	switch v := v.(type) {
	case nil, string, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64,
		time.Duration, time.Time:
		return v
	case hclog.Format:
		if len(v) == 0 {
			return ""
		}
		return fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)
	case hclog.Hex:
		return fmt.Sprintf("0x%x", int(v))
	case hclog.Octal:
		return fmt.Sprintf("0%o", int(v))
	case hclog.Binary:
		return fmt.Sprintf("0b%b", int(v))
	case hclog.Quote:
		return string(v)
	}
	return fmt.Sprintf("%+v", v) // errors and Stringers print as their text
}
