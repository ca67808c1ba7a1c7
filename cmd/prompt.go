package cmd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
)

// confirm asks before something is destroyed. What is what would be done, such
// as `delete tenant "acme"`. With a name it must be typed, else y or yes do.
// Without a terminal, or told not to ask, it refuses: a script says --yes.
func (e *Env) confirm(ctx context.Context, yes bool, what, warning, name string) error {
	if yes {
		return nil
	}
	if !e.InTerminal || !e.ErrTerminal || e.flags.noInput {
		return usagef("refusing to %s without confirmation; pass --yes", what)
	}
	for line := range strings.Lines(warning) {
		fmt.Fprintln(e.Err, clean(strings.TrimSuffix(line, "\n")))
	}
	question := clean(what) + "? [y/N] "
	if name != "" {
		question = fmt.Sprintf("%s? type %s to confirm: ", clean(what), clean(name))
	}
	fmt.Fprint(e.Err, question)
	answer, err := e.readLine(ctx)
	if err != nil {
		fmt.Fprintln(e.Err)
		return err
	}
	answer = strings.TrimSpace(answer)
	if name != "" && answer == name {
		return nil
	}
	if a := strings.ToLower(answer); name == "" && (a == "y" || a == "yes") {
		return nil
	}
	return usagef("not confirmed; nothing was changed")
}

// readLine reads one line of stdin, until the user interrupts.
func (e *Env) readLine(ctx context.Context) (string, error) {
	type result struct {
		line string
		err  error
	}
	done := make(chan result, 1)
	go func() { // left behind when interrupted: a read of a terminal cannot be called off
		line, err := bufio.NewReaderSize(byteByByte{e.In}, 16).ReadString('\n')
		if err == io.EOF {
			err = nil // an answer without a newline, or none
		}
		done <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-done:
		return r.line, r.err
	}
}

// byteByByte reads no further than it is asked, so that a second prompt finds
// its answer.
type byteByByte struct{ r io.Reader }

func (b byteByByte) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return b.r.Read(p[:1])
}
