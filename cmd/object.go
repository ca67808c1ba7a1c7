package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/cpctl/cpctl/pkg/store"
)

// rawMember is a member of a JSON object, its value as it was written.
type rawMember struct {
	name  string
	value json.RawMessage
}

// members takes a JSON object apart and keeps the order. A name that comes
// twice is an error, as it is on the server.
func members(doc []byte) ([]rawMember, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	if t, err := dec.Token(); err != nil {
		return nil, err
	} else if t != json.Delim('{') {
		return nil, errors.New("is not an object")
	}
	var all []rawMember
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name := t.(string) // what else stands there is an error of Token
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if _, twice := lookup(all, name); twice {
			return nil, fmt.Errorf("%q is given twice", name)
		}
		all = append(all, rawMember{name, value})
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	return all, nil
}

func lookup(all []rawMember, name string) (json.RawMessage, bool) {
	for _, m := range all {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

// put sets a member in its place, or adds it at the end.
func put(all []rawMember, name string, value json.RawMessage) []rawMember {
	for i := range all {
		if all[i].name == name {
			all[i].value = value
			return all
		}
	}
	return append(all, rawMember{name, value})
}

func object(all []rawMember) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quoted(m.name))
		b.WriteByte(':')
		b.Write(bytes.TrimSpace(m.value))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// quoted is a string as JSON.
func quoted(s string) json.RawMessage {
	b, _ := encode(s) // a string can be encoded
	return bytes.TrimSpace(b)
}

// identify finds out which object a document is about.
func identify(doc []byte) store.Ref {
	var d struct {
		Kind     string `json:"kind"`
		Tenant   string `json:"tenant"`
		Slug     string `json:"slug"`
		ClientID string `json:"client_id"`
		Name     string `json:"name"`
	}
	if json.Unmarshal(doc, &d) != nil {
		return store.Ref{}
	}
	switch d.Kind {
	case "tenant":
		return store.Ref{Kind: d.Kind, Tenant: d.Slug, Name: d.Slug}
	case "client":
		return store.Ref{Kind: d.Kind, Tenant: d.Tenant, Name: d.ClientID}
	}
	return store.Ref{Kind: d.Kind, Tenant: d.Tenant, Name: d.Name}
}
