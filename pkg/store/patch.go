package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Room that a completed document leaves below MaxDocument for what the server
// sets later: revisions, times, actor, and the secrets of a client.
const serverRoom = 1 << 10

// maxPatch bounds an input document in bytes; spelt wastefully it is longer than
// its canonical form.
const maxPatch = 2 * MaxDocument

// CompleteTenant makes the whole document out of a merge patch (RFC 7396): with
// no current one it fills the defaults and fits the durations that were not
// given to those that were; else it changes what is given, and null resets. Uid,
// revisions, times and actor are those of current, or zero. The error is an
// *Error, CodeInvalid, with every fault. The result shares nothing with current.
func CompleteTenant(current *Tenant, patch []byte) (*Tenant, error) {
	p := openPatch(patch)
	def := defaultTenant()
	t := defaultTenant()
	pins := []pin{{"format_version", FormatVersion}, {"kind", "tenant"}}
	if current != nil {
		t = cloneDoc(current)
		pins = append(pins, pin{"slug", current.Slug})
	} else {
		p.given = map[string]bool{}
	}
	p.merge(t, def, t.UID, pins)
	if current == nil {
		t.fit(p.given)
	}
	what := "tenant"
	if CheckSlug(t.Slug) == nil {
		what = Ref{Kind: "tenant", Tenant: t.Slug}.String()
	}
	if err := p.finish(what, t.rules, func() int { return size(t, &t.Meta, nil) }); err != nil {
		return nil, err
	}
	return t, nil
}

// CompleteClient makes the whole document of a client, as CompleteTenant does.
// Secrets are those of current. Which scopes exist and what the tenant allows
// are not judged here: see CheckClientPolicy.
func CompleteClient(current *Client, tenant, id string, patch []byte) (*Client, error) {
	p := openPatch(patch)
	if v := p.root.get("client_secret"); v != nil {
		p.add("client_secret", "is made by the server; leave it out (an existing one is imported from a file)")
		p.drop("client_secret")
	}
	p.drop("secrets")
	def := defaultClient(tenant, id)
	c := defaultClient(tenant, id)
	if current != nil {
		c = cloneDoc(current)
	}
	// The defaults of these two follow from the grant types as they will be.
	reset := func(name string) bool {
		v := p.root.get(name)
		return v == nil && current == nil || v != nil && v.kind == nullKind
	}
	response, scopes := reset("response_types"), reset("scopes")
	p.merge(c, def, c.UID, []pin{{"format_version", FormatVersion}, {"kind", "client"}, {"tenant", tenant}, {"client_id", id}})
	if code := contains(c.GrantTypes, GrantAuthorizationCode); !code && response {
		c.ResponseTypes = []string{}
	}
	if code := contains(c.GrantTypes, GrantAuthorizationCode); !code && scopes {
		c.Scopes = []string{}
	}
	slices.Sort(c.Scopes)
	length := func() int { return size(c, &c.Meta, &c.Secrets) }
	if current == nil && len(patch) <= smallPatch {
		length = func() int { return 0 }
	}
	if err := p.finish(what("client", tenant, id), c.rules, length); err != nil {
		return nil, err
	}
	return c, nil
}

// smallPatch is the size of a request, in bytes, that cannot become a document which
// is too large: each of its bytes begins one line at most, whose indent is 64 bytes
// at most (32 levels), and the defaults are less than 4 KiB.
const smallPatch = (MaxDocument - serverRoom - 4<<10) / (2*maxDepth + 2)

// CompleteScope makes the whole document of a scope, as CompleteTenant does.
// "system" is the server's to set.
func CompleteScope(current *Scope, tenant, name string, patch []byte) (*Scope, error) {
	p := openPatch(patch)
	def := defaultScope(tenant, name)
	s := defaultScope(tenant, name)
	if current != nil {
		s = cloneDoc(current)
	}
	if v := p.root.get("system"); v != nil && v.kind != nullKind && v.text != strconv.FormatBool(s.System) {
		p.add("system", "is set by the server and is %t", s.System)
	}
	p.drop("system")
	p.merge(s, def, s.UID, []pin{{"format_version", FormatVersion}, {"kind", "scope"}, {"tenant", tenant}, {"name", name}})
	if err := p.finish(what("scope", tenant, name), s.rules, func() int { return size(s, &s.Meta, nil) }); err != nil {
		return nil, err
	}
	return s, nil
}

// what names a document in an error, cutting short what is no name.
func what(kind, tenant, name string) string {
	r := Ref{kind, tenant, name}
	if r.check() != nil {
		return kind
	}
	return r.String()
}

// serverSet are the members that input may carry, since output does, and that
// have no effect on the document.
var serverSet = []string{"uid", "create_revision", "revision", "created_at", "updated_at", "updated_by", "index", "replayed", "published"}

// pin is a member that must have one value where it is given.
type pin struct{ name, value string }

// input is a merge patch on its way into a document.
type input struct {
	form
	root *node // an object; empty when the patch could not be read
	bad  bool  // the patch could not be read: its faults stand alone
}

func openPatch(patch []byte) *input {
	p := &input{form: form{patch: true}, root: &node{kind: objectKind}}
	if len(bytes.TrimSpace(patch)) == 0 {
		return p
	}
	n := parse(patch, maxPatch, &p.faults)
	if n != nil && n.kind != objectKind {
		p.add("", "must be a JSON object")
		n = nil
	}
	if p.bad = n == nil; !p.bad {
		p.root = n
	}
	return p
}

func (p *input) drop(name string) {
	p.root.members = slices.DeleteFunc(p.root.members, func(m member) bool { return m.name == name })
}

// merge checks and takes out what is not the caller's to set, and fills the rest
// into doc.
func (p *input) merge(doc, def any, uid string, pins []pin) {
	for _, x := range pins {
		v := p.root.get(x.name)
		switch {
		case v == nil || v.kind == nullKind:
		case v.kind != stringKind:
			p.add(x.name, "must be %s", kindNames[stringKind])
		case v.text != x.value:
			p.add(x.name, "is %s; must be %s or left out", quote(v.text), quote(x.value))
		}
		p.drop(x.name)
	}
	if v := p.root.get("uid"); uid != "" && v != nil && v.kind != nullKind && v.text != uid {
		p.add("uid", "is %s, but this one has %s: it was deleted and made again", quote(v.text), uid)
	}
	if _, _, err := revisionOf(p.root); err != nil {
		p.addErr("revision", err)
	}
	for _, name := range serverSet {
		p.drop(name)
	}
	p.fill(p.root, reflect.ValueOf(doc).Elem(), reflect.ValueOf(def).Elem())
}

// finish judges the completed document. A rule's fault is left out where the
// walk found one already: the value there is not the one that was given.
func (p *input) finish(what string, rules func(*faults), size func() int) error {
	if p.bad {
		return p.refusal(what)
	}
	found := slices.Clone(p.faults)
	var more faults
	rules(&more)
	for _, f := range more {
		if !slices.ContainsFunc(found, func(x Field) bool {
			return x.Path == f.Path || strings.HasPrefix(x.Path, f.Path+"[") || strings.HasPrefix(x.Path, f.Path+".")
		}) {
			p.add(f.Path, "%s", f.Message)
		}
	}
	if len(p.faults) == 0 {
		if n := size(); n > MaxDocument-serverRoom {
			p.add("", "is %d bytes long in canonical form; at most %d are allowed", n, MaxDocument-serverRoom)
		}
	}
	return p.refusal(what)
}

// size is the length of a document's canonical form without what the server
// sets. meta and secrets point into doc and are put back.
func size(doc any, meta *Meta, secrets *[]Secret) int {
	m := *meta
	*meta = Meta{}
	defer func() { *meta = m }()
	if secrets != nil {
		s := *secrets
		*secrets = nil
		defer func() { *secrets = s }()
	}
	return len(Encode(doc))
}

// CheckPatch refuses a patch of what exists already, which nobody merges, as it is
// refused where it is merged.
func CheckPatch(what string, patch []byte) error { return openPatch(patch).refusal(what) }

// PatchRevision is the "revision" member of an input document, which acts as
// --if-revision; given is false when it is left out or null.
func PatchRevision(patch []byte) (rev uint64, given bool, err error) {
	if !bytes.Contains(patch, []byte(`"revision"`)) && !bytes.Contains(patch, []byte(`\u`)) {
		return 0, false, nil // nor is it written with escapes; what else is wrong is found where the patch is used
	}
	p := openPatch(patch)
	if len(p.faults) == 0 {
		rev, given, err = revisionOf(p.root)
		p.addErr("revision", err)
	}
	return rev, given, p.refusal("document")
}

func revisionOf(n *node) (rev uint64, given bool, err error) {
	v := n.get("revision")
	if v == nil || v.kind == nullKind {
		return 0, false, nil
	}
	if v.kind == numberKind {
		rev, err = strconv.ParseUint(v.text, 10, 64)
	}
	if v.kind != numberKind || err != nil {
		return 0, false, errors.New("must be a whole number, not negative")
	}
	return rev, true, nil
}

// Element is one --set, --add or --remove: a dotted path of member names and a
// JSON value. Below labels and annotations the rest of the path is one key,
// since keys have dots.
type Element struct {
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value"`
}

// Amend merges elements into a patch. Set puts the value at its path; add
// appends it to the list there, if it is not in it; remove takes it out, and it
// is a fault when it is not there. The lists are those of the patch where it has
// them, else of current (canonical bytes; nil on create), and become whole lists
// of the patch that is returned. The error is an *Error with every fault.
// Without elements the patch comes back as it is, and is judged where it is used.
func Amend(current, patch []byte, set, add, remove []Element) ([]byte, error) {
	if len(set)+len(add)+len(remove) == 0 {
		return patch, nil
	}
	p := openPatch(patch)
	var now *node
	if len(current) > 0 {
		now = parse(current, MaxKeyset, &p.faults)
	}
	if len(p.faults) > 0 {
		return nil, p.refusal("document")
	}
	for _, e := range set {
		if v, steps := p.element(e); v != nil {
			p.put(e.Path, steps, v)
		}
	}
	for _, e := range add {
		p.edit(now, e, func(list []*node, i int, v *node) []*node {
			if i < 0 {
				list = append(list, v)
			}
			return list
		})
	}
	for _, e := range remove {
		p.edit(now, e, func(list []*node, i int, v *node) []*node {
			if i < 0 {
				p.add(e.Path, "%s is not in the list", quote(string(v.raw())))
				return list
			}
			return slices.Delete(list, i, i+1)
		})
	}
	if err := p.refusal("document"); err != nil {
		return nil, err
	}
	return appendNode(nil, p.root, compact), nil
}

// element reads the value and the path of an element; nil after a fault.
func (p *input) element(e Element) (*node, []string) {
	var fs faults
	if len(p.faults) > maxFaults {
		return nil, nil // there are more than are listed: the rest is not looked at
	}
	v := parse(e.Value, maxPatch, &fs)
	if len(fs) > 0 {
		p.add(e.Path, "%s", fs[0].Message)
		return nil, nil
	}
	steps := strings.Split(e.Path, ".")
	if len(steps) > 2 && (steps[0] == "labels" || steps[0] == "annotations") {
		steps = []string{steps[0], strings.Join(steps[1:], ".")}
	}
	if len(steps) > maxDepth || contains(steps, "") || !utf8.ValidString(e.Path) {
		p.add(quote(e.Path), "is not a path such as token_policy.access_token_ttl")
		return nil, nil
	}
	return v, steps
}

// put sets the member of the patch at a path, making the objects on the way.
func (p *input) put(path string, steps []string, v *node) {
	n := p.root
	for _, name := range steps[:len(steps)-1] {
		next := n.get(name)
		if next == nil {
			next = &node{kind: objectKind}
			n.members = append(n.members, member{name, next})
		}
		if next.kind != objectKind {
			p.add(path, "cannot be set: %s is no object in the document given", quote(name))
			return
		}
		n = next
	}
	last := steps[len(steps)-1]
	for i := range n.members {
		if n.members[i].name == last {
			n.members[i].value = v
			return
		}
	}
	n.members = append(n.members, member{last, v})
}

// edit replaces the list at an element's path by what change makes of it, given
// the index of the element's value, negative if it is not there.
func (p *input) edit(now *node, e Element, change func(list []*node, i int, v *node) []*node) {
	v, steps := p.element(e)
	if v == nil {
		return
	}
	list := p.root.find(steps)
	if list == nil {
		list = now.find(steps)
	}
	if list == nil || list.kind == nullKind {
		list = &node{kind: listKind}
	}
	if list.kind != listKind {
		p.add(e.Path, "is not a list; set it instead")
		return
	}
	want := v.raw()
	i := slices.IndexFunc(list.items, func(x *node) bool { return bytes.Equal(x.raw(), want) })
	p.put(e.Path, steps, &node{kind: listKind, items: change(slices.Clone(list.items), i, v)})
}

// find is the node at a path, nil if there is none.
func (n *node) find(steps []string) *node {
	for _, name := range steps {
		n = n.get(name)
	}
	return n
}
