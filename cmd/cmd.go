// Package cmd is the command line of cpctl: the nouns that an operator types,
// the verbs they have in common, and what is printed. It is the only package
// that prints and the only one that knows exit codes. It decides nothing about
// documents; the leader does. See package rpc for the wire, package node for
// the member that `cpctl node` runs.
package cmd

//go:generate go run .. docs ..

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Main runs one command line and returns its exit code. The first SIGINT or
// SIGTERM ends the command's context, so that it can tidy up; a second one ends
// the process.
func Main(env *Env, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return run(ctx, env, args)
}

// run is Main without the signals: the context ends when the user interrupts.
func run(ctx context.Context, env *Env, args []string) int {
	e := *env // what this run learns from its flags stays in its own copy
	out := &sink{w: env.Out}
	e.Out, e.args = out, append([]string{}, args...)
	root := newRoot(&e)
	root.SetArgs(e.args) // never nil: cobra would take os.Args
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = e.unknown
	}
	if out.err != nil {
		if errors.Is(out.err, syscall.EPIPE) || errors.Is(out.err, io.ErrClosedPipe) {
			return 0 // the reader has seen enough
		}
		if err == nil {
			err = out.err
		}
	}
	if err == nil {
		return 0
	}
	var own *exitError
	interrupted := ctx.Err() != nil && !errors.As(err, &own)
	e.report(err, interrupted)
	if interrupted {
		return exitInterrupted
	}
	return exitCode(err)
}

// sink is stdout. It remembers the first failed write, so that what is printed
// needs no check at each line and a full disk is still an error at the end.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(p)
	s.err = err
	return n, err
}

// wantsJSON reports whether the command line asks for JSON. It reads the words
// themselves, because a command line that cannot be parsed has an error to
// print too.
func (e *Env) wantsJSON() bool {
	format := e.getenv("CPCTL_OUTPUT")
	for i, a := range e.args {
		if a == "--" {
			break
		}
		switch {
		case (a == "-o" || a == "--output") && i+1 < len(e.args):
			format = e.args[i+1]
		case strings.HasPrefix(a, "--output="):
			format = a[len("--output="):]
		case strings.HasPrefix(a, "-o") && a != "-o":
			format = strings.TrimPrefix(a[2:], "=")
		}
	}
	return format == "json"
}
