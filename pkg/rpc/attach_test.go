package rpc

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// TestDocumentsTravelAsTheyAre, and the answer that was written is as it was.
func TestDocumentsTravelAsTheyAre(t *testing.T) {
	indented := json.RawMessage("{\n  \"kind\": \"client\"\n}\n")
	stamp := Stamp{Node: "n1", Index: 7}
	for _, c := range []struct {
		fact      string
		sent, got any
		behind    int // documents behind the JSON
	}{
		{"a document", &Reply[*GetReply]{Stamp: stamp, Value: &GetReply{Document: indented}}, new(Reply[*GetReply]), 1},
		{"no document", &Reply[*GetReply]{Stamp: stamp, Value: &GetReply{}}, new(Reply[*GetReply]), 0},
		{"a refusal", &Reply[*GetReply]{Err: store.Errorf(store.CodeNotFound, "no")}, new(Reply[*GetReply]), 0},
		{"a write", &Reply[*mutation.Answer]{Value: &mutation.Answer{Name: "client/acme/web", Document: indented, Secret: "s"}}, new(Reply[*mutation.Answer]), 1},
		{"a page", &Reply[*ListReply]{Value: &ListReply{Items: []json.RawMessage{indented, indented}, Continue: "x"}}, new(Reply[*ListReply]), 2},
		{"an empty page", &Reply[*ListReply]{Value: &ListReply{Items: []json.RawMessage{}}}, new(Reply[*ListReply]), 0},
		{"another answer", &Reply[*HealthReply]{Stamp: stamp, Value: &HealthReply{}}, new(Reply[*HealthReply]), 0},
	} {
		before, err := json.Marshal(c.sent)
		if err != nil {
			t.Fatal(err)
		}
		b, err := encode(c.sent)
		if err != nil || bytes.Count(b, []byte{0}) != c.behind {
			t.Errorf("%s: %q, %v; want %d documents behind it", c.fact, b, err, c.behind)
		}
		if after, _ := json.Marshal(c.sent); !bytes.Equal(before, after) {
			t.Errorf("%s: the answer was\n%s and is\n%s", c.fact, before, after)
		}
		err = decode(b, c.got)
		clear(b)
		if err != nil || !reflect.DeepEqual(c.got, c.sent) {
			t.Errorf("%s: came as %+v, %v; want %+v", c.fact, c.got, err, c.sent)
		}
	}
}

func TestDocumentsWhereNoneBelongAreAnError(t *testing.T) {
	for _, c := range []struct {
		body string
		into any
	}{
		{"{\"value\":{}}\x00{}", new(Reply[*HealthReply])},
		{"{\"value\":{}}\x00{}", new(struct{})},
		{"{\"value\":{}}\x00{}\x00{}", new(Reply[*GetReply])},
		{"{}\x00{}", new(Reply[*GetReply])},
		{"\x00{}", new(Reply[*GetReply])},
		{"{\"value\":{\"document\":\"\x00\"}}", new(Reply[*GetReply])},
	} {
		if err := decode([]byte(c.body), c.into); err == nil {
			t.Errorf("%q into %T: %v", c.body, c.into, err)
		}
	}
}
