package rpc

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/cpctl/cpctl/pkg/mutation"
)

// Documents travel behind the JSON of an answer as they are, each after a zero byte,
// which no JSON has: inside of it, encoding/json would read each of them once at one
// end and twice at the other: a fifth of the processor time that a read took its node.

// carrier is an answer with documents. lend takes them out for the time it takes to
// write the rest; carry puts in what came.
type carrier interface {
	lend() (documents []json.RawMessage, back func())
	carry(documents []json.RawMessage) error
}

// encode is the body of a frame.
func encode(body any) ([]byte, error) {
	c, ok := body.(carrier)
	if !ok {
		return json.Marshal(body)
	}
	documents, back := c.lend()
	b, err := json.Marshal(body)
	back()
	for _, d := range documents {
		b = append(append(b, 0), d...)
	}
	return b, err
}

// decode is the other way round. The documents are copies: b is wiped where it held a secret.
func decode(b []byte, body any) error {
	b, rest, attached := bytes.Cut(b, []byte{0})
	if err := json.Unmarshal(b, body); err != nil || !attached {
		return err
	}
	c, ok := body.(carrier)
	if !ok {
		return errors.New("documents came with an answer that has none")
	}
	var documents []json.RawMessage
	for one := range bytes.SplitSeq(rest, []byte{0}) {
		documents = append(documents, bytes.Clone(one))
	}
	return c.carry(documents)
}

// places are where an answer has its document, or its documents; nil for other answers.
func (r *Reply[T]) places() (one *json.RawMessage, many *[]json.RawMessage) {
	switch v := any(r.Value).(type) {
	case *GetReply:
		if v != nil {
			one = &v.Document
		}
	case *mutation.Answer:
		if v != nil {
			one = &v.Document
		}
	case *ListReply:
		if v != nil {
			many = &v.Items
		}
	}
	return one, many
}

func (r *Reply[T]) lend() (documents []json.RawMessage, back func()) {
	one, many := r.places()
	switch {
	case one != nil && len(*one) > 0:
		lent := *one
		*one = nil
		return []json.RawMessage{lent}, func() { *one = lent }
	case many != nil && len(*many) > 0:
		lent := *many
		*many = nil
		return lent, func() { *many = lent }
	}
	return nil, func() {}
}

func (r *Reply[T]) carry(documents []json.RawMessage) error {
	one, many := r.places()
	switch {
	case one != nil && len(documents) == 1:
		*one = documents[0]
	case many != nil:
		*many = documents
	default:
		return errors.New("the documents that came do not fit the answer")
	}
	return nil
}
