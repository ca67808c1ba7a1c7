package mutation

import "github.com/cpctl/cpctl/pkg/store"

// Heirs is what a cluster has on record of authorities beside the one that
// signs: during a roll-over the next one, and then the one before.
type Heirs struct {
	NextCA    string        `json:"next_ca,omitempty"` // certificate, PEM: it is trusted, and signs nothing yet
	NextCAKey *store.Sealed `json:"next_ca_key,omitempty"`
	OldCA     string        `json:"old_ca,omitempty"`   // it signs no more, and is still trusted
	CrossCA   string        `json:"cross_ca,omitempty"` // the younger of two, certified by the older one
}

// The steps of a roll-over of the authority, in their order.
const (
	CAAnnounce = "announce" // there is another one: members come to trust both
	CASwitch   = "switch"   // every member does: the new one signs
	CARetire   = "retire"   // the old one is no longer trusted
)

var caSteps = []string{CAAnnounce, CASwitch, CARetire}

// Succession is the payload of sys.ca: one step. CA is the certificate that the
// step is about, so that a step that comes twice does nothing twice.
type Succession struct {
	Step  string        `json:"step"`
	CA    string        `json:"ca"`
	CAKey *store.Sealed `json:"ca_key,omitempty"` // announce: its private key, sealed under the cluster key
	Cross string        `json:"cross,omitempty"`  // announce: the new one, certified by the old one
}

// Bundle is the certificates of the authorities that a member trusts, PEM, the
// oldest first: the same before and after a switch.
func (f *Found) Bundle() string { return f.OldCA + f.CA + f.NextCA }

// Trust reports whether a change of this kind may change who is trusted.
func (k Kind) Trust() bool {
	switch k {
	case SysFound, SysRecover, SysCert, SysEnrol, SysRevoke, SysCA,
		TenantDelete: // whoever was bound to it is nobody any more
		return true
	}
	return false
}
