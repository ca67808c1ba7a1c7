package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/cpctl/cpctl/pkg/store"
)

// show prints a document in the format that was asked for. Name is the line of
// -o name; people prints it for table and wide.
func (e *Env) show(doc any, name string, people func() error) error {
	switch e.flags.output {
	case formatJSON, formatYAML:
		return e.document(doc)
	case formatName:
		return e.line(name)
	}
	return people()
}

// document prints JSON or the same as YAML. Several are a stream: JSON one
// after the other, YAML with a separator.
func (e *Env) document(v any) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	if e.flags.output == formatYAML {
		if b, err = toYAML(b); err != nil {
			return err
		}
		if e.documents++; e.documents > 1 {
			b = append([]byte("---\n"), b...)
		}
	}
	_, err = e.Out.Write(b)
	return err
}

func (e *Env) line(s string) error {
	_, err := fmt.Fprintln(e.Out, clean(s))
	return err
}

// pair is a line of a description for people.
type pair struct {
	key   string
	value any
}

// pairs prints plain "key   value" lines; a value that is nothing is "-".
func (e *Env) pairs(lines []pair) error {
	_, err := io.WriteString(e.Out, aligned(lines))
	return err
}

func aligned(lines []pair) string {
	width := 0
	for _, l := range lines {
		width = max(width, len([]rune(l.key)))
	}
	var b bytes.Buffer
	for _, l := range lines {
		value := clean(fmt.Sprint(l.value))
		if value == "" {
			value = "-"
		}
		fmt.Fprintf(&b, "%-*s   %s\n", width, clean(l.key), value)
	}
	return b.String()
}

// listing is the JSON of a list.
type listing struct {
	FormatVersion string            `json:"format_version"`
	Kind          string            `json:"kind"`
	Index         uint64            `json:"index"`
	Items         []json.RawMessage `json:"items"`
	Continue      string            `json:"continue,omitempty"` // --limit left something
}

// list prints the items of a kind: as one document, as names, or as a table.
// Nothing at all is the note `no <plural>`.
func (e *Env) list(l listing, plural string, names func() []string, t func() table) error {
	l.FormatVersion = store.FormatVersion
	if l.Items == nil {
		l.Items = []json.RawMessage{} // [], never null
	}
	switch {
	case e.flags.output == formatJSON, e.flags.output == formatYAML:
		return e.document(l)
	case len(l.Items) == 0:
		e.note("no %s", plural)
		return nil
	case e.flags.output == formatName:
		for _, name := range names() {
			if err := e.line(name); err != nil {
				return err
			}
		}
		return nil
	}
	return e.table(t())
}

// member is a field that is added to a document on its way out.
type member struct {
	name  string
	value any
}

// with returns a JSON object with members added at its end. A member that the
// object has already is left as it is.
func with(doc json.RawMessage, more ...member) (json.RawMessage, error) {
	have, err := members(doc)
	if err != nil {
		return nil, err
	}
	for _, m := range more {
		if _, ok := lookup(have, m.name); ok {
			continue
		}
		b, err := encode(m.value)
		if err != nil {
			return nil, err
		}
		have = append(have, rawMember{m.name, b})
	}
	return object(have), nil
}
