package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
)

// problem is an error as it is printed: one line that names the object and the
// cause, what was found where, and what to do.
type problem struct {
	Code      store.Code    `json:"code"`
	Message   string        `json:"message"`
	Hint      string        `json:"hint,omitempty"`
	Fields    []store.Field `json:"fields,omitempty"`
	Retryable bool          `json:"retryable"`

	// For people: the lines of the input file, and the faults outside of them.
	excerpt string
	rest    []store.Field
}

// report prints an error on stderr, once, for people or as JSON. -q does not
// hide it.
func (e *Env) report(err error, interrupted bool) {
	var own *exitError
	if errors.As(err, &own) && own.err == nil {
		return // what there was to say has been said
	}
	p := problemOf(e.late(err))
	if interrupted && p.Code != store.CodeUnknown { // of that one the user wants to know
		p = problem{Code: store.CodeUnavailable, Message: "interrupted", Retryable: true}
	}
	if e.wantsJSON() {
		doc, _ := encode(struct {
			Error problem `json:"error"`
		}{p}) // strings and a bool: cannot fail
		e.Err.Write(doc)
		return
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "cpctl: %s\n", clean(p.Message))
	b.WriteString(p.excerpt)
	for _, f := range p.rest {
		if f.Path != "" {
			f.Message = f.Path + ": " + f.Message
		}
		fmt.Fprintf(&b, "  %s\n", clean(f.Message))
	}
	for line := range strings.Lines(p.Hint) {
		fmt.Fprintf(&b, "  %s\n", clean(strings.TrimRight(line, "\n")))
	}
	e.Err.Write(b.Bytes())
}

func problemOf(err error) problem {
	p := problem{Code: classOf(err), Message: err.Error()}
	var typed *store.Error
	if errors.As(err, &typed) {
		// what was being done stays in front; the fields get lines of their own
		p.Message = strings.Replace(p.Message, typed.Error(), typed.Message, 1)
		p.Hint, p.Fields = typed.Hint, typed.Fields
	}
	p.rest = p.Fields
	var located *locatedError
	if errors.As(err, &located) {
		p.Message, p.excerpt, p.rest = located.Error(), located.excerpt, located.rest
	}
	p.Message = strings.TrimSpace(strings.ReplaceAll(p.Message, "\n", " "))
	p.Retryable = p.Code == store.CodeUnavailable || p.Code == store.CodeUnknown
	return p
}

// late makes an answer of a context whose time is over. An error that the
// client has classified itself stays as it is.
func (e *Env) late(err error) error {
	var typed *store.Error
	if errors.As(err, &typed) || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	servers, _ := e.servers() // were good when dialling
	return store.Errorf(store.CodeUnavailable, "no answer from %s after %s",
		strings.Join(servers, ", "), time.Duration(e.flags.timeout)).
		WithHint("see: cpctl cluster status; --timeout gives it longer")
}

// note tells people something that is not what was asked for. -q hides it.
func (e *Env) note(format string, args ...any) {
	if !e.flags.quiet {
		fmt.Fprintln(e.Err, clean(oneLine(fmt.Sprintf(format, args...))))
	}
}

// oneLine is a text of several lines, such as joined errors, in one.
func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }

// each does the work for every name, tries all, reports each failure as it
// comes, and returns the code of the first.
func each[T any](ctx context.Context, e *Env, names []T, work func(T) error) error {
	e.names = len(names)
	if len(names) == 1 {
		return work(names[0])
	}
	first := 0
	for _, name := range names {
		err := work(name)
		if err != nil && ctx.Err() == context.Canceled { // interrupted: the caller says so
			return err
		}
		if err == nil {
			continue
		}
		e.report(err, false)
		if first == 0 {
			first = exitCode(err)
		}
	}
	if first != 0 {
		return &exitError{code: first}
	}
	return nil
}

// encode writes JSON as the contract has it: two-space indent, nothing escaped
// for HTML, one final newline. Characters that would command a terminal are
// escaped, which leaves the value as it is.
func encode(v any) ([]byte, error) {
	var compact, b bytes.Buffer
	enc := json.NewEncoder(&compact)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	if err := json.Indent(&b, bytes.TrimSpace(compact.Bytes()), "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return escapeControls(b.Bytes()), nil
}
