//go:build race

package snapshot

// stride is larger under the race detector, which makes each step ten times as
// slow and has nothing to find in them.
const stride = 7
