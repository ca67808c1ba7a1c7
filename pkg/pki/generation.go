package pki

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/store"
)

// A cluster that lost its majority for good is recovered from what one member
// has, as its next generation. The number alone would not do: two directories
// that are recovered one after the other would both be the second generation,
// and take each other for one. So each recovery has an id of its own, a UUIDv7,
// and nodes are of one cluster only if both are the same. In a certificate it
// stands behind the number: cpctl://<cluster>/2.<recovery>/node/...
//
// People keep their certificates: a node takes those of earlier generations,
// and whoever holds one takes a node of a later. A person who was certified in a
// generation does not go back to an earlier one.

var recoveryForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// NewRecovery makes the id of a recovery, which tells when it was.
func NewRecovery() (string, error) {
	id, err := uuid.NewV7()
	return id.String(), err
}

// RecoveredAt is when a recovery was, by its id; the zero time for none.
func RecoveredAt(recovery string) time.Time {
	id, err := uuid.Parse(recovery)
	if err != nil || id.Version() != 7 {
		return time.Time{}
	}
	return time.Unix(id.Time().UnixTime()).UTC().Truncate(time.Second)
}

// generation is how an identity spells the generation that it is of.
func (id Identity) generation() string {
	s := strconv.FormatUint(id.Generation, 10)
	if id.Recovery != "" {
		s += "." + id.Recovery
	}
	return s
}

// parseGeneration is the inverse.
func parseGeneration(s string) (generation uint64, recovery string, err error) {
	number, recovery, recovered := strings.Cut(s, ".")
	if generation, err = strconv.ParseUint(number, 10, 64); err != nil {
		return 0, "", err
	}
	if recovered && !recoveryForm.MatchString(recovery) {
		return 0, "", fmt.Errorf("%q is no recovery", recovery)
	}
	return generation, recovery, nil
}

// OtherGeneration is the refusal of a peer that is of the same cluster, by its
// authority's word, and of another generation or recovery of it.
type OtherGeneration struct {
	Own, Peer Identity
}

// Later reports whether the peer shows that the cluster was recovered without us.
func (e *OtherGeneration) Later() bool {
	return e.Peer.Generation > e.Own.Generation && e.Peer.Recovery != ""
}

// Earlier reports whether it is the peer that was left behind.
func (e *OtherGeneration) Earlier() bool {
	return (&OtherGeneration{Own: e.Peer, Peer: e.Own}).Later()
}

// Error implements error.
func (e *OtherGeneration) Error() string { return e.refusal().Error() }

// Unwrap makes it a *store.Error of CodeDenied, with what to do.
func (e *OtherGeneration) Unwrap() error { return e.refusal() }

func (e *OtherGeneration) refusal() *store.Error {
	own, peer := e.Own, e.Peer
	switch {
	case peer.Generation > own.Generation:
		return denied("this cluster was recovered as generation %d%s; %s is of that, and %s of generation %d",
			peer.Generation, on(peer.Recovery), peer, own, own.Generation).WithHint("%s", rejoin(own))
	case peer.Generation < own.Generation:
		return denied("%s is of generation %d of this cluster, which was recovered as generation %d%s",
			peer, peer.Generation, own.Generation, on(own.Recovery)).WithHint("%s", leave(own, peer))
	}
	return denied("%s is of another recovery of this cluster as generation %d%s; %s is of the one%s",
		peer, peer.Generation, on(peer.Recovery), own, on(own.Recovery)).
		WithHint("two data directories were recovered, and only one of them can be the cluster: keep one;\nstop the other for good, empty its directory and join it to the first")
}

// leave says what to do about a node that was left behind, to whoever met it.
func leave(own, peer Identity) string {
	if own.Role != access.Node {
		return "that node was left behind: ask another server, and stop that one for good"
	}
	return rejoin(peer)
}

// rejoin says how a node comes back that was left behind.
func rejoin(id Identity) string {
	return fmt.Sprintf("do not start %s on this directory again: empty it and join again\n(cpctl token create --role node --name %s, then cpctl node --join HOST:PORT --token-file FILE)", id, id.Name)
}

func on(recovery string) string {
	if at := RecoveredAt(recovery); !at.IsZero() {
		return " on " + at.Format("2006-01-02 15:04:05Z")
	}
	return ""
}
