package cmd

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/cpctl/cpctl/pkg/store"
)

// describe prints a document for people: a line a field, under its dotted path,
// in the order of the document. The table format leaves out what is empty and
// shows times as ages; wide shows everything.
func (e *Env) describe(doc json.RawMessage) error {
	var lines []pair
	if err := e.flatten(&lines, "", doc); err != nil {
		return err
	}
	if e.documents++; e.documents > 1 {
		if err := e.line(""); err != nil {
			return err
		}
	}
	return e.pairs(lines)
}

func (e *Env) flatten(lines *[]pair, path string, doc json.RawMessage) error {
	all, err := members(doc)
	if err != nil {
		return err
	}
	for _, m := range all {
		if path == "" && (m.name == "format_version" || m.name == "kind") && e.flags.output != formatWide {
			continue
		}
		at := strings.TrimPrefix(path+"."+m.name, ".")
		if m.value[0] == '{' && string(m.value) != "{}" {
			if err := e.flatten(lines, at, m.value); err != nil {
				return err
			}
			continue
		}
		values, err := e.values(m.name, m.value)
		if err != nil {
			return err
		}
		if len(values) == 0 && e.flags.output == formatWide {
			values = []string{""}
		}
		for i, v := range values {
			if i > 0 {
				at = "" // a list: its name stands once
			}
			*lines = append(*lines, pair{at, v})
		}
	}
	return nil
}

// values are the lines of one field: none for what is empty, several for a list.
func (e *Env) values(name string, raw json.RawMessage) ([]string, error) {
	switch raw[0] {
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil || s == "" {
			return nil, err
		}
		if strings.HasSuffix(name, "_at") {
			var t store.Time
			if json.Unmarshal(raw, &t) == nil {
				return []string{e.moment(t)}, nil
			}
		}
		return []string{s}, nil
	case '[':
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return nil, err
		}
		var lines []string
		for _, item := range items {
			if item[0] == '{' {
				lines = append(lines, e.inline(item))
				continue
			}
			v, err := e.values("", item)
			if err != nil {
				return nil, err
			}
			lines = append(lines, strings.Join(v, " "))
		}
		return lines, nil
	case '{', 'n': // an empty object, null
		return nil, nil
	}
	return []string{string(raw)}, nil
}

// inline is an object in a list: its values that are something, on one line.
func (e *Env) inline(doc json.RawMessage) string {
	all, err := members(doc)
	if err != nil {
		return string(doc)
	}
	var words []string
	for _, m := range all {
		if m.value[0] == '{' || m.value[0] == '[' {
			var b bytes.Buffer
			if json.Compact(&b, m.value) == nil {
				words = append(words, m.name+"="+b.String())
			}
			continue
		}
		if v, err := e.values(m.name, m.value); err == nil && len(v) == 1 {
			words = append(words, m.name+"="+v[0])
		}
	}
	return strings.Join(words, "  ")
}

// moment is a time in a sentence: 3h ago, in 5d; itself on wide.
func (e *Env) moment(t store.Time) string {
	s := e.when(t)
	if e.flags.output == formatWide || strings.HasPrefix(s, "in ") {
		return s
	}
	return s + " ago"
}
