package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/parser"

	"github.com/cpctl/cpctl/pkg/store"
)

// maxSource bounds a document before it is parsed, in bytes. The server takes
// 64 KiB of canonical JSON; comments and YAML are wider.
const maxSource = 1 << 20

// source is a document that came from a file, with its text, so that an error
// can point to the place.
type source struct {
	name string
	text []byte
	json json.RawMessage
}

// readDocument reads the FILE of -f: JSON or YAML, by what it is and not by its
// name.
func (e *Env) readDocument(path string) (*source, error) {
	text, err := e.readFile(path, maxSource)
	if err != nil {
		return nil, err
	}
	src := &source{name: path, text: text}
	if path == "-" {
		src.name = "stdin"
	}
	trimmed := bytes.TrimSpace(text)
	switch {
	case len(trimmed) == 0:
		return nil, usagef("%s is empty", src.name)
	case !utf8.Valid(text):
		return nil, usagef("%s is no text in UTF-8", src.name)
	case json.Valid(trimmed):
		src.json = trimmed
		return src, nil
	}
	if jsonStart.Match(trimmed) {
		at, why := jsonFault(text)
		return nil, src.located(at, why, store.Errorf(store.CodeInvalid, "%s", why))
	}
	if src.json, err = fromYAML(text); err != nil {
		var fault yaml.Error
		if errors.As(err, &fault) && fault.GetToken() != nil && fault.GetToken().Position != nil {
			p := fault.GetToken().Position
			return nil, src.located(place{p.Line, p.Column}, fault.GetMessage(), store.Errorf(store.CodeInvalid, "%s", fault.GetMessage()))
		}
		return nil, usagef("%s: %v", src.name, err)
	}
	return src, nil
}

// readFile reads a whole file, or stdin for "-".
func (e *Env) readFile(path string, most int64) ([]byte, error) {
	r := e.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("%s", fileReason(path, err))
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, usagef("%s", fileReason(path, err))
	}
	if int64(len(b)) > most {
		return nil, usagef("%s is larger than %s", path, bytesText(most))
	}
	return b, nil
}

// fileReason says what is wrong with a file, without the system call.
func fileReason(path string, err error) string {
	var at *os.PathError
	if errors.As(err, &at) {
		return fmt.Sprintf("%s: %v", path, at.Err)
	}
	return fmt.Sprintf("%s: %v", path, err)
}

// place is a position in a text, both from 1, the column in characters.
type place struct{ line, column int }

// jsonStart is how JSON begins. YAML may begin so too, but then its author means
// JSON: a missing value should not become a null.
var jsonStart = regexp.MustCompile(`^\{\s*"`)

// jsonFault finds where text stops being JSON.
func jsonFault(text []byte) (place, string) {
	var v any
	var syntax *json.SyntaxError
	if !errors.As(json.Unmarshal(text, &v), &syntax) { // nested deeper than Go reads
		return place{1, 1}, "cannot be read as JSON"
	}
	before := text[:max(0, min(int(syntax.Offset)-1, len(text)))]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	return place{line, column}, syntax.Error()
}

// locatedError is an error with its place in a file of the user's.
type locatedError struct {
	where   string        // file:line:column
	message string        // what is wrong there
	excerpt string        // the lines around it, with a caret
	rest    []store.Field // faults elsewhere
	err     *store.Error  // as it came
}

func (e *locatedError) Error() string { return e.where + ": " + e.message }
func (e *locatedError) Unwrap() error { return e.err }

func (s *source) located(at place, message string, err *store.Error, rest ...store.Field) error {
	return &locatedError{
		where:   fmt.Sprintf("%s:%d:%d", s.name, at.line, at.column),
		message: message, excerpt: excerpt(string(s.text), at), rest: rest, err: err,
	}
}

// excerpt shows the line before and the line itself, with a caret below the column.
func excerpt(text string, at place) string {
	lines := strings.Split(text, "\n")
	if at.line < 1 || at.line > len(lines) {
		return ""
	}
	show := func(n int) string { return clean(strings.TrimRight(strings.ReplaceAll(lines[n-1], "\t", " "), "\r")) }
	var b strings.Builder
	if at.line > 1 {
		fmt.Fprintf(&b, "  %2d | %s\n", at.line-1, show(at.line-1))
	}
	fmt.Fprintf(&b, "> %2d | %s\n", at.line, show(at.line))
	fmt.Fprintf(&b, "  %*s%s^\n", len(fmt.Sprintf("%2d | ", at.line)), "", strings.Repeat(" ", max(0, at.column-1)))
	return b.String()
}

// point makes an error of the server's about fields of the document one that
// points to the first of them that the file holds. The others stay a list.
func (s *source) point(err error) error {
	var typed *store.Error
	if s == nil || !errors.As(err, &typed) || len(typed.Fields) == 0 {
		return err
	}
	file, perr := parser.ParseBytes(s.text, 0)
	if perr != nil {
		return err
	}
	for i, f := range typed.Fields {
		path, perr := yaml.PathString("$." + f.Path)
		if perr != nil || f.Path == "" {
			continue
		}
		node, perr := path.FilterFile(file)
		if perr != nil || node == nil || node.GetToken() == nil || node.GetToken().Position == nil {
			continue
		}
		p := node.GetToken().Position
		rest := append(append([]store.Field{}, typed.Fields[:i]...), typed.Fields[i+1:]...)
		return s.located(place{p.Line, p.Column}, f.Message, typed, rest...)
	}
	return err
}
