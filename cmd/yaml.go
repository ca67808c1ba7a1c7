package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// toYAML writes a JSON document as the same YAML: the order of its members and
// the type of each value stay. goccy's encoder does not do: it writes some
// strings so that they come back as numbers (1e3, .inf) and controls as they are.
func toYAML(doc []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := appendYAML(&b, bytes.TrimSpace(doc), ""); err != nil {
		return nil, err
	}
	return bytes.TrimPrefix(b.Bytes(), []byte("\n")), nil
}

// appendYAML writes what follows "key:" or "-", up to the end of its last line.
func appendYAML(b *bytes.Buffer, doc json.RawMessage, indent string) error {
	switch {
	case doc[0] == '{':
		all, err := members(doc)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			b.WriteString(" {}\n")
			return nil
		}
		b.WriteByte('\n')
		for _, m := range all {
			b.WriteString(indent + scalar(m.name) + ":")
			if err := appendYAML(b, m.value, indent+"  "); err != nil {
				return err
			}
		}
	case doc[0] == '[':
		var items []json.RawMessage
		if err := json.Unmarshal(doc, &items); err != nil {
			return err
		}
		if len(items) == 0 {
			b.WriteString(" []\n")
			return nil
		}
		b.WriteByte('\n')
		for _, item := range items {
			var one bytes.Buffer
			if err := appendYAML(&one, item, indent+"  "); err != nil {
				return err
			}
			// the first member of an object stands on the line of its dash
			b.WriteString(indent + "- " + strings.TrimLeft(one.String(), " \n"))
		}
	case doc[0] == '"':
		var s string
		if err := json.Unmarshal(doc, &s); err != nil {
			return err
		}
		b.WriteString(" " + scalar(s) + "\n")
	default: // numbers, true, false and null are the same
		b.WriteString(" " + string(doc) + "\n")
	}
	return nil
}

var (
	plainText = regexp.MustCompile(`^[A-Za-z_/](?:[ :]?[A-Za-z0-9_./@+-])*$`)
	yamlWords = []string{"y", "n", "yes", "no", "true", "false", "on", "off", "null"}
)

// scalar writes a string plain where no YAML reader can take it for something
// else, and otherwise in the quotes of JSON, which YAML reads alike.
func scalar(s string) string {
	if plainText.MatchString(s) && !slices.Contains(yamlWords, strings.ToLower(s)) {
		return s
	}
	return string(escapeControls(quoted(s)))
}

// fromYAML reads one YAML document as JSON. Its errors are goccy's, which know
// line and column.
func fromYAML(src []byte) (json.RawMessage, error) {
	dec := yaml.NewDecoder(bytes.NewReader(src), yaml.UseOrderedMap())
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	var second any
	if dec.Decode(&second) == nil {
		return nil, errors.New("holds more than one document")
	}
	var b bytes.Buffer
	if err := appendJSON(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func appendJSON(b *bytes.Buffer, v any) error {
	switch v := v.(type) {
	case yaml.MapSlice:
		b.WriteByte('{')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(quoted(fmt.Sprint(item.Key)))
			b.WriteByte(':')
			if err := appendJSON(b, item.Value); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := appendJSON(b, item); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		one, err := json.Marshal(v) // no .inf, no .nan
		if err != nil {
			return fmt.Errorf("%v has no form in JSON", v)
		}
		b.Write(one)
	}
	return nil
}
