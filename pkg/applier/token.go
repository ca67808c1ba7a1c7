package applier

import (
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

const (
	// TokensPrefix is where the tokens are on record.
	TokensPrefix = "system/tokens/"

	// MaxTokens bounds the tokens on record, those included that are no longer
	// good: each is looked at when another is made or used.
	MaxTokens = 1000

	// TokenMemory is how long a token that is used, expired or revoked stays on
	// record, so that whoever shows it is told which of these it is, and a
	// newcomer whose answer was lost still gets it.
	TokenMemory = store.Duration(24 * time.Hour)
)

// TokenPath is where the record of a token is.
func TokenPath(id string) string { return TokensPrefix + id + ".json" }

// token puts a token on record. The same one again changes nothing: an answer
// that was lost harms nobody.
func (ch *change) token(m *mutation.Mutation) error {
	t, err := decode[mutation.Token](m)
	if err != nil {
		return err
	}
	var known mutation.TokenRecord
	if ch.System(TokenPath(t.ID), &known) {
		t.ExpiresAt = known.ExpiresAt // counted from the first time it was asked for
		if known.Token == t && known.CreatedBy == ch.Actor {
			return nil
		}
		return store.Errorf(store.CodeExists, "token %s is on record already", t.ID)
	}
	if t.ExpiresAt <= ch.Time {
		return store.Errorf(store.CodeInvalid, "token %s would expire before it is made", t.ID)
	}
	if err := ch.bound(t.Tenant); err != nil {
		return err
	}
	if err := ch.nameFree(t.Role, t.Name); err != nil {
		return err
	}
	forgotten, kept := ch.endedTokens()
	if kept >= MaxTokens {
		return store.Errorf(store.CodeRefused, "%s are on record, which is as many as there may be", count(kept, "token")).
			WithHint("those that are used, expired or revoked are forgotten a day later; see: cpctl token list")
	}
	ch.forget(forgotten)
	return ch.PutSystem(TokenPath(t.ID), mutation.TokenRecord{Token: t, CreatedAt: ch.Time, CreatedBy: ch.Actor})
}

// revokeToken ends a token that is not used. Once it is, the certificate is what
// has to be taken back.
func (ch *change) revokeToken(m *mutation.Mutation) error {
	r, err := decode[mutation.TokenRevoke](m)
	if err != nil {
		return err
	}
	var t mutation.TokenRecord
	if !ch.System(TokenPath(r.ID), &t) {
		return store.Errorf(store.CodeNotFound, "token %q is not on record", r.ID).WithHint("see: cpctl token list")
	}
	switch state, since := t.State(ch.Time); state {
	case mutation.TokenUsed:
		return store.Errorf(store.CodeRefused, "token %s was used at %s: %s/%s has its certificate", t.ID, since, t.Role, t.Name).
			WithHint("take that back: cpctl cert revoke %s", t.Serial)
	case mutation.TokenOpen:
		t.RevokedAt, t.RevokedBy = ch.Time, ch.Actor
		return ch.PutSystem(TokenPath(t.ID), t)
	}
	return nil // it is no longer good anyway
}

// enrol uses a token and records the certificate that was issued for it. The
// same token with the same key again changes nothing: the record holds the
// certificate that the newcomer did not get.
func (ch *change) enrol(m *mutation.Mutation) error {
	e, err := decode[mutation.Enrol](m)
	if err != nil {
		return err
	}
	var t mutation.TokenRecord
	if !ch.System(TokenPath(e.Token), &t) {
		return UnknownToken(e.Token)
	}
	if again, err := Usable(&t, e.PublicKey, ch.Time); again || err != nil {
		return err
	}
	c := e.Certificate
	if c.Role != t.Role || c.Name != t.Name {
		return store.Errorf(store.CodeInternal, "token %s is for %s/%s, the certificate for %s/%s", t.ID, t.Role, t.Name, c.Role, c.Name)
	}
	if err := ch.bound(t.Tenant); err != nil {
		return err
	}
	if err := ch.nameFree(c.Role, c.Name); err != nil {
		return err
	}
	if err := ch.issuable(c); err != nil {
		return err
	}
	for d := range ch.Scan(CertsPrefix) {
		var other mutation.Certificate
		if c.NodeID != "" && ch.System(d.Path, &other) && other.NodeID == c.NodeID {
			return store.Errorf(store.CodeExists, "the node id %s is taken by node %q", c.NodeID, other.Name).
				WithHint("start the node with an empty data directory")
		}
	}
	forgotten, _ := ch.endedTokens()
	ch.forget(forgotten)
	if err := ch.issue(c); err != nil {
		return err
	}
	t.UsedAt, t.PublicKey, t.Serial, t.PEM = ch.Time, e.PublicKey, c.Serial, e.PEM
	return ch.PutSystem(TokenPath(t.ID), t)
}

// UnknownToken refuses a token of which nothing is on record, or whose secret is
// another.
func UnknownToken(id string) *store.Error {
	return store.Errorf(store.CodeDenied, "token %s is not known to this cluster", id).
		WithHint("used and expired ones are forgotten after a day; another is made by: cpctl token create")
}

// Usable tells whether a token is good for a certificate of this public key at a
// time; again if it has given one to that key already.
func Usable(t *mutation.TokenRecord, publicKey string, now store.Time) (again bool, err error) {
	const another = "make another: cpctl token create"
	state, since := t.State(now)
	switch {
	case state == mutation.TokenUsed && t.PublicKey == publicKey:
		return true, nil
	case state == mutation.TokenUsed:
		return false, store.Errorf(store.CodeDenied, "token %s was used already, at %s", t.ID, since).
			WithHint("each is good for one newcomer; if that was not you, revoke the certificate %s, then %s", t.Serial, another)
	case state == mutation.TokenExpired:
		return false, store.Errorf(store.CodeDenied, "token %s expired at %s", t.ID, since).WithHint(another)
	case state == mutation.TokenRevoked:
		return false, store.Errorf(store.CodeDenied, "token %s was revoked at %s", t.ID, since).WithHint(another)
	}
	return false, nil
}

// bound checks the tenant to which a token binds its user, if it does.
func (ch *change) bound(tenant string) error {
	if tenant == "" {
		return nil
	}
	_, _, err := ch.tenant(tenant)
	return err
}

// nameFree checks that nobody of the role bears a name. A node keeps its name
// until it is removed; a person's is free once the certificate is no longer good.
func (ch *change) nameFree(role, name string) error {
	for d := range ch.Scan(CertsPrefix) {
		var c mutation.Certificate
		if !ch.System(d.Path, &c) || c.Revoked || c.Role != role || c.Name != name {
			continue
		}
		if c.NodeID != "" {
			return store.Errorf(store.CodeExists, "a %s named %q is in the cluster already", role, name).
				WithHint("choose another --name, or remove the old one: cpctl cluster remove %s", name)
		}
		if c.NotAfter > ch.Time {
			return store.Errorf(store.CodeExists, "the name %q is taken: the %s of that name has a certificate until %s", name, role, c.NotAfter).
				WithHint("choose another --name, or revoke the certificate: cpctl cert revoke %s", c.Serial)
		}
	}
	return nil
}

// endedTokens lists those that are to be forgotten, and counts the others.
func (ch *change) endedTokens() (paths []string, kept int) {
	for d := range ch.Scan(TokensPrefix) {
		var t mutation.TokenRecord
		if !ch.System(d.Path, &t) {
			continue
		}
		if state, since := t.State(ch.Time); state != mutation.TokenOpen && since.Add(TokenMemory) <= ch.Time {
			paths = append(paths, d.Path)
		} else {
			kept++
		}
	}
	return paths, kept
}

func (ch *change) forget(paths []string) {
	for _, p := range paths {
		ch.DeleteSystem(p)
	}
}
