package mutation

import "github.com/cpctl/cpctl/pkg/store"

// Token is the payload of sys.token: a token by which one newcomer may get a
// certificate. Its secret is with whoever asked for it, and nowhere else.
type Token struct {
	ID        string     `json:"id"`
	Hash      string     `json:"hash"` // SHA-256 of the secret, hex
	Role      string     `json:"role"`
	Name      string     `json:"name"`
	Tenant    string     `json:"tenant,omitempty"`
	ExpiresAt store.Time `json:"expires_at"`
}

// TokenRevoke is the payload of sys.token.revoke.
type TokenRevoke struct {
	ID string `json:"id"`
}

// Enrol is the payload of sys.enrol: the leader has seen the secret of the token
// and signed a certificate. Applying decides whether the token is still good.
type Enrol struct {
	Token       string      `json:"token"`      // its id
	PublicKey   string      `json:"public_key"` // SHA-256 of the newcomer's public key (SPKI, DER), hex
	Certificate Certificate `json:"certificate"`
	PEM         string      `json:"pem"` // of the certificate
}

// TokenRecord is what system/tokens/<id>.json holds. A used one keeps the
// certificate, so that a newcomer whose answer was lost gets it by asking again.
type TokenRecord struct {
	Token
	CreatedAt store.Time `json:"created_at"`
	CreatedBy string     `json:"created_by"`
	UsedAt    store.Time `json:"used_at,omitempty"`
	PublicKey string     `json:"public_key,omitempty"`
	Serial    string     `json:"serial,omitempty"`
	PEM       string     `json:"pem,omitempty"`
	RevokedAt store.Time `json:"revoked_at,omitempty"`
	RevokedBy string     `json:"revoked_by,omitempty"`
}

// The states of a token.
const (
	TokenOpen    = "open"
	TokenUsed    = "used"
	TokenExpired = "expired"
	TokenRevoked = "revoked"
)

// State tells what a token is at a time, and since when it is no longer open.
func (r *TokenRecord) State(now store.Time) (state string, since store.Time) {
	switch {
	case r.UsedAt != 0:
		return TokenUsed, r.UsedAt
	case r.RevokedAt != 0:
		return TokenRevoked, r.RevokedAt
	case r.ExpiresAt <= now:
		return TokenExpired, r.ExpiresAt
	}
	return TokenOpen, 0
}
