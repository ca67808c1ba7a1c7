package applier

import (
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// keepExpired is how long the record of a certificate outlives it, in
// microseconds: a node whose clock is behind must still find it revoked.
const keepExpired = 24 * 60 * 60 * 1_000_000

// certificate records that a certificate was issued.
func (ch *change) certificate(m *mutation.Mutation) error {
	c, err := decode[mutation.Certificate](m)
	if err != nil {
		return err
	}
	if err := ch.issuable(c); err != nil {
		return err
	}
	return ch.issue(c)
}

// issuable says what keeps a certificate from going on record. Names of nodes
// are unique among those whose certificate is good. A renewal is of a line that
// was not taken back since its holder was asked for.
func (ch *change) issuable(c mutation.Certificate) error {
	if ch.Get(CertPath(c.Serial)) != nil {
		return store.Errorf(store.CodeExists, "certificate %s is on record already", c.Serial)
	}
	known := c.Line == ""
	for d := range ch.Scan(CertsPrefix) {
		var other mutation.Certificate
		if !ch.System(d.Path, &other) {
			continue
		}
		if !other.Revoked && other.Role == c.Role && other.Name == c.Name && other.NodeID != c.NodeID {
			return store.Errorf(store.CodeExists, "a %s named %q is in the cluster already", c.Role, c.Name).
				WithHint("choose another --name, or remove the old one: cpctl cluster remove %s", c.Name)
		}
		if other.Removed() && other.NodeID == c.NodeID {
			return store.Errorf(store.CodeDenied, "node %q was removed from this cluster: %s", c.NodeID, other.Why).
				WithHint("a removed node comes back with an empty data directory, under a new id")
		}
		if c.Line == "" || other.LineOf() != c.Line {
			continue
		}
		if known = true; other.Revoked {
			return store.Errorf(store.CodeDenied, "certificate %s %s", other.Serial, other.Fate()).
				WithHint("log in again with a new token")
		}
	}
	if !known {
		return store.Errorf(store.CodeDenied, "certificate %s is not on record; what it was renewed from is not known", c.Line)
	}
	return nil
}

// issue puts a certificate on record, and forgets those that nobody needs.
func (ch *change) issue(c mutation.Certificate) error {
	if err := ch.PutSystem(CertPath(c.Serial), c); err != nil {
		return err
	}
	ch.forgetExpired(min(ch.Time, c.IssuedAt))
	return nil
}

// forgetExpired drops the records of certificates that ended a while ago. The newest of
// a node stays: it says who that node is, or that it was removed, for ever. What is
// past is told by the clock that a certificate is signed by: command time never falls,
// so that once a leader's clock was far ahead it would call those of today expired.
func (ch *change) forgetExpired(now store.Time) {
	newest := map[string]mutation.Certificate{} // by node id
	var old []mutation.Certificate
	for d := range ch.Scan(CertsPrefix) {
		var c mutation.Certificate
		if !ch.System(d.Path, &c) {
			continue
		}
		if c.NodeID != "" {
			if n, ok := newest[c.NodeID]; !ok || Newer(c, n) {
				newest[c.NodeID] = c
			}
		}
		if c.NotAfter+keepExpired < now {
			old = append(old, c)
		}
	}
	for _, c := range old {
		if newest[c.NodeID].Serial != c.Serial {
			ch.DeleteSystem(CertPath(c.Serial))
		}
	}
}

// Newer reports whether a certificate was issued after another of the same holder.
func Newer(a, b mutation.Certificate) bool {
	return a.IssuedAt > b.IssuedAt || a.IssuedAt == b.IssuedAt && a.Serial > b.Serial
}

// revoke takes back every certificate of a node, or of a line.
func (ch *change) revoke(m *mutation.Mutation) error {
	r, err := decode[mutation.Revoke](m)
	if err != nil {
		return err
	}
	var found []mutation.Certificate
	for d := range ch.Scan(CertsPrefix) {
		var c mutation.Certificate
		switch ok := ch.System(d.Path, &c); {
		case !ok:
		case r.Line != "" && c.LineOf() == r.Line && !c.Revoked,
			r.Line == "" && c.NodeID == r.NodeID && (!c.Revoked || c.LineRevoked):
			found = append(found, c)
		}
	}
	if r.Line == "" { // with that the removal is done
		if err := ch.left(r.NodeID); err != nil {
			return err
		}
	}
	for _, c := range found {
		c.Revoked, c.LineRevoked, c.Why = true, r.Line != "", r.Why
		if err := ch.PutSystem(CertPath(c.Serial), c); err != nil {
			return err
		}
	}
	return nil
}

// unbind takes back the certificates and tokens that bind somebody to a tenant
// which is deleted: another one may get its slug, and is none of theirs.
func (ch *change) unbind(slug string) error {
	var certs []mutation.Certificate
	for d := range ch.Scan(CertsPrefix) {
		var c mutation.Certificate
		if ch.System(d.Path, &c) && c.Tenant == slug && !c.Revoked {
			certs = append(certs, c)
		}
	}
	for _, c := range certs {
		c.Revoked, c.LineRevoked, c.Why = true, true, "tenant "+slug+" was deleted by "+ch.Actor
		if err := ch.PutSystem(CertPath(c.Serial), c); err != nil {
			return err
		}
	}
	var tokens []mutation.TokenRecord
	for d := range ch.Scan(TokensPrefix) {
		var t mutation.TokenRecord
		if ch.System(d.Path, &t) && t.Tenant == slug && t.UsedAt == 0 && t.RevokedAt == 0 {
			tokens = append(tokens, t)
		}
	}
	for _, t := range tokens {
		t.RevokedAt, t.RevokedBy = ch.Time, ch.Actor
		if err := ch.PutSystem(TokenPath(t.ID), t); err != nil {
			return err
		}
	}
	return nil
}
