package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// eachMember reads a canonical document without parsing it: do gets every member's
// name and value, in order, as they are written. A line that begins with exactly
// two spaces is a member of the document itself: deeper ones have four, and strings
// hold no line break. So a few members of a document cost less than a tenth of
// what reading all of it does.
func eachMember(doc []byte, do func(name, value []byte) error) error {
	if !canonical(doc) {
		return eachDecoded(doc, do)
	}
	rest := doc[len("{\n  \"") : len(doc)-len("\n}\n")]
	for more := true; more; {
		name, after, ok := bytes.Cut(rest, []byte(`": `))
		if !ok {
			return errNotCanonical
		}
		var value []byte
		if value, rest, more = bytes.Cut(after, []byte("\n  \"")); more {
			if value, ok = bytes.CutSuffix(value, []byte(",")); !ok {
				return errNotCanonical
			}
		}
		if len(value) == 0 {
			return errNotCanonical
		}
		if err := do(name, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// eachDecoded is eachMember for a document in another form, at the price of parsing it.
func eachDecoded(doc []byte, do func(name, value []byte) error) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(doc, &all); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := do([]byte(name), all[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// canonical reports whether a document begins and ends as Encode writes it.
func canonical(doc []byte) bool {
	return bytes.HasPrefix(doc, []byte("{\n  \"")) && bytes.HasSuffix(doc, []byte("\n}\n"))
}

var errNotCanonical = Errorf(CodeInvalid, "is not in canonical form")

// The values of a canonical document. What has escapes is left to encoding/json.

// readText reads a string. One that is among the likely ones is that of them: every
// document is kept, and most of what is read of it is a word that all have.
func readText(value []byte, to *string, likely ...string) error {
	n := len(value)
	if n < 2 || value[0] != '"' || value[n-1] != '"' || bytes.IndexByte(value, '\\') >= 0 {
		return json.Unmarshal(value, to)
	}
	for _, word := range likely {
		if string(value[1:n-1]) == word {
			*to = word
			return nil
		}
	}
	*to = string(value[1 : n-1])
	return nil
}

func readTexts(value []byte, to *[]string, likely ...string) error {
	if string(value) == "[]" {
		*to = []string{}
		return nil
	}
	items, opens := bytes.CutPrefix(value, []byte("[\n    "))
	items, closes := bytes.CutSuffix(items, []byte("\n  ]"))
	if !opens || !closes {
		return json.Unmarshal(value, to)
	}
	list := make([]string, 0, bytes.Count(items, []byte{'\n'})+1)
	for item := range bytes.SplitSeq(items, []byte(",\n    ")) {
		list = append(list, "")
		if err := readText(item, &list[len(list)-1], likely...); err != nil {
			return err
		}
	}
	*to = list
	return nil
}

func readBool(value []byte, to *bool) error {
	switch string(value) {
	case "true":
		*to = true
	case "false":
		*to = false
	default:
		return errNotCanonical
	}
	return nil
}

func readRevision(value []byte, to *uint64) (err error) {
	*to, err = strconv.ParseUint(string(value), 10, 64)
	return err
}

func readDuration(value []byte, to *Duration) error {
	if string(value) == `""` {
		*to = 0
		return nil
	}
	return to.UnmarshalJSON(value)
}

// readClient takes from a client's document what NewDoc keeps of it.
func readClient(doc []byte, d *Doc, ref Ref) error {
	h := new(ClientHead)
	d.Head = h
	return eachMember(doc, func(name, value []byte) error {
		switch string(name) {
		case "tenant":
			return readText(value, &h.Tenant, ref.Tenant)
		case "client_id":
			return readText(value, &h.ClientID, ref.Name)
		case "grant_types":
			return readTexts(value, &h.GrantTypes, grantTypes...)
		case "scopes":
			return readTexts(value, &h.Scopes)
		case "token_endpoint_auth_method":
			return readText(value, &h.TokenEndpointAuthMethod, authMethods...)
		case "require_pkce":
			return readBool(value, &h.RequirePKCE)
		case "access_token_ttl":
			return readDuration(value, &h.AccessTokenTTL)
		case "id_token_ttl":
			return readDuration(value, &h.IDTokenTTL)
		case "refresh_token_ttl":
			return readDuration(value, &h.RefreshTokenTTL)
		}
		return readRevisions(name, value, d)
	})
}

// readScope takes from a scope's document what NewDoc keeps of it.
func readScope(doc []byte, d *Doc, ref Ref) error {
	h := new(ScopeHead)
	d.Head = h
	return eachMember(doc, func(name, value []byte) error {
		switch string(name) {
		case "tenant":
			return readText(value, &h.Tenant, ref.Tenant)
		case "name":
			return readText(value, &h.Name, ref.Name)
		case "depends_on":
			return readTexts(value, &h.DependsOn)
		case "system":
			return readBool(value, &h.System)
		}
		return readRevisions(name, value, d)
	})
}

func readRevisions(name, value []byte, d *Doc) error {
	switch string(name) {
	case "create_revision":
		return readRevision(value, &d.CreateRevision)
	case "revision":
		return readRevision(value, &d.Revision)
	}
	return nil
}
