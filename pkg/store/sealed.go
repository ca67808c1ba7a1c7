package store

import (
	"bytes"
	"strings"
)

// SealedIn returns the sealed values of a document, in the order of its bytes.
// A sealed value is an object with exactly the members of Sealed: in a published
// document the value of a member "private_key" (a keyset's) or "sealed" (in
// settings, which may hold what only looks like one elsewhere), below system/
// anywhere. Documents without a ciphertext, which are most, are not parsed.
func SealedIn(path string, doc []byte) []Sealed {
	if !bytes.Contains(doc, []byte(`"ciphertext"`)) {
		return nil
	}
	var fs faults
	system := strings.HasPrefix(path, SystemPrefix)
	return parse(doc, len(doc), &fs).sealed(system, system, nil)
}

// sealed walks a value; here says whether it may itself be a sealed one,
// anywhere whether every value below may.
func (n *node) sealed(here, anywhere bool, found []Sealed) []Sealed {
	if n == nil {
		return found
	}
	if here {
		if s, ok := n.asSealed(); ok {
			return append(found, s)
		}
	}
	for _, item := range n.items {
		found = item.sealed(anywhere, anywhere, found)
	}
	for _, m := range n.members {
		found = m.value.sealed(anywhere || m.name == sealedMember || m.name == "private_key", anywhere, found)
	}
	return found
}

// asSealed reads an object of the form of Sealed.
func (n *node) asSealed() (s Sealed, ok bool) {
	text := func(name string) (string, bool) {
		v := n.get(name)
		if v == nil || v.kind != stringKind {
			return "", false
		}
		return v.text, true
	}
	var has [4]bool
	s.Enc, has[0] = text("enc")
	s.KeyID, has[1] = text("key_id")
	s.Nonce, has[2] = text("nonce")
	s.Ciphertext, has[3] = text("ciphertext")
	return s, len(n.members) == 4 && has == [4]bool{true, true, true, true}
}

// SealedUnder reports whether a document holds something that is sealed under
// the cluster key of that id. It is quick for those that do not name the key.
func SealedUnder(path string, doc []byte, keyID string) bool {
	if !bytes.Contains(doc, []byte(`"`+keyID+`"`)) {
		return false
	}
	for _, s := range SealedIn(path, doc) {
		if s.KeyID == keyID {
			return true
		}
	}
	return false
}

// Reseal returns a document with one sealed value in the place of another, all
// else byte for byte as it was. It fails if the old one is not there, or twice.
func Reseal(doc []byte, old, now Sealed) ([]byte, error) {
	mark := []byte(`"` + old.Ciphertext + `"`)
	i := bytes.Index(doc, mark)
	if i < 0 || i != bytes.LastIndex(doc, mark) {
		return nil, Errorf(CodeConflict, "the document does not hold that sealed value once")
	}
	start := bytes.LastIndexByte(doc[:i], '{')
	end := i + bytes.IndexByte(doc[i:], '}') + 1
	if start < 0 || end <= i {
		return nil, Errorf(CodeConflict, "the document does not hold that sealed value once")
	}
	object := doc[start:end]
	var fs faults
	if n := parse(object, len(object), &fs); n == nil {
		return nil, Errorf(CodeConflict, "the sealed value is not whole")
	} else if is, ok := n.asSealed(); !ok || is != old {
		return nil, Errorf(CodeConflict, "the sealed value is not the one that was to be replaced")
	}
	for _, change := range [][2]string{{old.Enc, now.Enc}, {old.KeyID, now.KeyID}, {old.Nonce, now.Nonce}, {old.Ciphertext, now.Ciphertext}} {
		from, to := []byte(`"`+change[0]+`"`), []byte(`"`+change[1]+`"`)
		if bytes.Count(object, from) != 1 {
			return nil, Errorf(CodeConflict, "the sealed value has a part twice")
		}
		object = bytes.Replace(object, from, to, 1)
	}
	out := append(bytes.Clone(doc[:start]), object...)
	return append(out, doc[end:]...), nil
}
