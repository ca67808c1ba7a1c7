//go:build race

package cluster

// raced: raft v1.7.3 has a race of its own when an address changes (see pkg/node).
const raced = true
