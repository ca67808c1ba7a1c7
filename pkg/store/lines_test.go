package store

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"
)

// sameAsParsed holds the reading of a document by its lines to the parsing of it:
// the same document, or the same refusal in the same words.
func sameAsParsed(t *testing.T, path string, b []byte) {
	t.Helper()
	ref, err := ParsePath(path)
	if err != nil {
		return
	}
	got, gotErr := DecodeDoc(path, b)
	want, wantErr := parseDoc(ref, b)
	if !reflect.DeepEqual(got, want) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Fatalf("%s\n%s\nis read as %+v, %v\nand parsed as %+v, %v", path, b, got, gotErr, want, wantErr)
	}
}

// plainClient has what most clients have, in letters of ASCII.
func plainClient() *Client { return plainClientOf("web") }

func plainClientOf(id string) *Client {
	c := defaultClient("acme", id)
	c.RedirectURIs = []string{"https://app.acme.example/cb", "http://127.0.0.1:8080/cb"}
	c.AccessTokenTTL, c.Labels["team"], c.Annotations["page"] = Duration(15*60e9), "web", "a: b"
	c.Secrets = sampleClient().Secrets
	c.UID, c.Meta = sampleUID, sampleMeta()
	return c
}

// TestDocumentsAreReadByTheirLines: were they all parsed, nothing else would tell.
func TestDocumentsAreReadByTheirLines(t *testing.T) {
	if !readLines(Encode(plainClient()), reflect.ValueOf(new(Client)).Elem()) {
		t.Error("a client of the usual kind is parsed")
	}
	if !readLines(Encode(sampleKeyset(t)), reflect.ValueOf(new(Keyset)).Elem()) {
		t.Error("a keyset is parsed")
	}
}

// TestLinesAndParserAgree has documents with every byte another one, and every line
// missing, doubled, and in the place of the next.
func TestLinesAndParserAgree(t *testing.T) {
	all := samples(t)
	all[ClientPath("other", "plain")] = nil // its path is not that of the document
	all[ClientPath("acme", "web")] = plainClient()
	for path, doc := range all {
		if doc == nil {
			doc = plainClient()
		}
		b := Encode(doc)
		sameAsParsed(t, path, b)
		const others = "\"\\,:[{}]0 x\n\x01\x7f\xc3"
		for i := range b {
			other := bytes.Clone(b)
			other[i] = others[i%len(others)]
			sameAsParsed(t, path, other)
		}
		lines := bytes.SplitAfter(b, []byte("\n"))
		for i := range len(lines) - 1 {
			sameAsParsed(t, path, bytes.Join(slices.Delete(slices.Clone(lines), i, i+1), nil))
			sameAsParsed(t, path, bytes.Join(slices.Insert(slices.Clone(lines), i, lines[i]), nil))
			swapped := slices.Clone(lines)
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			sameAsParsed(t, path, bytes.Join(swapped, nil))
		}
	}
}

// TestValuesThatLinesWouldLetPass are canonical but for one value, which is legal
// JSON in no or in another form.
func TestValuesThatLinesWouldLetPass(t *testing.T) {
	b := Encode(plainClient())
	for _, c := range []struct{ member, value string }{
		{"client_name", `null`}, {"client_name", `"a", "b"`}, {"client_name", `"a" "b"`}, {"client_name", `""x""`}, {"client_name", `0`},
		{"contacts", `null`}, {"contacts", "[\n  ]"}, {"contacts", `["a"]`}, {"contacts", "[\n    \"a\", \"b\"\n  ]"}, {"contacts", "[\n    null\n  ]"},
		{"enabled", `1`}, {"enabled", `null`}, {"jwks", `{}`}, {"jwks", `[]`}, {"labels", `null`}, {"labels", `[]`}, {"labels", "{\n    \"b\": \"1\",\n    \"a\": \"2\"\n  }"},
		{"access_token_ttl", `"60s"`}, {"access_token_ttl", `60`}, {"access_token_ttl", `null`}, {"access_token_ttl", `"0s"`}, {"secrets", `null`}, {"secrets", `{}`},
		{"settings", `{"a": null}`}, {"settings", "{\n    \"a\": {}\n  }"}, {"updated_at", `null`}, {"updated_at", `"2026-01-05T10:00:00.0Z"`}, {"updated_at", `0`}, {"updated_at", `""`},
		{"revision", `007`}, {"revision", `-1`}, {"revision", `18446744073709551616`}, {"revision", `"7"`}, {"redirect_uris", "[\n    \"https://a.example/\",\n    \"https://a.example/\"\n  ]"},
	} {
		var other []byte
		err := eachMember(b, func(name, value []byte) error {
			if string(name) == c.member {
				i := bytes.Index(b, append([]byte("  \""+c.member+"\": "), value...)) + len(c.member) + 6
				other = slices.Concat(b[:i], []byte(c.value), b[i+len(value):])
			}
			return nil
		})
		if err != nil || other == nil {
			t.Fatalf("no %s: %v", c.member, err)
		}
		sameAsParsed(t, ClientPath("acme", "web"), other)
	}
}
