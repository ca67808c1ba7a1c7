package mutation

import (
	"slices"

	"github.com/cpctl/cpctl/pkg/store"
)

// KeyName names a cluster key in public: by the id that stands beside what it
// seals, and by the value by which a node finds out that it has that key.
type KeyName struct {
	ID    string `json:"id"`
	Check string `json:"check"`
}

// The steps of a roll-over of the cluster key, in their order. RekeyKeep is for
// a cluster that is founded with the file of a roll-over that was under way: it
// takes the place of the first two.
const (
	RekeyBegin  = "begin"  // there will be a new key: nodes fetch it
	RekeyKeep   = "keep"   // an older key opens, too
	RekeySwitch = "switch" // every voter has it: it seals from now on
	RekeyRetire = "retire" // nothing is sealed under the old one any more
)

var rekeySteps = []string{RekeyBegin, RekeyKeep, RekeySwitch, RekeyRetire}

// Rekey is the payload of sys.rekey. No key is ever in it.
type Rekey struct {
	Step string `json:"step"`
	Roll string `json:"roll"` // id of the roll-over
	// Key is the new key of begin and switch, the old one of keep and retire.
	Key        KeyName       `json:"key"`
	Replaces   string        `json:"replaces,omitempty"`    // begin: id of the new key of a roll-over that nobody can finish
	RequestKey *store.Sealed `json:"request_key,omitempty"` // begin: of a cluster that was founded without one
}

// Rollover is what system/rekey.json holds, once the cluster key was rolled over
// for the first time: the keys beside the one that seals.
type Rollover struct {
	Phase  string     `json:"phase"` // "", begun, switched
	Roll   string     `json:"roll,omitempty"`
	Next   KeyName    `json:"next"` // begun: the key that will seal
	Old    KeyName    `json:"old"`  // switched: the key that sealed before
	Since  store.Time `json:"since"`
	Actor  string     `json:"actor,omitempty"`
	Values int        `json:"values"` // sealed anew so far
	Past   []PastKey  `json:"past"`   // keys that are no longer good for anything, the newest last, at most MaxPastKeys
}

// The phases of a roll-over.
const (
	RollBegun    = "begun"
	RollSwitched = "switched"
)

// MaxPastKeys bounds the keys that are remembered. A node that was away while
// more of them were retired is a stranger.
const MaxPastKeys = 64

// PastKey is a cluster key that seals nothing any more, or never did.
type PastKey struct {
	KeyName
	Roll     string     `json:"roll"`
	By       string     `json:"by"`       // id of the key that came after it
	Replaced bool       `json:"replaced"` // it never sealed: its roll-over was begun anew
	Values   int        `json:"values"`   // that were sealed under the next one
	At       store.Time `json:"at"`
}

// Knows reports whether a key was one of the cluster's before.
func (r *Rollover) Knows(check string) bool {
	return slices.ContainsFunc(r.Past, func(p PastKey) bool { return p.Check == check })
}

// Done returns what is remembered of a roll-over that came to its end.
func (r *Rollover) Done(roll string) (PastKey, bool) {
	for _, p := range r.Past {
		if p.Roll == roll && !p.Replaced {
			return p, true
		}
	}
	return PastKey{}, false
}

// Rewrap is the payload of sys.rewrap: sealed values as they are under the new
// key, in the places of the old ones.
type Rewrap struct {
	Roll string      `json:"roll"`
	Docs []RewrapDoc `json:"docs"`
}

// RewrapDoc is the values of one document.
type RewrapDoc struct {
	Path   string        `json:"path"`
	Base   string        `json:"base"` // store.Doc.Sum of the document that they were taken from
	Values []RewrapValue `json:"values"`
}

// RewrapValue is one value, before and after.
type RewrapValue struct {
	From string       `json:"from"` // nonce of the value that it replaces: no two have the same
	Now  store.Sealed `json:"now"`
}
