package store

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Settings are opaque, but for what is secret in them. At any depth outside of
// lists a value may be sealed. It is
//
//	stored  {"sealed": {"ciphertext": "...", "enc": "A256GCM", "key_id": "...", "nonce": "..."}}
//	shown   {"sealed": true}
//
// and {"sealed": true} in input means: keep the sealed value of this place. A
// sealed value is one thing: a patch replaces it and never merges into it. The
// members "sealed" and "secret_file" are reserved; the second one is the command
// line's, which reads the file before anything is sent.
const (
	sealedMember     = "sealed"
	secretFileMember = "secret_file"
	maxSettingKey    = 128 // bytes
)

// secretWords make a key of settings one whose value must not be in clear: it
// equals one of them, or ends in "_" and one of them, in any case of letters.
var secretWords = []string{"password", "secret", "dsn", "private_key", "token"}

// SecretKey reports whether a value under that key of settings must be sealed.
func SecretKey(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc(secretWords, func(w string) bool { return key == w || strings.HasSuffix(key, "_"+w) })
}

// fillSettings merges settings: objects merge, null takes a key away, whatever
// else replaces.
func (f *form) fillSettings(n *node, m *map[string]json.RawMessage) {
	if !f.want(n, objectKind) {
		return
	}
	all := maps.Clone(*m)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	for _, x := range n.members {
		f.where.enter(x.name)
		var old *node
		if raw, ok := all[x.name]; ok {
			var ignored faults // stored settings were checked
			old = parse(raw, len(raw), &ignored)
		}
		if v := f.setting(x.name, old, x.value); v != nil {
			all[x.name] = v.raw()
		} else {
			delete(all, x.name)
		}
		f.where.leave()
	}
	*m = all
}

// setting is the value that a key will have: nil if none.
func (f *form) setting(key string, old, n *node) *node {
	f.settingKey(key)
	switch {
	case n.kind == nullKind:
		if !f.patch {
			f.fault("must not be null")
		}
		return nil
	case n.get(sealedMember) != nil:
		return f.sealed(old, n)
	case SecretKey(key):
		f.fault("looks like a secret and must not be in clear; this version cannot seal settings yet")
		return n
	case n.kind == listKind:
		f.opaque(n)
		return n
	case n.kind != objectKind:
		return n
	}
	return f.mergeSetting(old, n)
}

// mergeSetting merges an object into the one that was there, if it was one.
func (f *form) mergeSetting(old, n *node) *node {
	merged := &node{kind: objectKind}
	if old != nil && old.get(sealedMember) == nil {
		merged.members = slices.Clone(old.members)
	}
	at := make(map[string]int, len(merged.members)+len(n.members))
	for i, m := range merged.members {
		at[m.name] = i
	}
	for _, x := range n.members {
		f.where.enter(x.name)
		if i, ok := at[x.name]; ok {
			merged.members[i].value = f.setting(x.name, merged.members[i].value, x.value)
		} else {
			merged.members = append(merged.members, member{x.name, f.setting(x.name, nil, x.value)})
		}
		f.where.leave()
	}
	merged.members = slices.DeleteFunc(merged.members, func(m member) bool { return m.value == nil })
	return merged
}

func (f *form) settingKey(key string) {
	if _, bad := firstControl(key, false); bad || key == "" || len(key) > maxSettingKey {
		f.fault("key must be 1 to %d bytes without control characters", maxSettingKey)
	}
	switch key {
	case secretFileMember:
		f.fault("is reserved: the file is read by the command line, from a manifest")
	case sealedMember:
		f.fault("is reserved for sealed values, which cannot be here")
	}
}

// sealed is the value that {"sealed": ...} stands for.
func (f *form) sealed(old, n *node) *node {
	v := n.get(sealedMember)
	f.where.enter(sealedMember)
	defer f.where.leave()
	switch {
	case len(n.members) > 1:
		f.fault("is reserved and must stand alone in its object")
	case v.kind == objectKind:
		var s Sealed
		f.fill(v, reflect.ValueOf(&s).Elem(), reflect.Value{})
		s.rules(f.where.String(), &f.faults)
	case f.patch && v.kind == boolKind && v.text == "true":
		if old.get(sealedMember) != nil {
			return old
		}
		f.fault("there is no sealed value to keep")
	default:
		f.fault("must be a sealed value")
	}
	return n
}

// opaque looks for secrets inside a list of settings. A list is replaced as a
// whole and its items have no names, so that nothing in it could be kept.
func (f *form) opaque(n *node) {
	for i, item := range n.items {
		f.where.at(i)
		f.opaque(item)
		f.where.leave()
	}
	for _, m := range n.members {
		f.where.enter(m.name)
		f.settingKey(m.name)
		if SecretKey(m.name) {
			f.fault("looks like a secret, which cannot be inside a list")
		} else if m.name != sealedMember {
			f.opaque(m.value)
		}
		f.where.leave()
	}
}

// View is a canonical document as it is shown to people: client secrets without
// their hash, keys without their private part, sealed settings as
// {"sealed": true}. The rest, and the order, is as it was; where nothing is hidden it is
// the document itself, which nobody may change. Given back as input it
// means no change.
func View(doc []byte) ([]byte, error) {
	if canonical(doc) && !bytes.Contains(doc, []byte(`"private_key"`)) && !bytes.Contains(doc, []byte(`"sealed"`)) {
		return withoutHashes(doc), nil // nothing to hide but lines: most documents
	}
	var fs faults
	n := parse(doc, MaxKeyset, &fs)
	if err := fs.refusal("document"); err != nil {
		return nil, err
	}
	switch kind := n.get("kind"); {
	case kind == nil: // a JWKS holds public keys only
	case kind.text == "client":
		n.get("secrets").without("hash")
	case kind.text == "keyset":
		n.get("keys").without("private_key")
	}
	hide(n.get("settings"))
	return append(appendNode(make([]byte, 0, len(doc)), n, 0), '\n'), nil
}

// withoutHashes takes the lines with hashes out of a client's secrets.
func withoutHashes(doc []byte) []byte {
	if !bytes.Contains(doc, []byte(`"hash"`)) {
		return doc
	}
	_, rest, _ := bytes.Cut(doc, []byte("\n  \"secrets\": ["))
	secrets, after, found := bytes.Cut(rest, []byte("\n  ]"))
	if !found {
		return doc // of no client
	}
	b := append(make([]byte, 0, len(doc)), doc[:len(doc)-len(rest)]...)
	for line := range bytes.SplitAfterSeq(secrets, []byte("\n")) {
		if !bytes.HasPrefix(line, []byte(`      "hash": `)) {
			b = append(b, line...)
		}
	}
	return append(append(b, "\n  ]"...), after...)
}

// without takes a member out of every object of a list.
func (n *node) without(name string) {
	if n == nil {
		return
	}
	for _, item := range n.items {
		item.members = slices.DeleteFunc(item.members, func(m member) bool { return m.name == name })
	}
}

// hide puts true in the place of every sealed value below n.
func hide(n *node) {
	if n == nil {
		return
	}
	for i := range n.members {
		if m := &n.members[i]; m.name == sealedMember {
			m.value = &node{kind: boolKind, text: "true"}
		} else {
			hide(m.value)
		}
	}
}
