//go:build race

package cluster

// patient is how many times longer than by default the nodes of a test wait for
// their leader, where it is about what they do to each other and not about other
// work that the machine has: several times more, since the race detector makes
// everything several times slower.
const patient = 10
