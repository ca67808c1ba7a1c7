package node

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// The phases of a roll-over of the authority. It goes on by itself from
// announced to switched, under whichever leader.
const (
	CAOne       = "one"       // there is no roll-over
	CAAnnounced = "announced" // members come to trust the next one, too
	CASwitched  = "switched"  // the next one signs; the one before is still trusted
)

// RotateRequest asks for a step of a roll-over.
type RotateRequest struct {
	Retire bool // no longer trust the authority before
	Force  bool // although certificates that it signed are in use
	Look   bool // only tell how far it is
}

// Authorities says which authorities a cluster has.
type Authorities struct {
	Phase   string
	Signs   string   // id of the one that signs
	Other   string   // the next one, or the one before; "" if there is none
	Waiting []string // members that do not trust both yet, or do not answer
}

// Rotate begins a roll-over of the authority, tells how far it is, or ends it.
func (n *Node) Rotate(ctx context.Context, req RotateRequest, by access.Actor) (*Authorities, error) {
	if _, err := n.leading(ctx); err != nil {
		return nil, err
	}
	if err := n.may(by, access.Rotate, ""); err != nil {
		return nil, err
	}
	n.rotating.Lock()
	defer n.rotating.Unlock()
	f := n.found()
	var err error
	switch {
	case req.Look:
	case req.Retire:
		err = n.retireCA(ctx, f, req.Force, by)
	case f.OldCA != "":
		err = store.Errorf(store.CodeRefused, "the authority before is still trusted: a roll-over begins when the one before it is over").
			WithHint("end that one first: cpctl cluster rotate-ca --retire")
	case f.NextCA == "":
		err = n.announceCA(ctx, f, by)
	}
	if err != nil {
		return nil, err
	}
	return n.authorities(), nil
}

// authorities tells how far a roll-over is.
func (n *Node) authorities() *Authorities {
	f := n.found()
	a := &Authorities{Phase: CAOne, Signs: pki.AuthorityID([]byte(f.CA)), Waiting: []string{}}
	switch {
	case f.NextCA != "":
		a.Phase, a.Other, a.Waiting = CAAnnounced, pki.AuthorityID([]byte(f.NextCA)), n.distrustful(f)
	case f.OldCA != "":
		a.Phase, a.Other = CASwitched, pki.AuthorityID([]byte(f.OldCA))
	}
	return a
}

// announceCA makes the next authority and lets the members know it.
func (n *Node) announceCA(ctx context.Context, f mutation.Found, by access.Actor) error {
	now := n.cfg.Now()
	before, err := n.authority(n.Image())
	if err != nil {
		return err
	}
	next, err := pki.NewAuthority(f.ClusterID, now)
	if err != nil {
		return err
	}
	cross, err := before.Introduce(next, now)
	if err != nil {
		return err
	}
	private, err := next.PrivateKey()
	if err != nil {
		return err
	}
	key, err := n.sealing(n.Image())
	if err != nil {
		return err
	}
	sealed, err := key.Seal(private, caKeyLabel, f.ClusterID)
	if err != nil {
		return err
	}
	n.cfg.Log.Info("a roll-over of the authority begins", "from", before.ID(), "to", next.ID(), "by", by.String())
	return n.succession(ctx, by.String(), mutation.Succession{Step: mutation.CAAnnounce, CA: string(next.CertPEM()), CAKey: &sealed, Cross: string(cross)})
}

// succeed lets the next authority sign once every member trusts it: one that
// does not would take no member's next certificate for good.
func (n *Node) succeed() {
	f := n.found()
	if f.NextCA == "" || len(n.distrustful(f)) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), changeTimeout)
	defer cancel()
	if err := n.succession(ctx, actorSystem, mutation.Succession{Step: mutation.CASwitch, CA: f.NextCA}); err != nil {
		n.cfg.Log.Warn("the next authority does not sign yet", "error", err)
		return
	}
	id := pki.AuthorityID([]byte(f.NextCA))
	n.cfg.Log.Info("the next authority signs from now on", "authority", id)
	n.cfg.Record(audit.Event{Actor: actorSystem, Type: "authority.switch", Target: "cluster", Result: audit.OK, Message: "authority " + id + " signs"})
}

// distrustful are the members that have not said that they trust both authorities.
func (n *Node) distrustful(f mutation.Found) []string {
	want, out := pki.BundleID([]byte(f.Bundle())), []string{}
	for _, m := range n.Members() {
		p, ok := n.heard(m.ID)
		if m.ID == n.self.NodeID {
			p, ok = n.Progress(), true
		}
		if !ok || p.Trusts != want {
			out = append(out, m.Name)
		}
	}
	return out
}

// retireCA forgets the authority before, unless somebody still shows a
// certificate that it has signed.
func (n *Node) retireCA(ctx context.Context, f mutation.Found, force bool, by access.Actor) error {
	switch {
	case f.NextCA != "":
		return store.Errorf(store.CodeRefused, "the next authority does not sign yet; nothing can be retired").
			WithHint("it waits for every member to trust both; see: cpctl cluster rotate-ca")
	case f.OldCA == "":
		return nil
	}
	if left := n.signedBefore(f); len(left) > 0 && !force {
		const most = 10
		shown, more := left, ""
		if len(shown) > most {
			shown, more = shown[:most], " and others"
		}
		return store.Errorf(store.CodeRefused, "the authority before has signed certificates that are in use: %s%s", strings.Join(shown, ", "), more).
			WithHint("they are renewed when two thirds of their life are over, a node's at once; revoke those that are not needed\n(cpctl cert list), or pass --force: whoever has one then logs in again")
	}
	return n.succession(ctx, by.String(), mutation.Succession{Step: mutation.CARetire, CA: f.OldCA})
}

// signedBefore names the holders of certificates that the authority before has
// signed: the newest of each line, if it is good, and what a member says it uses.
func (n *Node) signedBefore(f mutation.Found) (out []string) {
	signs, now := pki.AuthorityID([]byte(f.CA)), store.TimeOf(n.cfg.Now())
	newest := map[string]mutation.Certificate{}
	img := n.Image()
	for d := range img.Scan(applier.CertsPrefix) {
		var c mutation.Certificate
		if !img.System(d.Path, &c) {
			continue
		}
		if is, ok := newest[c.LineOf()]; !ok || applier.Newer(c, is) {
			newest[c.LineOf()] = c
		}
	}
	add := func(role, name, tenant string) {
		if s := (access.Actor{Role: access.Role(role), Name: name, Tenant: tenant}).String(); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	for _, c := range newest {
		if c.Authority != signs && !c.Revoked && c.NotAfter > now {
			add(c.Role, c.Name, c.Tenant)
		}
	}
	for _, m := range n.Members() { // one may not have got its newest yet
		p, ok := n.heard(m.ID)
		if m.ID == n.self.NodeID {
			p, ok = n.Progress(), true
		}
		if !ok || certificateOf(img, p.Serial).Authority != signs {
			add("node", m.Name, "")
		}
	}
	slices.SortFunc(out, cmp.Compare)
	return out
}

func (n *Node) succession(ctx context.Context, actor string, s mutation.Succession) error {
	m, err := payload(mutation.SysCA, s)
	if err != nil {
		return err
	}
	_, _, err = n.system(ctx, "", actor, m)
	return err
}
